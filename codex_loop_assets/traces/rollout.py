"""Stock Codex rollouts written line by line (May 2025 on) to events, one thread at a time.

Line shapes are told apart line by line, because a file started by an old build may be continued by a newer one:
`{timestamp,type,payload}` (September 2025 on; with turn events since February 2026, with `ordinal` and items in place of
events since August 2026), or bare metadata and bare ResponseItems before that.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from codex_loop_assets.traces import quick
from codex_loop_assets.traces.batches import EventBatches
from codex_loop_assets.traces.copied_history import CopiedHistory
from codex_loop_assets.traces.decode import NotARecord, decode
from codex_loop_assets.traces.echoes import REPEATED_REASONING, SPOKEN, Echoes
from codex_loop_assets.traces.lines import DamagedFile, read_blocks
from codex_loop_assets.traces.long_lines import head_content
from codex_loop_assets.traces.normalise import Normaliser
from codex_loop_assets.traces.place import Place
from codex_loop_assets.traces.row import KIND, TURN_ID, Content, content
from codex_loop_assets.traces.settings import ReadSettings
from codex_loop_assets.traces.tally import Tally
from codex_loop_assets.traces.timestamps import timestamp_text


@dataclass
class RolloutReader:
    """Reads the files of one thread in order; each file is a run of its own, because line numbers start again.

    origin: the number under which the source's events go into the batches.
    """

    settings: ReadSettings
    batches: EventBatches
    origin: int
    tally: Tally = field(default_factory=Tally)
    meta: dict | None = None
    era: str | None = None
    first_time: str | None = None

    def __post_init__(self) -> None:
        self._normaliser = Normaliser(self.settings, self.tally)
        self._echoes = Echoes()
        self._turn: str | None = None
        self._turns_inferred = 0
        self._turn_ids_written = False
        self._totals: Any = None
        self._raw_totals = self._raw_context = b""

    def read(self, run: int, path: Path, name: str) -> None:
        """One file into the batches. `name` is its path relative to the home. Raises OSError if it cannot be opened."""
        self._begin(run, name)
        self._copied = CopiedHistory(self.settings)
        number = 0
        try:
            for block in read_blocks(path, self.settings.line_limit, self.settings.line_head):
                offset = block.offset
                if block.long:
                    number += 1
                    self._long_line(block.lines[0], Place(number, offset, block.long, block.ended))
                    continue
                for data in block.lines:
                    number += 1
                    size = len(data) + block.ended
                    if not self._quick_line(data, number, offset, size):
                        self._line(data, Place(number, offset, size, block.ended))
                    offset += size
        except DamagedFile as error:
            self.tally.torn += 1
            self.tally.notes.append(f"{name}: {error}")

    def read_items(self, run: int, name: str, session: dict, items: list) -> None:
        """The parts of a single-document session; `seq` is the place of an item, `part` the same, at offset 0."""
        self._begin(run, name)
        self.meta, self.era = self.meta or session, "A"
        self._store(
            Place(0, 0, 0),
            timestamp_text(session.get("timestamp")),
            self._normaliser.record("session_meta", session),
            "",
        )
        for number, item in enumerate(items, 1):
            found = self._normaliser.response_item(item)
            if type(found) is str:
                self.tally.remarks[f"items not kept: {found}"] += 1
            else:
                self._store(Place(number, 0, 0), None, found, "item")

    def _begin(self, run: int, name: str) -> None:
        self._name, self._file, self._run = name, self.batches.file_number(name), run

    def _quick_line(self, data: bytes, number: int, offset: int, size: int) -> bool:
        """Deal with the frequent kinds that need no decoding; false leaves the line to `_line`."""
        head = quick.ROLLOUT_HEAD.match(data)
        if head is None or not self._copied.over or data[-2:] != b"}}":
            return False
        kind = head["tag"]
        if kind is None:
            # A turn context is written for every model request, mostly word for word the same.
            if head["type"] != b"turn_context" or data[head.end() :] != self._raw_context:
                self._raw_context = data[head.end() :] if head["type"] == b"turn_context" else self._raw_context
                return False
            self.tally.skipped["turn_context_unchanged"] += 1
            return True
        if kind == b"token_count":
            return self._quick_tokens(data, head, number, offset, size)
        if kind[-6:] == b"_delta" and head["type"] == b"event_msg":
            self.tally.skipped["delta"] += 1
            return True
        if kind == b"reasoning" and self._echoes.reasoned:
            self._echoes.reasoned = False
            self.tally.skipped[REPEATED_REASONING] += 1
            return True
        return False

    def _quick_tokens(self, data: bytes, head: Any, number: int, offset: int, size: int) -> bool:
        usage = quick.USAGE.search(data)
        if usage is None:
            return False
        if usage[1] == self._raw_totals:
            self.tally.skipped["token_count_unchanged"] += 1
            return True
        self._raw_totals = usage[1]
        found = content("token_count", tokens=usage[1].decode(), detail=quick.window(usage))
        self.tally.read += 1
        self._see_era("E" if head["ordinal"] else "C")
        self._store(Place(number, offset, size), head["time"].decode(), found, "token_count")
        return True

    def _line(self, data: bytes, place: Place) -> None:
        tally = self.tally
        try:
            record = decode(data)
        except NotARecord:
            if data.strip():
                tally.torn += 1
                tally.note_torn(self._name, place)
            else:
                tally.skipped["blank"] += 1
            return
        if not self._copied.over and self._copied.covers(record):
            tally.skipped["copied_history"] += 1
            return
        payload, kind = record.get("payload"), record.get("type")
        timestamp = timestamp_text(record.get("timestamp"))
        self.first_time = self.first_time or timestamp
        if type(kind) is str and "payload" in record:
            form = payload.get("type") if type(payload) is dict else kind
            found = self._shaped(kind, payload, record)
        else:
            form, found = "bare", self._bare(record)
        if type(found) is str:
            tally.skipped[found] += 1
            return
        tally.read += 1
        self._store(place, timestamp, found, form)

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
            if type(info) is dict and totals is None:
                return self._normaliser.event(msg)
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

    def _bare(self, record: dict) -> Content | str:
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

    def _store(self, place: Place, timestamp: str | None, found: Content, form: Any) -> None:
        kind = found[KIND]
        if kind in SPOKEN:
            found, new_words = self._echoes.mark(found, form)
            if new_words and not self._turn_ids_written:
                self._turns_inferred += 1
                self._turn = str(self._turns_inferred)
        elif kind == "task_started" or kind == "task_complete":
            self._see_era("D")
        if found[TURN_ID] is None and self._turn is not None:
            found = (kind, self._turn, *found[TURN_ID + 1 :])
        number, offset, size, _ = place
        part = number if self.era == "A" else 0
        self.batches.add(self.origin, self._run, number, part, timestamp, size, self._file, offset, found)

    def _long_line(self, data: bytes, place: Place) -> None:
        timestamp, _, found = head_content(data, place.size)
        self.tally.read += 1
        self.tally.remarks[f"lines over {self.settings.line_limit} bytes, read by their heads only"] += 1
        self._store(place, timestamp, found, "long_line")


def first_record(path: Path, settings: ReadSettings) -> dict:
    """The first record of a file; {} when there is none. Raises OSError."""
    for block in read_blocks(path, settings.line_limit, settings.line_head):
        for data in block.lines:
            try:
                return decode(data)
            except NotARecord:
                if data.strip():
                    return {}
    return {}
