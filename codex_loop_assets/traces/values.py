"""Reading values whose JSON type is not guaranteed: enums that turn from strings into objects, paths that are URIs, ...

Belongs here: small total functions from any JSON value to a plain one or None. They never raise.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote, urlsplit

import orjson

INT32_MAX = 2**31 - 1
INT64_MAX = 2**63 - 1


def string(value: Any) -> str | None:
    """The value if it is a string; None for null; JSON text for anything else."""
    if value is None or type(value) is str:
        return value
    return to_json(value)


def integer(value: Any, limit: int = INT64_MAX) -> int | None:
    """An int (or whole float) within +-limit, else None. Booleans are no numbers."""
    if type(value) is int:
        return value if -limit <= value <= limit else None
    if type(value) is float and value == value and abs(value) <= limit:
        return int(value)
    return None


def boolean(value: Any) -> bool | None:
    return value if type(value) is bool else None


def mapping(value: Any) -> dict:
    """The value if it is an object, else {}."""
    return value if type(value) is dict else {}


def sequence(value: Any) -> list:
    """The value if it is a list, else []."""
    return value if type(value) is list else []


def tag(value: Any) -> str | None:
    """Name of an enum value that is either a string or an object with one key (or a `type`/`mode` tag)."""
    if type(value) is str:
        return value
    if type(value) is dict and value:
        named = value.get("type") or value.get("mode")
        return named if type(named) is str else next(iter(value))
    return None


def to_json(value: Any) -> str:
    """Compact JSON text; what orjson cannot write (integers over 64 bits, odd keys) is written as its repr."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        options = orjson.OPT_NON_STR_KEYS | orjson.OPT_PASSTHROUGH_SUBCLASS
        return orjson.dumps(value, default=repr, option=options).decode()


def merged_json(text: str | None, more: dict) -> str:
    """A JSON object's text with further fields."""
    return to_json({**(orjson.loads(text) if text else {}), **more})


def cut(text: str | None, limit: int, note: str = "") -> str | None:
    """The text, or its head (three quarters of the limit) and tail with a mark of how much is missing between, and a
    note in it."""
    if text is None or len(text) <= limit:
        return text
    head = limit * 3 // 4
    tail = limit - head
    return f"{text[:head]}\n[... {len(text) - limit} characters cut{note} ...]\n{text[-tail:]}"


def milliseconds(duration: Any) -> int | None:
    """A Rust Duration object {secs, nanos} in milliseconds."""
    if type(duration) is not dict:
        return None
    seconds, nanos = integer(duration.get("secs"), 2**40), integer(duration.get("nanos"), 2**40)
    return None if seconds is None else seconds * 1000 + (nanos or 0) // 1_000_000


def plain_path(value: Any) -> str | None:
    """A path; `file://` URIs (Codex since mid-2026) are decoded, with the slash before a Windows drive dropped."""
    if type(value) is not str:
        return None
    if not value.startswith("file://"):
        return value
    try:
        path = unquote(urlsplit(value).path)
    except ValueError:
        return value
    return path[1:] if len(path) > 2 and path[0] == "/" and path[2] == ":" else path
