"""Short redacted pieces of trace text, made fit for the Markdown and SQL of a ticket.

What belongs here: cutting, escaping and quoting. What does not: deciding what is secret (`signals.redaction`).

Text from a trace is data. In Markdown it only ever stands inside a code span or a fenced block, or escaped character by
character, so that it can neither start a heading or a link, nor mention a person, nor close the fence it stands in.
"""

from __future__ import annotations

import re

from codex_loop_assets.signals.redaction import redact

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]")
# What means something inside a line, the start of an autolink, and what means something only where a block begins.
_INLINE = re.compile(r"[\\`*_{}\[\]<>&|~#@$]|:(?=//)|(?<=\bwww)\.")
_BLOCK_START = re.compile(r"^(?:[-+=]|\d{1,9}(?=[.)]))")
_ZERO_WIDTH_SPACE = "\u200b"


def excerpt(text: str | None, thread_id: str | None, limit: int = 240) -> str:
    """Redacted text on one line, at most `limit` characters, cut at the end with an ellipsis; '' for None.

    Redaction comes before the cut: half a secret is no longer recognised as one.
    """
    flat = " ".join(_CONTROL.sub(" ", redact(text or "", thread_id)).split())
    return flat if len(flat) <= limit else flat[: limit - 1].rstrip() + "…"


def passage(text: str | None, thread_id: str | None, lines: int = 12, limit: int = 1200) -> str:
    """Redacted text with its line breaks, at most `lines` lines and `limit` characters, the middle cut out."""
    clean = _CONTROL.sub("", redact(text or "", thread_id).replace("\r\n", "\n").replace("\r", "\n"))
    rows = clean.strip("\n").split("\n")
    if len(rows) > lines:
        head = lines // 2
        rows = [*rows[:head], f"… {len(rows) - lines + 1} lines …", *rows[len(rows) - (lines - head - 1) :]]
    shown = "\n".join(rows)
    return shown if len(shown) <= limit else shown[: limit // 2] + "\n…\n" + shown[-limit // 2 :]


def escape(text: str) -> str:
    """Plain words for one place inside a Markdown line: what could start markup or a link is escaped, the rest stays
    readable. `@name` and `#1` get a zero-width space, because GitHub links mentions after the Markdown has been
    rendered, when the backslash is gone."""
    flat = " ".join(_CONTROL.sub(" ", text).split())
    escaped = _INLINE.sub(r"\\\g<0>", flat)
    if _BLOCK_START.match(escaped):
        escaped = _ZERO_WIDTH_SPACE + escaped
    return escaped.replace(r"\@", rf"\@{_ZERO_WIDTH_SPACE}").replace(r"\#", rf"\#{_ZERO_WIDTH_SPACE}")


def code(text: str) -> str:
    """A code span whose fence is longer than any run of backticks in the text; a bar is safe for use in tables."""
    flat = " ".join(text.split()) or " "
    fence = "`" * (_longest_run(flat) + 1)
    padding = " " if flat[0] == "`" or flat[-1] == "`" else ""
    return f"{fence}{padding}{flat}{padding}{fence}"


def block(text: str, language: str = "text") -> str:
    """A fenced block whose fence is longer than any run of backticks in the text."""
    fence = "`" * max(3, _longest_run(text) + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def literal(value: str | int | float | None) -> str:
    """A value as a DuckDB literal. DuckDB knows no backslash escapes in '…', so doubling the quotes is enough.

    Raises ValueError for text with a NUL, which no SQL string can hold.
    """
    if value is None:
        return "NULL"
    if isinstance(value, str):
        if "\x00" in value:
            raise ValueError("a SQL literal cannot hold a NUL character")
        return "'" + value.replace("'", "''") + "'"
    return repr(value)


def _longest_run(text: str) -> int:
    return max((len(run) for run in re.findall(r"`+", text)), default=0)
