"""Trace spine v1 directories to events: segments in order, runs, sequence numbers, checksums.

The spine is what the `ajessitech/codex` fork writes under `trace_spine/<thread_id>/`: `segment-NNN.jsonl` files, each
with a `segment-NNN.meta.json` once it is closed. A missing meta means "not closed cleanly, or still open"; a hash
that does not fit is an anomaly worth a note, not a reason to lose the session.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import Any

import orjson

from codex_loop_assets.traces import quick
from codex_loop_assets.traces.batches import EventBatches
from codex_loop_assets.traces.copied_history import CopiedHistory
from codex_loop_assets.traces.decode import NotARecord, decode
from codex_loop_assets.traces.echoes import REPEATED_REASONING, SPOKEN, Echoes
from codex_loop_assets.traces.lines import Block, read_blocks
from codex_loop_assets.traces.long_lines import head_content
from codex_loop_assets.traces.normalise import Normaliser
from codex_loop_assets.traces.row import DETAIL, KIND, Content, with_own_tokens
from codex_loop_assets.traces.runs import RunNumbers
from codex_loop_assets.traces.settings import ReadSettings
from codex_loop_assets.traces.tally import Tally
from codex_loop_assets.traces.timestamps import timestamp_text
from codex_loop_assets.traces.values import integer, mapping, merged_json, string

SCHEMA_VERSION = "codex_trace_spine_v1"
SEGMENT = re.compile(r"^segment-(\d+)\.jsonl$")
_RUN_START = re.compile(rb'"msg"\s*:\s*\{\s*"type"\s*:\s*"session_configured"')
_PEEK = 1 << 18
_REVIEWERS = frozenset(
    (
        "exec_command_begin", "exec_command_end", "terminal_interaction", "patch_apply_begin", "patch_apply_end", "turn_diff",
        "mcp_tool_call_begin", "mcp_tool_call_end", "web_search_begin", "web_search_end", "view_image_tool_call", "plan_update",
        "user_message", "agent_message", "agent_reasoning", "agent_reasoning_raw_content", "raw_response_item", "item_started",
        "item_completed", "token_count",
    )
)  # fmt: skip
"""What a review's turn records between its beginning and its end is the reviewer's, passed on; the reviewer is a thread with a
spine of its own, where it counts. Its questions to the person are the parent's to answer, and stay."""
_SPEECH = ("agent_message", "agent_reasoning")
_OUTPUT = ("reasoning", "function_call", "custom_tool_call", "local_shell_call", "web_search_call")
_REVIEW_ENDS = ("exited_review_mode", "task_complete", "turn_complete", "turn_aborted")


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
        # Codex leaves a parent's records out of a fork's spine; spines made from rollouts hold the copy that those start with.
        self._copied = CopiedHistory(self.settings)
        self._runs = RunNumbers(self.settings.seq_gap_memory)
        self._turn: str | None = None
        self._reviewing: str | None = None
        self._inherits = self._counts_on = False
        self._totals: Any = None
        self._raw_totals = self._raw_context = b""
        self._raw_thread = self.thread_id.encode("utf-8", "replace")

    def read(self, path: str, name: str) -> None:
        """One segment into the batches. `name` is its path relative to the home. Raises OSError if it cannot be
        opened."""
        self._name, self._file = name, self.batches.file_number(name)
        with open(path, "rb", buffering=0) as stream:
            self._runs.open_segment(starts_run=_RUN_START.search(stream.read(_PEEK)) is not None)
        digest, total, hashed, number = hashlib.sha256(), 0, True, 0
        for block in read_blocks(path, self.settings.line_limit, self.settings.line_head):
            if block.long:
                number, hashed, total = number + 1, False, total + block.long
                self._long_line(block.lines[0], block.offset, block.long)
                continue
            for data in block.lines:
                digest.update(data)
            number, total = self._block(block, number), block.offset + block.size
        self._check_meta(path, name, digest.hexdigest() if hashed else None, total)

    def _block(self, block: Block, number: int) -> int:
        """Read a block's lines, of which the first is number + 1; gives the number of its last."""
        offset = block.offset
        match, quick_line, line = quick.SPINE_HEAD.match, self._quick_line, self._line
        for data in block.lines:
            number += 1
            size = len(data)
            head = match(data) if self._may_be_quick(data) else None
            if head is None or not quick_line(head, data, offset, size):
                line(data, number, offset, size)
            offset += size
        self.batches.settle(offset - block.offset)
        return number

    def _may_be_quick(self, data: bytes) -> bool:
        place = data.find(b'"msg"', 100, 400)
        if place < 0:
            return data.find(b'"turn_context"', 100, 300) > 0
        if self._echoes.reasoned and data.find(b'"reasoning"', place, place + 80) > 0:
            return True
        return data.startswith(quick.SPINE_OPENINGS, place)

    def _quick_line(self, head: re.Match, data: bytes, offset: int, size: int) -> bool:
        """Deal with the frequent kinds that need no decoding; false leaves the line to `_line`."""
        tag = head[6]
        if not data.endswith(quick.ENDS) or head[1] != self._raw_thread or not self._copied.over or self._reviewing:
            return False
        if tag is None:
            if head[4] != b"turn_context":
                return False
            repeats, self._raw_context = data[head.end() :] == self._raw_context, data[head.end() :]
            return repeats and self._pass_over("turn_context_unchanged", head)
        if tag == b"raw_response_item":
            if head[7] != b"reasoning" or not self._echoes.reasoned:
                return False
            self._echoes.reasoned = False
            return self._pass_over(REPEATED_REASONING, head)
        if tag == b"token_count" and not self._inherits and not self._counts_on:
            return self._quick_tokens(data, head, offset, size)
        return tag[-6:] == b"_delta" and tag != b"plan_delta" and self._pass_over("delta", head)

    def _pass_over(self, reason: str, head: re.Match) -> bool:
        self.tally.skipped[reason] += 1
        self._runs.number(int(head[2]))
        return True

    def _quick_tokens(self, data: bytes, head: re.Match, offset: int, size: int) -> bool:
        usage = quick.USAGE.search(data, head.end())
        if usage is None or not quick.is_plain(usage):
            return False
        if usage[1] == self._raw_totals:
            return self._pass_over("token_count_unchanged", head)
        totals = quick.totals(usage)
        if totals is None:
            return False
        self._raw_totals = usage[1]
        if totals == self._totals:
            return self._pass_over("token_count_unchanged", head)
        self._totals = totals
        self.tally.read += 1
        turn = _turn_of(head[5].decode())
        self._store(int(head[2]), offset, size, head[3].decode(), quick.token_count(usage, totals), "token_count", turn)
        return True

    def _line(self, data: bytes, number: int, offset: int, size: int) -> None:
        try:
            record = decode(data)
        except NotARecord:
            if data.strip():
                self.tally.note_torn(f"{self._name}:{number}", offset)
            else:
                self.tally.skipped["blank"] += 1
            return
        if record.get("schema_version") != SCHEMA_VERSION:
            self.wrong_versions += 1
            self.tally.skipped["wrong_schema_version"] += 1
            return
        if record.get("thread_id") != self.thread_id:
            self.tally.remarks["records with another thread_id than their directory"] += 1
        timestamp, seq = record.get("timestamp"), integer(record.get("seq"))
        if not self._copied.over and self._copied.covers(record):
            self._runs.number(seq)
            self.tally.skipped["copied_history"] += 1
            return
        if type(timestamp) is not str:
            timestamp = timestamp_text(timestamp)
        if self.first_time is None:
            self.first_time = timestamp
        found, form, turn = self._content(record.get("type"), record.get("payload"))
        if type(found) is str:
            self._runs.number(seq)
            self.tally.skipped[found] += 1
            return
        self.tally.read += 1
        self._store(seq, offset, size, timestamp, found, form, turn)

    def _content(self, kind: Any, payload: Any) -> tuple[Content | str, Any, str | None]:
        """(content or skip reason, form, turn id)."""
        body = mapping(payload)
        if kind == "event":
            return self._event(body)
        if kind == "submission":
            op = body.get("op")
            return self._normaliser.submission(op), "submission", self._submission_turn(body, mapping(op))
        if kind == "turn_context":
            self._turn = string(body.get("turn_id")) or self._turn
            return self._normaliser.record(kind, body.get("context")), kind, self._turn
        if kind == "session_meta":
            self.meta = self.meta or body
            self._inherits = bool(body.get("forked_from_id"))
            return self._normaliser.record(kind, body), kind, None
        if kind in ("compaction_boundary", "bridge"):
            turn = string(body.get("turn_id") or body.get("parent_turn_id"))
            return self._normaliser.record(kind, body), kind, turn
        if kind == "artifact_ref":
            return self._normaliser.record(kind, body), kind, None
        return self._normaliser.other(kind, payload), "other", None

    def _event(self, body: dict) -> tuple[Content | str, Any, str | None]:
        msg = body.get("msg")
        kind = msg.get("type") if type(msg) is dict else None
        turn = _turn_of(string(body.get("id")))
        if self._reviewing is not None and turn == self._reviewing and kind in _REVIEWERS:
            return "forwarded_from_reviewer", kind, turn
        if kind == "token_count":
            return self._token_count(msg), kind, turn
        if self._inherits and _is_output(kind, msg):
            self._inherits, self._counts_on = False, True
        if kind == "session_configured":
            # A new process counts its turns from 0 again, and a review that was cut off is over.
            self.configured, self._reviewing = True, None
        elif kind == "task_started" or kind == "turn_started":
            self._turn = turn
        elif kind == "entered_review_mode":
            self._reviewing = turn
        elif self._reviewing is not None and kind in _REVIEW_ENDS:
            self._reviewing = None
        return self._normaliser.event(msg), kind, turn

    def _token_count(self, msg: dict) -> Content | str:
        info = mapping(mapping(msg.get("payload")) or msg).get("info")
        totals = mapping(info).get("total_token_usage")
        if info is None or (totals is not None and totals == self._totals):
            return "token_count_unchanged"
        self._totals, self._raw_totals = totals, b""
        found = self._normaliser.event(msg)
        if self._inherits and totals is not None and type(found) is not str:
            # A fork counts its tokens on from its parent's totals, which Codex reports before the first request.
            self._inherits = False
            return (*found[:DETAIL], merged_json(found[DETAIL], {"inherited": True}))
        if self._counts_on and totals is not None and type(found) is not str:
            self._counts_on = False
            return with_own_tokens(found, info)
        return found

    def _submission_turn(self, body: dict, op: dict) -> str | None:
        kind = op.get("type")
        if kind in ("exec_approval", "patch_approval", "user_input_answer", "request_user_input_response"):
            return string(op.get("turn_id")) or self._turn or string(op.get("id"))
        if kind == "interrupt" or kind == "shutdown":
            return self._turn
        return string(body.get("id"))

    def _store(
        self,
        seq: int | None,
        offset: int,
        size: int,
        timestamp: str | None,
        found: Content,
        form: Any,
        turn: str | None,
    ) -> None:
        run, seq = self._runs.number(seq)
        if found[KIND] in SPOKEN:
            found, _ = self._echoes.mark(found, form)
        self.batches.rows.append((self.origin, run, seq, 0, timestamp, size, self._file, offset, turn, *found))

    def _long_line(self, data: bytes, offset: int, size: int) -> None:
        timestamp, seq, found = head_content(data, size)
        self.tally.read += 1
        self.tally.remarks[f"lines over {self.settings.line_limit} bytes, read by their heads only"] += 1
        self._store(seq, offset, size, timestamp, found, "long_line", None)

    def _check_meta(self, path: str, name: str, sha256: str | None, size: int) -> None:
        try:
            with open(path.removesuffix(".jsonl") + ".meta.json", "rb") as stream:
                meta = mapping(orjson.loads(stream.read()))
        except FileNotFoundError:
            self.unclosed = self.unclosed or name
            return
        except (OSError, ValueError) as error:
            self.tally.notes.append(f"{name}: its meta.json cannot be read ({type(error).__name__})")
            return
        if integer(meta.get("bytes")) != size or sha256 not in (None, meta.get("sha256")):
            self.tally.notes.append(
                f"{name}: differs from its meta.json (two processes wrote it, or it was edited or redacted); "
                "read as it is"
            )

    def finish(self) -> None:
        """Add what only the whole sequence shows to the notes."""
        self.tally.notes.extend(self._runs.notes())


def _is_output(kind: Any, msg: Any) -> bool:
    """Whether a record is the model's, so that a request has been made."""
    item = mapping(mapping(msg).get("item")) if kind == "raw_response_item" else {}
    return kind in _SPEECH or item.get("type") in _OUTPUT or item.get("role") == "assistant"


def _turn_of(event_id: str | None) -> str | None:
    """The turn an event id names. Ids of session-internal contexts are no turns, and `auto-compact-N` is no
    compaction."""
    return None if not event_id or event_id.startswith("auto-compact-") else event_id
