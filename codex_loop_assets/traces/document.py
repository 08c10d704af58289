"""The first Codex (TypeScript, spring 2025): one JSON document per session, `{"session": {...}, "items":
[ResponseItem]}`.

Documents have no lines and no times; `seq` is the item's place from 1 (the session is 0), and the whole file counts
as read or torn. The first builds gave a session a new id with every save, so that it left several files, each of which
begins with all that the one before held.
"""

from __future__ import annotations

import hashlib
import marshal
from typing import Any

from codex_loop_assets.traces.decode import NotARecord, decode
from codex_loop_assets.traces.lines import open_stream
from codex_loop_assets.traces.rollout import RolloutReader
from codex_loop_assets.traces.values import mapping, sequence

ERA = "A"


def document_meta(path: str) -> dict:
    """The `session` object; {} when the document is incomplete. Raises OSError."""
    try:
        return mapping(_document(path).get("session"))
    except NotARecord:
        return {}


def read_document(reader: RolloutReader, run: int, path: str, name: str) -> tuple[bytes, ...]:
    """One document into the reader's batches, and its `states`. Raises OSError, or NotARecord when it is no complete
    document."""
    document = _document(path)
    if "session" not in document or "items" not in document:
        raise NotARecord("no session or no items")
    items = sequence(document["items"])
    reader.read_items(run, name, mapping(document["session"]), items)
    return states(items)


def opening(path: str) -> str | None:
    """How the conversation of a document begins, up to the first that the model made, as a digest; the same in all saves of
    a session. None where there is no answer or no complete document. Raises OSError."""
    try:
        return named(states(sequence(_document(path).get("items"))))
    except NotARecord:
        return None


def named(found: tuple[bytes, ...]) -> str | None:
    """The `opening` of a document with these states."""
    return found[0].hex()[:16] if found else None


def states(items: list) -> tuple[bytes, ...]:
    """A digest of the conversation after each of its items, from the first on that the model made: another document with one
    of these as its last is an earlier save of the same session. A prompt alone may have been typed twice."""
    digest, found, answered = hashlib.sha256(), [], False
    for item in items:
        # Any decoded JSON has such a form, however large its numbers or deep its lists; form 2 depends on nothing but values.
        digest.update(marshal.dumps(item, 2))
        answered = answered or _is_answer(item)
        if answered:
            found.append(digest.digest())
    return tuple(found)


def _is_answer(item: Any) -> bool:
    return mapping(item).get("role") not in ("user", "system", "developer")


def _document(path: str) -> dict:
    with open_stream(path) as stream:
        return decode(stream.read())
