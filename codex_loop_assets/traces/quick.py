"""Patterns that read the frequent, uninteresting lines without decoding them.

Only for lines in the usual key order, which close with `}}`; anything else takes the long way with the same result.
Unescaped quotes cannot occur inside a JSON string, so a tag at the start of the line is the record's own.
"""

from __future__ import annotations

import re

from orjson import JSONDecodeError, loads

from codex_loop_assets.traces.row import Content, words
from codex_loop_assets.traces.values import to_json

ROLLOUT_HEAD = re.compile(rb'\{"timestamp":"([0-9T:.Z+-]*)",("ordinal":\d+,)?"type":"')
"""Groups: timestamp, ordinal or None."""

SPINE_HEAD = re.compile(
    rb'\{"schema_version": ?"codex_trace_spine_v1", ?"thread_id": ?"([^"\\]*)", ?"seq": ?(\d{1,15}), ?'
    rb'"timestamp": ?"([^"\\\x80-\xff]*)", ?'
    rb'"type": ?"(event|turn_context)", ?"payload": ?\{(?:"id": ?"([^"\\\x80-\xff]*)", ?"msg": ?\{"type": ?"([a-z_]+)"'
    rb'(?:, ?"item": ?\{"type": ?"([a-z_]+)")?)?'
)
"""Groups: thread id, seq, timestamp, type, event id, event tag, item tag."""

DELTAS = (
    "exec_command_output_delta", "agent_message_delta", "agent_message_content_delta", "agent_reasoning_delta",
    "agent_reasoning_raw_content_delta", "reasoning_content_delta", "reasoning_raw_content_delta",
)  # fmt: skip


def _openings(key: str, tags: tuple[str, ...], first_keys: tuple[str, ...] = ()) -> tuple[bytes, ...]:
    """How the objects under `key` begin that may be quick, written with and without spaces."""
    starts = [f'"type"{{}}"{tag}"' for tag in tags] + [f'"{first}"' for first in first_keys]
    return tuple(f'"{key}"{colon}{{{start.replace("{}", colon)}'.encode() for colon in (":", ": ") for start in starts)


# Cheaper than the pattern, and most lines fail it: does the event begin like one of them?
SPINE_OPENINGS = _openings("msg", ("token_count", *DELTAS))
ENDS = (b"}}\n", b"}}")

SNAPSHOT = re.compile(
    rb'"type":"ghost_snapshot","ghost_commit":\{"id":"([^"\\\x00-\x1f\x80-\xff]*)",'
    rb'"parent":(?:null|"([^"\\\x00-\x1f\x80-\xff]*)"),"preexisting_untracked_'
)
"""A ghost_snapshot from its tag on: ids of the commit and of its parent."""

USAGE = re.compile(
    rb'"total_token_usage": ?(\{[^}]*\}), ?'
    rb'"last_token_usage": ?\{[^}]*"total_tokens": ?(\d{1,18})[^}]*\}, ?"model_context_window": ?(?:(\d{1,18})|null)'
)
"""Groups: totals, tokens in the context, the window's size or None; of two plain objects only where `is_plain`."""

_TOKENS = b'{"context_tokens":%b,"context_window":%b}'
_TOKEN_COUNT = words("token_count", None, None)[:-2]
_SNAPSHOT = words("ghost_snapshot", None, None)[:-1]
REASONING = words("reasoning", None, None)
"""Content of a reasoning item that `is_silent_reasoning`."""

_SILENT_REASONING = re.compile(
    rb'"type":"reasoning",(?:"id":"[^"\\]*",)?"summary":\[\],(?:"content":null,)?"encrypted_content":"'
)


_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_="


def is_silent_reasoning(data: bytes, start: int) -> bool:
    """Whether a reasoning item, from its tag on, is an empty summary and one encrypted text: nothing
    that is kept, so it need not be decoded. Only base64 counts: a line with anything else may be no JSON at all."""
    opening = _SILENT_REASONING.match(data, start)
    return opening is not None and data[opening.end() :].translate(None, _BASE64) in (b'"}}\n', b'"}}')


def is_plain(usage: re.Match) -> bool:
    """Whether a match of USAGE is two objects without others inside, in ASCII. Asked afterwards, because a pattern that
    says so looks at each character by itself and takes twice the time."""
    text = usage[0]
    return text.count(b"{") == 2 and text.isascii()


def snapshot(commit: re.Match) -> Content:
    """Content of a ghost_snapshot, from a match of SNAPSHOT."""
    own, parent = commit.groups()
    detail = b'{"id":"%b"}' % own if parent is None else b'{"id":"%b","parent":"%b"}' % (own, parent)
    return (*_SNAPSHOT, detail.decode())


def totals(usage: re.Match) -> dict | None:
    """The totals of a match of USAGE; None where they are no JSON after all."""
    try:
        return loads(usage[1])
    except JSONDecodeError:
        return None


def token_count(usage: re.Match, totals: dict) -> Content:
    """Content of a token_count: totals, tokens in the context after the last request, and the window's size."""
    used, window = usage[2], usage[3]
    detail = b'{"context_tokens":%b}' % used if window is None else _TOKENS % (used, window)
    return (*_TOKEN_COUNT, to_json(totals) if totals else None, detail.decode())
