"""Patterns that read the frequent, uninteresting lines without decoding them.

Only for lines written compactly in the usual key order, which closes with `}}`; anything else takes the long way with the same
result. Unescaped quotes cannot occur inside a JSON string, so a match at the start of the line is the record's own tag.
"""

from __future__ import annotations

import re

from codex_loop_assets.traces.row import Content, content
from codex_loop_assets.traces.values import to_json

ROLLOUT_HEAD = re.compile(
    rb'\{"timestamp": ?"([^"\\]*)", ?("ordinal": ?\d+, ?)?"type": ?"([a-z_]+)", ?'
    rb'"payload": ?\{(?:"type": ?"([a-z_]+)")?'
)
"""Groups: timestamp, ordinal or None, type, the payload's type where that is its first key."""

SPINE_HEAD = re.compile(
    rb'\{"schema_version": ?"codex_trace_spine_v1", ?"thread_id": ?"([^"\\]*)", ?"seq": ?(\d{1,15}), ?"timestamp": ?"([^"\\]*)", ?'
    rb'"type": ?"(event|turn_context)", ?"payload": ?\{(?:"id": ?"([^"\\]*)", ?"msg": ?\{"type": ?"([a-z_]+)"'
    rb'(?:, ?"item": ?\{"type": ?"([a-z_]+)")?)?'
)
"""Groups: thread id, seq, timestamp, type, event id, event tag, item tag."""

USAGE = re.compile(
    rb'"total_token_usage": ?(\{[^{}]*\}), ?"last_token_usage": ?\{[^{}]*"total_tokens": ?(\d+)[^{}]*\}, ?"model_context_window": ?(\d+|null)'
)


def token_count(usage: re.Match) -> Content:
    """Content of a token_count: totals, tokens in the context after the last request, and the window's size."""
    detail = {"context_tokens": int(usage[2])}
    if usage[3] != b"null":
        detail["context_window"] = int(usage[3])
    return content("token_count", tokens=usage[1].decode(), detail=to_json(detail))
