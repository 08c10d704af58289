"""Stock Codex rollouts written line by line (May 2025 on) to events, one thread at a time.

Line shapes are told apart line by line, because a file started by an old build may be continued by a newer one:
`{timestamp,type,payload}` (September 2025 on; with turn events since February 2026, with `ordinal` and items in place
of events since August 2026), or bare metadata and bare ResponseItems before that.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from codex_loop_assets.traces import quick
from codex_loop_assets.traces.batches import EventBatches
from codex_loop_assets.traces.copied_history import CopiedHistory
from codex_loop_assets.traces.decode import NotARecord, decode
from codex_loop_assets.traces.echoes import REPEATED_REASONING, SPOKEN, Echoes
from codex_loop_assets.traces.lines import Block, DamagedFile, read_blocks
from codex_loop_assets.traces.long_lines import head_content
from codex_loop_assets.traces.names import stem_id
from codex_loop_assets.traces.normalise import Normaliser
from codex_loop_assets.traces.row import DETAIL, KIND, Content, with_own_tokens
from codex_loop_assets.traces.settings import ReadSettings
from codex_loop_assets.traces.tally import Tally
from codex_loop_assets.traces.timestamps import timestamp_text
from codex_loop_assets.traces.values import integer, mapping, merged_json, string


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
        self._counts_on = False
        self._copied_totals: tuple[int, int, int, dict] | None = None
        self._raw_totals = self._raw_context = b""
        self._files: dict[str, tuple[int, int]] = {}

    def read(self, run: int, path: str, name: str) -> None:
        """One file into the batches. `name` is its path relative to the home. Raises OSError if it cannot be opened."""
        self._begin(run, name)
        self._copied = CopiedHistory(self.settings)
        number = 0
        try:
            for block in read_blocks(path, self.settings.line_limit, self.settings.line_head):
                if block.long:
                    number += 1
                    self._long_line(block.lines[0], number, block.offset, block.long)
                else:
                    number = self._block(block, number)
        except DamagedFile as error:
            self.tally.torn += 1
            self.tally.notes.append(f"{name}: {error}")

    def read_items(self, run: int, name: str, session: dict, items: list) -> None:
        """The parts of a single-document session; `seq` is the place of an item, `part` the same, at offset 0."""
        self._begin(run, name)
        self.meta, self.era = self.meta or session, "A"
        started = timestamp_text(session.get("timestamp"))
        self._store(0, 0, 0, started, self._normaliser.record("session_meta", session), "")
        for number, item in enumerate(items, 1):
            found = self._normaliser.response_item(item)
            if type(found) is str:
                self.tally.remarks[f"items not kept: {found}"] += 1
            else:
                self._store(number, 0, 0, None, found, "item")
        self.batches.settle(0)

    def _begin(self, run: int, name: str) -> None:
        self._name, self._file, self._run = name, self.batches.file_number(name), run

    def _block(self, block: Block, number: int) -> int:
        """Read a block's lines, of which the first is number + 1; gives the number of its last."""
        offset, line, by_tag, by_key = block.offset, self._line, _QUICK_TAGS, _QUICK_KEYS
        for data in block.lines:
            number += 1
            # Cutting up a piece takes less than finding places in the whole.
            head, _, payload = data[:_LOOK_AT].partition(_PAYLOAD)
            key, _, value = payload.partition(b'":"')
            read = by_tag.get(value.partition(b'"')[0]) if key == b"type" else by_key.get(key)
            if read is None or not read(self, data, len(head) + _TO_KEY, number, offset):
                line(data, number, offset)
            offset += len(data)
        self.batches.settle(offset - block.offset)
        return number

    # The readings of frequent kinds that need no decoding; false leaves the line to `_line`. `place`: of the payload's
    # first key. Most of these lines say nothing new, so what it costs to find that out is what counts.

    def _is_quick(self, data: bytes, place: int, opening: bytes) -> bool:
        """Whether a payload, which is a whole object to the end of its line, follows such an opening."""
        return self._copied.over and data[place - len(opening) : place] == opening and data.endswith(quick.ENDS)

    def _quick_context(self, data: bytes, place: int, number: int, offset: int) -> bool:
        """A turn context is written for every model request, mostly word for word the same."""
        if not self._is_quick(data, place, _CONTEXT):
            return False
        if len(data) - place == len(self._raw_context) and data.endswith(self._raw_context):
            return self._pass_over("turn_context_unchanged")
        self._raw_context = data[place:]
        return False

    def _quick_delta(self, data: bytes, place: int, number: int, offset: int) -> bool:
        return self._is_quick(data, place, _EVENT) and self._pass_over("delta")

    def _quick_tokens(self, data: bytes, place: int, number: int, offset: int) -> bool:
        if self._counts_on or not self._is_quick(data, place, _EVENT):
            return False
        if self._raw_totals and data.startswith(self._raw_totals, place):
            return self._pass_over("token_count_unchanged")
        usage = quick.USAGE.match(data, place + len(_INFO)) if data.startswith(_INFO, place) else None
        if usage is None or not quick.is_plain(usage):
            return False
        totals = quick.totals(usage)
        if totals is None:
            return False
        if totals == self._totals:
            return self._pass_over("token_count_unchanged")
        if not self._quick_store(data, number, offset, quick.token_count(usage, totals)):
            return False
        self._totals, self._raw_totals = totals, data[place : usage.end(1)]
        return True

    def _quick_reasoning(self, data: bytes, place: int, number: int, offset: int) -> bool:
        if not self._is_quick(data, place, _ITEM):
            return False
        repeats, self._echoes.reasoned = self._echoes.reasoned, False
        if repeats:
            return self._pass_over(REPEATED_REASONING)
        return quick.is_silent_reasoning(data, place) and self._quick_store(data, number, offset, quick.REASONING)

    def _quick_snapshot(self, data: bytes, place: int, number: int, offset: int) -> bool:
        commit = quick.SNAPSHOT.match(data, place) if self._is_quick(data, place, _ITEM) else None
        return commit is not None and self._quick_store(data, number, offset, quick.snapshot(commit))

    def _pass_over(self, reason: str) -> bool:
        self.tally.skipped[reason] += 1
        return True

    def _quick_store(self, data: bytes, number: int, offset: int, found: Content) -> bool:
        """Store a record that neither speaks nor starts a turn, unless its opening is out of the ordinary."""
        head = quick.ROLLOUT_HEAD.match(data)
        if head is None:
            return False
        self.tally.read += 1
        era = "E" if head[2] else "C"
        if self.era is None or era > self.era:
            self.era = era
        timestamp = head[1].decode()
        place = (self.origin, self._run, number, 0, timestamp, len(data), self._file, offset, self._turn)
        self.batches.rows.append(place + found)
        return True

    def _line(self, data: bytes, number: int, offset: int) -> None:
        tally = self.tally
        try:
            record = decode(data)
        except NotARecord:
            if data.strip():
                tally.note_torn(f"{self._name}:{number}", offset)
            else:
                tally.skipped["blank"] += 1
            return
        if not self._copied.over:
            if self._copied.covers(record):
                tally.skipped["copied_history"] += 1
                self._name_parent()
                self._copied_totals = (number, offset, len(data), record) if _is_totals(record) else self._copied_totals
                return
            self._inherit_totals()
        payload, kind, timestamp = record.get("payload"), record.get("type"), record.get("timestamp")
        if type(timestamp) is not str:
            timestamp = timestamp_text(timestamp)
        if self.first_time is None:
            self.first_time = timestamp
        if type(kind) is str and "payload" in record:
            form = payload.get("type") if type(payload) is dict else kind
            found = self._shaped(kind, payload, record)
        else:
            form, found = "bare", self._bare(record)
        if form == "reasoning" and self._echoes.reasoned:
            found, self._echoes.reasoned = REPEATED_REASONING, False
        if type(found) is str:
            tally.skipped[found] += 1
            return
        tally.read += 1
        self._store(number, offset, len(data), timestamp, found, form)

    def _name_parent(self) -> None:
        """The first builds that could resume copied the parent without naming it: the copy's own metadata does."""
        parent, self._copied.parent = self._copied.parent, None
        rows = self.batches.rows
        if parent is None or mapping(self.meta).get("forked_from_id") or not rows or rows[-1][0] != self.origin:
            return
        *place, detail = rows[-1]
        rows[-1] = (*place, merged_json(detail, {"forked_from_id": parent}))

    def _inherit_totals(self) -> None:
        """A fork counts its tokens on from its parent's totals: the copy's last ones are kept as where it began."""
        copied, self._copied_totals = self._copied_totals, None
        self._counts_on = copied is None and bool(mapping(self.meta).get("forked_from_id"))
        found = self._event(copied[3]["payload"]) if copied else None
        if copied and type(found) is not str:
            number, offset, size, record = copied
            found = (*found[:DETAIL], merged_json(found[DETAIL], {"inherited": True}))
            self._store(number, offset, size, timestamp_text(record.get("timestamp")), found, "token_count")

    def _shaped(self, kind: str, payload: Any, record: dict) -> Content | str:
        era = "E" if "ordinal" in record else "C"
        if self.era is None or era > self.era:
            self.era = era
        if kind == "response_item":
            return self._normaliser.response_item(payload)
        if kind == "event_msg":
            return self._event(payload)
        if kind == "session_meta":
            return self._session_meta(payload, integer(record.get("ordinal")) or 0)
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
            self._totals, self._raw_totals = totals, b""
            if self._counts_on:
                self._counts_on = False
                return with_own_tokens(self._normaliser.event(msg), info)
        elif "turn_id" in msg:
            self._see_turn(msg)
        return self._normaliser.event(msg)

    def _session_meta(self, payload: Any, ordinal: int) -> Content | str:
        meta = mapping(payload)
        if self.meta is not None and meta.get("id") != self.meta.get("id"):
            return "session_meta_of_another_thread"
        if self.meta is None:
            # Without the instructions: they are most of a day's small sessions, and would be kept until its end.
            self.meta = {key: value for key, value in meta.items() if not key.endswith("instructions")}
            self._counts_on = bool(meta.get("forked_from_id"))
        found = self._normaliser.record("session_meta", meta)
        reverted = self._reverted(mapping(meta.get("history_base")))
        # A later file of the thread is named after its rollout, the first one after the thread.
        self._files[stem_id(self._name)] = (self._run, ordinal)
        return found if reverted is None else (*found[:DETAIL], merged_json(found[DETAIL], {"reverted": reverted}))

    def _reverted(self, base: dict) -> dict | None:
        """What a file that continues another one leaves behind: of `run`, the lines from `from_seq` on."""
        end = integer(base.get("end_ordinal_exclusive"))
        place = self._files.get(string(base.get("thread_id")) or "")
        if end is None or place is None:
            return None
        run, first_ordinal = place
        return {"run": run, "from_seq": end - first_ordinal + 1}

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

    def _store(self, number: int, offset: int, size: int, timestamp: str | None, found: Content, form: Any) -> None:
        kind = found[KIND]
        if kind in SPOKEN:
            found, new_words = self._echoes.mark(found, form)
            if new_words and not self._turn_ids_written:
                self._turns_inferred += 1
                self._turn = str(self._turns_inferred)
        elif kind == "task_started" or kind == "task_complete":
            self._see_era("D")
        part = number if self.era == "A" else 0
        place = (self.origin, self._run, number, part, timestamp, size, self._file, offset, self._turn)
        self.batches.rows.append(place + found)

    def _long_line(self, data: bytes, number: int, offset: int, size: int) -> None:
        timestamp, _, found = head_content(data, size)
        self.tally.read += 1
        self.tally.remarks[f"lines over {self.settings.line_limit} bytes, read by their heads only"] += 1
        self._store(number, offset, size, timestamp, found, "long_line")


