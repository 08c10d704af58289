"""The content of one event, before it is known where it stood: a tuple in the order of CONTENT.

A tuple and not a class, because one is made for every line of every file.
"""

from __future__ import annotations

from typing import Any

from codex_loop_assets.traces.values import INT32_MAX, integer, mapping, merged_json

CONTENT = (
    "kind", "turn_id", "call_id", "role", "name", "text", "command", "cwd", "exit_code", "duration_ms", "success",
    "decision", "paths", "tokens", "detail",
)  # fmt: skip
KIND, TURN_ID, CALL_ID, ROLE, NAME, TEXT = range(6)
DETAIL = len(CONTENT) - 1

Content = tuple


def content(
    kind: str,
    turn_id: str | None = None,
    call_id: str | None = None,
    role: str | None = None,
    name: str | None = None,
    text: str | None = None,
    command: str | None = None,
    cwd: str | None = None,
    exit_code: Any = None,
    duration_ms: int | None = None,
    success: bool | None = None,
    decision: str | None = None,
    paths: list[str] | None = None,
    tokens: str | None = None,
    detail: dict | None = None,
) -> Content:
    """One event's content. `detail` holds the record's further small fields; absent values are left out of it."""
    return (
        kind, turn_id, call_id, role, name, text, command, cwd,
        None if exit_code is None else integer(exit_code, INT32_MAX),
        duration_ms, success, decision, paths or None, tokens, detail or None,
    )  # fmt: skip


_NONE = (None,) * (DETAIL - TEXT - 1)


def words(kind: str, role: str | None, text: str | None, detail: dict | None = None) -> Content:
    """Content of what somebody said: `content` for the most frequent records."""
    return (kind, None, None, role, None, text, *_NONE, detail)


def call(
    kind: str,
    call_id: str | None,
    name: str | None,
    text: str | None,
    command: str | None = None,
    cwd: str | None = None,
    paths: list[str] | None = None,
    detail: dict | None = None,
) -> Content:
    """Content of what the model asked a tool for."""
    return (
        kind, None, call_id, None, name, text, command, cwd, None, None, None, None, paths or None, None, detail or None,
    )  # fmt: skip


def result(
    kind: str,
    call_id: str | None,
    text: str | None,
    exit_code: int | None,
    duration_ms: int | None,
    detail: dict | None,
) -> Content:
    """Content of what a tool answered."""
    return (
        kind, None, call_id, None, None, text, None, None, exit_code, duration_ms, None, None, None, None, detail,
    )  # fmt: skip


def with_own_tokens(count: Content, info: dict) -> Content:
    """The first token count of a fork of which Codex did not say where it began: its totals go on from its parent's, and
    what it used itself until then is what its request used."""
    last = mapping(info.get("last_token_usage"))
    return (*count[:DETAIL], merged_json(count[DETAIL], {"own": last})) if last else count


def present(**values: Any) -> dict:
    """The values that are there: no null, no empty container."""
    return {key: value for key, value in values.items() if value or (value is not None and value != [] and value != {})}
