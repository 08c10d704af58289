"""Trace spine v1 directories to events: segments in order, runs, sequence numbers, checksums.

The spine is what the `ajessitech/codex` fork writes under `trace_spine/<thread_id>/`: `segment-NNN.jsonl` files, each with a
`segment-NNN.meta.json` once it is closed. A missing meta means "not closed cleanly, or still open"; a hash that does not fit
is an anomaly worth a note, not a reason to lose the session.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from codex_loop_assets.traces import quick
from codex_loop_assets.traces.batches import EventBatches
from codex_loop_assets.traces.decode import NotARecord, decode
from codex_loop_assets.traces.echoes import REPEATED_REASONING, SPOKEN, Echoes
from codex_loop_assets.traces.lines import read_blocks
from codex_loop_assets.traces.long_lines import head_content
from codex_loop_assets.traces.normalise import Normaliser
from codex_loop_assets.traces.place import Place
from codex_loop_assets.traces.row import KIND, TURN_ID, Content, content
from codex_loop_assets.traces.runs import RunNumbers
from codex_loop_assets.traces.settings import ReadSettings
from codex_loop_assets.traces.tally import Tally
from codex_loop_assets.traces.timestamps import timestamp_text
from codex_loop_assets.traces.values import integer, mapping, string

SCHEMA_VERSION = "codex_trace_spine_v1"
SEGMENT = re.compile(r"^segment-(\d+)\.jsonl$")
_RUN_START = re.compile(rb'"msg"\s*:\s*\{\s*"type"\s*:\s*"session_configured"')
_PEEK = 1 << 18


def segment_number(name: str) -> int | None:
    """The number in a segment's file name, or None for any other file."""
    match = SEGMENT.match(name)
    return int(match[1]) if match else None


