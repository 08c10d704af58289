"""Lines too long to decode: their kind, time and number are read from the head with patterns.

Such lines are images as data URLs, or compactions with their whole history; what matters is that they happened.
"""

from __future__ import annotations

import re

from codex_loop_assets.traces.row import Content, content
from codex_loop_assets.traces.values import to_json

_TIMESTAMP = re.compile(rb'"timestamp"\s*:\s*"([^"\\]{10,40})"')
_SEQ = re.compile(rb'"seq"\s*:\s*(\d{1,18})')
_TYPE = re.compile(rb'"type"\s*:\s*"([A-Za-z_]{1,60})"')
_WRAPPERS = frozenset({"event", "event_msg", "submission", "response_item", "raw_response_item"})
_RENAMED = {"compacted": "compaction_boundary"}


def head_content(head: bytes, size: int) -> tuple[str | None, int | None, Content]:
    """(timestamp, seq, content) of a line of `size` bytes, from the head that was kept."""
    kinds = [match.decode() for match in _TYPE.findall(head, 0, 4096)]
    kind = next((name for name in kinds if name not in _WRAPPERS), kinds[0] if kinds else "unknown")
    timestamp, seq = _TIMESTAMP.search(head), _SEQ.search(head)
    found = content(_RENAMED.get(kind, kind), detail=to_json({"long_line": size}))
    return (timestamp[1].decode() if timestamp else None), (int(seq[1]) if seq else None), found
