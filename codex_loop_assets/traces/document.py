"""The first Codex (TypeScript, spring 2025): one JSON document per session, `{"session": {...}, "items":
[ResponseItem]}`.

Documents have no lines and no times; `seq` is the item's place from 1 (the session is 0), and the whole file counts
as read or torn.
"""

from __future__ import annotations

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


def read_document(reader: RolloutReader, run: int, path: str, name: str) -> None:
    """One document into the reader's batches. Raises OSError, or NotARecord when it is no complete document."""
    document = _document(path)
    if "session" not in document or "items" not in document:
        raise NotARecord("no session or no items")
    reader.read_items(run, name, mapping(document["session"]), sequence(document["items"]))


def _document(path: str) -> dict:
    with open_stream(path) as stream:
        return decode(stream.read())