@dataclass
class SpineReader:
    """Reads one thread's segments in order.

    origin: the number under which the source's events go into the batches.
    """

    settings: ReadSettings
    batches: EventBatches
    origin: int
    thread_id: str
    tally: Tally = field(default_factory=Tally)
    meta: dict | None = None
    configured: bool = False
    wrong_versions: int = 0
    unclosed: str | None = None
    first_time: str | None = None

    def __post_init__(self) -> None:
        self._normaliser = Normaliser(self.settings, self.tally)
        self._echoes = Echoes()
        self._runs = RunNumbers(self.settings.seq_gap_memory)
        self._turn: str | None = None
        self._totals: Any = None
        self._raw_totals = self._raw_context = b""
        self._raw_thread = self.thread_id.encode("utf-8", "replace")

    def read(self, path: Path, name: str) -> None:
        """One segment into the batches. `name` is its path relative to the home. Raises OSError if it cannot be opened."""
        self._name, self._file = name, self.batches.file_number(name)
        with path.open("rb") as stream:
            self._runs.open_segment(starts_run=_RUN_START.search(stream.read(_PEEK)) is not None)
        digest, total, hashed = hashlib.sha256(), 0, True
        number = 0
        for block in read_blocks(path, self.settings.line_limit, self.settings.line_head):
            offset = block.offset
            if block.long:
                number, hashed, total = number + 1, False, total + block.long
                self._long_line(block.lines[0], Place(number, offset, block.long, block.ended))
                continue
            digest.update(b"\n".join(block.lines) + b"\n" * (block.ended and bool(block.lines)))
            for data in block.lines:
                number += 1
                size = len(data) + block.ended
                if not self._quick_line(data, number, offset, size):
                    self._line(data, Place(number, offset, size, block.ended))
                offset += size
            total += offset - block.offset
        self._check_meta(path, name, digest.hexdigest() if hashed else None, total)

    def _quick_line(self, data: bytes, number: int, offset: int, size: int) -> bool:
        """Deal with the frequent kinds that need no decoding; false leaves the line to `_line`."""
        head = quick.SPINE_HEAD.match(data)
        if head is None or data[-2:] != b"}}" or head[1] != self._raw_thread:
            return False
        tag = head[6]
        if tag is None:
            if head[4] != b"turn_context" or data[head.end() :] != self._raw_context:
                self._raw_context = data[head.end() :] if head[4] == b"turn_context" else self._raw_context
                return False
            return self._passed_over("turn_context_unchanged", head)
        if tag[-6:] == b"_delta":
            return self._passed_over("delta", head)
        if tag == b"raw_response_item" and head[7] == b"reasoning" and self._echoes.reasoned:
            self._echoes.reasoned = False
            return self._passed_over(REPEATED_REASONING, head)
        if tag == b"token_count":
            return self._quick_tokens(data, head, Place(number, offset, size))
        return False

    def _passed_over(self, reason: str, head: re.Match) -> bool:
        self.tally.skipped[reason] += 1
        self._runs.number(int(head[2]))
        return True

    def _quick_tokens(self, data: bytes, head: re.Match, place: Place) -> bool:
        usage = quick.USAGE.search(data)
        if usage is None:
            return False
        if usage[1] == self._raw_totals:
            return self._passed_over("token_count_unchanged", head)
        self._raw_totals = usage[1]
        found = content("token_count", _turn_of(head[5].decode()), tokens=usage[1].decode(), detail=quick.window(usage))
        run, seq = self._runs.number(int(head[2]))
        self.tally.read += 1
        self._store(place, run, seq, head[3].decode(), found, "token_count")
        return True

    def _line(self, data: bytes, place: Place) -> None:
        try:
            record = decode(data)
        except NotARecord:
            if data.strip():
                self.tally.torn += 1
                self.tally.note_torn(self._name, place)
            else:
                self.tally.skipped["blank"] += 1
            return
        if record.get("schema_version") != SCHEMA_VERSION:
            self.wrong_versions += 1
            self.tally.skipped["wrong_schema_version"] += 1
            return
        run, seq = self._runs.number(integer(record.get("seq")))
        if record.get("thread_id") != self.thread_id:
            self.tally.remarks["records with another thread_id than their directory"] += 1
        timestamp = timestamp_text(record.get("timestamp"))
        self.first_time = self.first_time or timestamp
        found, form = self._content(record.get("type"), record.get("payload"))
        if type(found) is str:
            self.tally.skipped[found] += 1
            return
        self.tally.read += 1
        self._store(place, run, seq, timestamp, found, form)

    def _content(self, kind: Any, payload: Any) -> tuple[Content | str, str]:
        body = mapping(payload)
        if kind == "event":
            return self._event(body)
        if kind == "submission":
            op = body.get("op")
            found = self._normaliser.submission(op)
            return (
                found if type(found) is str else self._with_turn(found, self._submission_turn(body, mapping(op)))
            ), "submission"
        if kind == "turn_context":
            self._turn = string(body.get("turn_id")) or self._turn
            return self._with_turn(self._normaliser.record(kind, body.get("context")), self._turn), kind
        if kind == "session_meta":
            self.meta = self.meta or body
            return self._normaliser.record(kind, body), kind
        if kind in ("compaction_boundary", "bridge"):
            turn = string(body.get("turn_id") or body.get("parent_turn_id"))
            return self._with_turn(self._normaliser.record(kind, body), turn), kind
        if kind == "artifact_ref":
            return self._normaliser.record(kind, body), kind
        return self._normaliser.other(kind, payload), "other"

    def _event(self, body: dict) -> tuple[Content | str, str]:
        msg = body.get("msg")
        kind = msg.get("type") if type(msg) is dict else None
        if kind == "token_count" and (info := msg.get("info")) is not None:
            totals = mapping(info).get("total_token_usage")
            if totals == self._totals:
                return "token_count_unchanged", kind
            self._totals = totals
        elif kind == "token_count" and type(msg.get("payload")) is not dict:
            return "token_count_unchanged", kind
        elif kind == "session_configured":
            self.configured = True
        found = self._normaliser.event(msg)
        if type(found) is str:
            return found, ""
        turn = _turn_of(string(body.get("id")))
        if kind in ("task_started", "turn_started"):
            self._turn = turn
        return self._with_turn(found, turn), kind if type(kind) is str else ""

    def _submission_turn(self, body: dict, op: dict) -> str | None:
        if op.get("type") in ("exec_approval", "patch_approval", "user_input_answer", "request_user_input_response"):
            return string(op.get("turn_id")) or self._turn or string(op.get("id"))
        if op.get("type") in ("interrupt", "shutdown"):
            return self._turn
        return string(body.get("id"))

    @staticmethod
    def _with_turn(found: Content | str, turn: str | None) -> Content | str:
        return found if type(found) is str or turn is None else (found[KIND], turn, *found[TURN_ID + 1 :])

    def _store(self, place: Place, run: int, seq: int, timestamp: str | None, found: Content, form: Any) -> None:
        if found[KIND] in SPOKEN:
            found, _ = self._echoes.mark(found, form)
        self.batches.add(self.origin, run, seq, 0, timestamp, place.size, self._file, place.offset, found)

    def _long_line(self, data: bytes, place: Place) -> None:
        timestamp, seq, found = head_content(data, place.size)
        run, seq = self._runs.number(seq)
        self.tally.read += 1
        self.tally.remarks[f"lines over {self.settings.line_limit} bytes, read by their heads only"] += 1
        self._store(place, run, seq, timestamp, found, "long_line")

    def _check_meta(self, path: Path, name: str, sha256: str | None, size: int) -> None:
        meta_path = path.with_name(path.name.replace(".jsonl", ".meta.json"))
        try:
            meta = mapping(orjson.loads(meta_path.read_bytes()))
        except FileNotFoundError:
            self.unclosed = self.unclosed or name
            return
        except (OSError, ValueError) as error:
            self.tally.notes.append(f"{name}: its meta.json cannot be read ({type(error).__name__})")
            return
        if integer(meta.get("bytes")) != size or sha256 not in (None, meta.get("sha256")):
            self.tally.notes.append(
                f"{name}: differs from its meta.json (two processes wrote it, or it was edited or redacted); read as it is"
            )

    def finish(self) -> None:
        """Add what only the whole sequence shows to the notes."""
        self.tally.notes.extend(self._runs.notes())


def _turn_of(event_id: str | None) -> str | None:
    """The turn an event id names. Ids of session-internal contexts are no turns, and `auto-compact-N` is no compaction."""
    return None if not event_id or event_id.startswith("auto-compact-") else event_id
