"""Stock Codex rollouts written line by line (May 2025 on) to events, one thread at a time.

Line shapes are told apart line by line, because a file started by an old build may be continued by a newer one:
`{timestamp,type,payload}` (September 2025 on; with turn events since February 2026, with `ordinal` and items in place of
events since August 2026), or bare metadata and bare ResponseItems before that.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from codex_loop_assets.traces.batches import EventBatches
from codex_loop_assets.traces.copied_history import CopiedHistory
from codex_loop_assets.traces.decode import NotARecord, decode
from codex_loop_assets.traces.echoes import Echoes
from codex_loop_assets.traces.lines import DamagedFile, Line, read_lines
from codex_loop_assets.traces.long_lines import head_content
from codex_loop_assets.traces.normalise import Normaliser
from codex_loop_assets.traces.row import KIND, TURN_ID, Content
from codex_loop_assets.traces.settings import ReadSettings
from codex_loop_assets.traces.tally import Tally
from codex_loop_assets.traces.timestamps import timestamp_text

DELTA = b'_delta"'


@dataclass
class RolloutReader:
    """Reads the files of one thread in order; each file is a run of its own, because line numbers start again."""

    settings: ReadSettings
    tally: Tally = field(default_factory=Tally)
    meta: dict | None = None
    era: str | None = None

    def __post_init__(self) -> None:
        self.batches = EventBatches(self.settings)
        self._normaliser = Normaliser(self.settings, self.tally)
        self._echoes = Echoes()
        self._turn: str | None = None
        self._turns_inferred = 0
        self._turn_ids_written = False
        self._totals: Any = None

    def read(self, run: int, path: Path, name: str) -> None:
        """One file into the batches. `name` is its path relative to the home. Raises OSError if it cannot be opened."""
        copied = CopiedHistory(self.settings)
        self._file, self._run = name, run
        try:
            for number, line in enumerate(read_lines(path, self.settings.line_limit, self.settings.line_head), 1):
                self._line(number, line, copied)
        except DamagedFile as error:
            self.tally.torn += 1
            self.tally.notes.append(f"{name}: {error}")

    def read_items(self, run: int, name: str, session: dict, items: list) -> None:
        """The parts of a single-document session; `seq` is the place of an item, `part` the same, at offset 0."""
        self._file, self._run = name, run
        self.meta, self.era = self.meta or session, self.era or "A"
        self._store(
            0,
            Line(0, b"", 0, True, True),
            timestamp_text(session.get("timestamp")),
            self._normaliser.record("session_meta", session),
            "meta",
        )
        for place, item in enumerate(items, 1):
            found = self._normaliser.response_item(item)
            if type(found) is str:
                self.tally.remarks[f"items not kept: {found}"] += 1
            else:
                self._store(place, Line(0, b"", 0, True, True), None, found, "item")

    def _line(self, number: int, line: Line, copied: CopiedHistory) -> None:
        tally = self.tally
        if not line.whole:
            self._long_line(number, line)
            return
        if DELTA in line.data[:300] and line.data.endswith(b"}") and b'"type":"event_msg"' in line.data[:120]:
            tally.skipped["delta"] += 1
            return
        try:
            record = decode(line.data)
        except NotARecord:
            if line.data.strip():
                tally.torn += 1
                tally.notes.append(
                    f"{self._file}:{number}: not a JSON record"
                    + ("" if line.ended else " (cut off at the end of the file)")
                )
            else:
                tally.skipped["blank"] += 1
            return
        if copied.covers(record, first=number == 1):
            tally.skipped["copied_history"] += 1
            return
        self._record(number, line, record)

    def _record(self, number: int, line: Line, record: dict) -> None:
        payload, kind = record.get("payload"), record.get("type")
        shaped = "payload" in record and type(kind) is str
        timestamp = timestamp_text(record.get("timestamp"))
        if shaped:
            form, found = kind, self._shaped(kind, payload, record)
            if type(payload) is dict and type(payload.get("type")) is str:
                form = payload["type"]
        else:
            form, found = "bare", self._bare(record, first=number == 1)
        if type(found) is str:
            self.tally.skipped[found] += 1
            return
        self.tally.read += 1
        self._store(number, line, timestamp, found, form)

    def _shaped(self, kind: str, payload: Any, record: dict) -> Content | str:
        self._see_era("E" if "ordinal" in record else "C")
        if kind == "response_item":
            return self._normaliser.response_item(payload)
        if kind == "event_msg":
            return self._event(payload)
        if kind == "session_meta":
            return self._session_meta(payload)
        if kind == "turn_context":
            self._see_turn(payload)
            return self._normaliser.record("turn_context", payload)
        if kind == "compacted":
            return self._normaliser.record("compacted", payload)
        return self._normaliser.other(kind, payload)

    def _event(self, msg: Any) -> Content | str:
        if type(msg) is not dict:
            return self._normaliser.event(msg)
        if msg.get("type") == "token_count":
            info = msg.get("info")
            totals = info.get("total_token_usage") if type(info) is dict else None
            if totals is None or totals == self._totals:
                return "token_count_unchanged"
            self._totals = totals
        elif "turn_id" in msg:
            self._see_turn(msg)
        return self._normaliser.event(msg)

    def _session_meta(self, payload: Any) -> Content | str:
        if self.meta is None and type(payload) is dict:
            self.meta = payload
        elif type(payload) is dict and payload.get("id") != (self.meta or {}).get("id"):
            return "session_meta_of_another_thread"
        return self._normaliser.record("session_meta", payload)

    def _bare(self, record: dict, first: bool) -> Content | str:
        if "record_type" in record:
            return "state_record"
        if self.meta is None and "id" in record and "type" not in record:
            self.meta = record
            self._see_era("B")
            return self._normaliser.record("session_meta", record)
        self._see_era("B")
        return self._normaliser.response_item(record)

    def _see_era(self, era: str) -> None:
        if self.era is None or era > self.era:
            self.era = era

    def _see_turn(self, body: Any) -> None:
        turn = body.get("turn_id") if type(body) is dict else None
        if type(turn) is str and turn:
            self._turn, self._turn_ids_written = turn, True
            self._see_era("D")

    def _store(self, number: int, line: Line, timestamp: str | None, found: Content, form: str) -> None:
        found, new_words = self._echoes.mark(found, form)
        if found[KIND] in ("task_started", "task_complete"):
            self._see_era("D")
        if new_words and not self._turn_ids_written:
            self._turns_inferred += 1
            self._turn = str(self._turns_inferred)
        if found[TURN_ID] is None and self._turn is not None:
            found = (found[KIND], self._turn, *found[TURN_ID + 1 :])
        part = number if self.era == "A" else 0
        self.batches.add(self._run, number, part, timestamp, line.size, self._file, line.offset, found)

    def _long_line(self, number: int, line: Line) -> None:
        timestamp, _, found = head_content(line)
        self.tally.read += 1
        self.tally.remarks[f"lines over {self.settings.line_limit} bytes, read by their heads only"] += 1
        self._store(number, line, timestamp, found, "long_line")


def rollout_lines(path: Path, settings: ReadSettings, count: int) -> Iterator[dict]:
    """The first `count` readable records of a file."""
    for number, line in enumerate(read_lines(path, settings.line_limit, settings.line_head), 1):
        try:
            yield decode(line.data)
        except NotARecord:
            pass
        if number >= count:
            return
