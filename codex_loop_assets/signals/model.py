"""What every detector speaks: the canonical tables it reads, the moments it finds, and the rows that become of them.

What belongs here: ids and shapes shared by rules, judges and merge. What does not: any decision about what is friction.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

import polars as pl

SignalType = Literal["friction", "delight"]
DESCRIPTION_LIMIT = 400
QUOTE_LIMIT = 240
# A quotation is redacted before it is cut, but from no more than this: a message may hold a whole pasted file.
QUOTE_LOOK_AT = 4_000


@dataclass(frozen=True)
class CanonTables:
    """The tables of one day (or of any set of whole sessions) that detectors read; see tables.py for their columns."""

    spines: pl.DataFrame
    events: pl.DataFrame
    sessions: pl.DataFrame
    turns: pl.DataFrame
    tool_calls: pl.DataFrame
    _derived: dict[object, pl.DataFrame] = field(default_factory=dict, init=False, repr=False, compare=False)

    def once(self, name: object, make: Callable[[], pl.DataFrame]) -> pl.DataFrame:
        """What `make` makes of these tables, made once however many rules ask for it by this name."""
        if name not in self._derived:
            self._derived[name] = make()
        return self._derived[name]

    def without(self, thread_ids: pl.Series) -> CanonTables:
        """The same tables without these threads."""
        return CanonTables(
            *(
                frame.filter(~pl.col("thread_id").is_in(thread_ids.implode()))
                for frame in (self.spines, self.events, self.sessions, self.turns, self.tool_calls)
            )
        )


@dataclass(frozen=True)
class Evidence:
    """One record that shows a moment: its seq, the tool call it belongs to, and a short quotation from it.

    `run` is given where the record may lie in another process run than the moment's own.
    """

    seq: int
    call_id: str | None = None
    quote: str | None = None
    run: int | None = None

    def redacted(self, redact: Callable[[str, str], str], thread_id: str) -> Evidence:
        """The same record with its quotation redacted and on one line."""
        quote = one_line(redact(self.quote[:QUOTE_LOOK_AT], thread_id), QUOTE_LIMIT) if self.quote else None
        return Evidence(self.seq, self.call_id, quote, self.run)

    def as_dict(self) -> dict[str, object]:
        pairs = {"seq": self.seq, "run": self.run, "call_id": self.call_id, "quote": self.quote}
        return {name: value for name, value in pairs.items() if value is not None}


@dataclass(frozen=True)
class Moment:
    """One finding of a detector. seq_start is the record it is about; severity is 1 to 3, confidence 0 to 1."""

    thread_id: str
    run: int
    seq_start: int
    seq_end: int
    severity: int
    confidence: float
    description: str
    evidence: tuple[Evidence, ...]
    turn_id: str | None = None
    call_id: str | None = None
    occurred_at: datetime | None = None

    def redacted(self, redact: Callable[[str, str], str]) -> Moment:
        """The same moment with description and quotations redacted (`redact(text, thread_id)`) and on one line."""
        description = one_line(redact(self.description, self.thread_id), DESCRIPTION_LIMIT)
        evidence = tuple(item.redacted(redact, self.thread_id) for item in self.evidence)
        return Moment(**{**vars(self), "description": description, "evidence": evidence})


@dataclass(frozen=True)
class DetectedBy:
    """Who found a moment and against which schema: the provenance columns of a detection row."""

    detector: Literal["mechanical", "local_judge", "llm_judge"]
    detector_version: str
    schema_version: str
    model: str | None = None


def signal_id(thread_id: str, run: int, seq_start: int, category: str) -> str:
    """Id of a moment: a hash of its place and category, whichever detector finds it and however it words it."""
    place = json.dumps([thread_id, run, seq_start, category], ensure_ascii=False)
    return "sig_" + hashlib.sha256(place.encode("utf-8", "surrogatepass")).hexdigest()[:20]


def detection_row(moment: Moment, category: str, signal_type: SignalType, by: DetectedBy) -> dict[str, object]:
    """The row of `mechanical_signals`, `semantic_signals` or `detections` for one moment (already redacted)."""
    return {
        "signal_id": signal_id(moment.thread_id, moment.run, moment.seq_start, category),
        "thread_id": moment.thread_id,
        "run": moment.run,
        "turn_id": moment.turn_id,
        "call_id": moment.call_id,
        "seq_start": moment.seq_start,
        "seq_end": max(moment.seq_end, moment.seq_start),
        "occurred_at": moment.occurred_at,
        "type": signal_type,
        "category": category,
        "severity": min(3, max(1, moment.severity)),
        "confidence": min(1.0, max(0.0, moment.confidence)),
        "detector": by.detector,
        "detector_version": by.detector_version,
        "schema_version": by.schema_version,
        "model": by.model,
        "description": moment.description,
        "evidence": evidence_json(moment.evidence, moment.run),
    }


def evidence_json(evidence: Iterable[Evidence], run: int) -> str:
    """The `evidence` column: a JSON list of {seq, run?, call_id?, quote?} in order, each record once.

    `run` is written only where it is not that of the row.
    """
    placed = [Evidence(item.seq, item.call_id, item.quote) if item.run == run else item for item in evidence]
    unique = {(item.run or 0, item.seq, item.call_id or ""): item for item in placed}
    return json.dumps([unique[place].as_dict() for place in sorted(unique)], ensure_ascii=False)


def one_line(text: str, limit: int) -> str:
    """`text` with its white space folded to single blanks, cut at `limit` characters with an ellipsis."""
    folded = " ".join(text.split())
    return folded if len(folded) <= limit else folded[: limit - 1].rstrip() + "…"