_PAYLOAD, _LOOK_AT = b'"payload":{"', 200
_TO_KEY = len(_PAYLOAD) - 1
_INFO = b'"type":"token_count","info":{'
_CONTEXT, _EVENT, _ITEM = (
    f'"type":"{kind}","payload":{{'.encode() for kind in ("turn_context", "event_msg", "response_item")
)
_QUICK_KEYS = dict.fromkeys((b"cwd", b"turn_id"), RolloutReader._quick_context)
_QUICK_TAGS = {
    b"token_count": RolloutReader._quick_tokens,
    b"reasoning": RolloutReader._quick_reasoning,
    b"ghost_snapshot": RolloutReader._quick_snapshot,
    **{delta.encode(): RolloutReader._quick_delta for delta in quick.DELTAS},
}
"""The first key of a payload, or its tag where that comes first -> how its line is read without decoding."""


def _is_totals(record: dict) -> bool:
    payload = record.get("payload")
    return type(payload) is dict and payload.get("type") == "token_count" and record.get("type") == "event_msg"


def first_record(path: str, settings: ReadSettings) -> dict:
    """The first record of a file; {} when there is none. Raises OSError."""
    for block in read_blocks(path, settings.line_limit, settings.line_head):
        for data in block.lines:
            try:
                return decode(data)
            except NotARecord:
                if data.strip():
                    return {}
    return {}
