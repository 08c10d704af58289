"""Exceptions on their way out: a message may quote what could not be read, and whoever catches it keeps it for ever."""

from __future__ import annotations

import traceback

from codex_loop_assets.signals.redaction.redactor import redact


class RedactedError(Exception):
    """Stands for an exception whose message held a secret; says its kind and its redacted message."""


def without_secrets(error: Exception) -> Exception:
    """`error` itself where neither it nor anything that it was raised from says a secret; else a RedactedError in its place,
    with its traceback and its causes. The message of a foreign exception need not come from what can be changed in it."""
    if all(_said(one) == redact(_said(one)) for one in _chain(error)):
        return error
    return _replaced(error, set())


def _chain(error: BaseException) -> list[BaseException]:
    """The exception and all that a printed traceback of it could show."""
    seen: dict[int, BaseException] = {}
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is not None and id(one) not in seen:
            seen[id(one)] = one
            waiting += [one.__cause__, one.__context__, *getattr(one, "exceptions", ())]
    return list(seen.values())


def _said(error: BaseException) -> str:
    return "".join(traceback.format_exception_only(error)).strip()


def _replaced(error: BaseException, seen: set[int]) -> RedactedError:
    seen.add(id(error))
    parts = [_said(error), *map(_said, getattr(error, "exceptions", ()))]
    new = RedactedError(redact("\n".join(parts))).with_traceback(error.__traceback__)
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if before is not None and id(before) not in seen:
        new.__cause__ = _replaced(before, seen)
    return new
