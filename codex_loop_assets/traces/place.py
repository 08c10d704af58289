"""Where a line stands: made once per stored line."""

from __future__ import annotations

from typing import NamedTuple


class Place(NamedTuple):
    """number: 1-based line number; offset and size in bytes, newline included; ended: whether it has one."""

    number: int
    offset: int
    size: int
    ended: bool = True
