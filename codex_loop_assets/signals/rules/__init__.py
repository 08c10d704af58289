"""Mechanical detection: one file per rule, found automatically. Entry point: `detect(canon, schema, settings)`.

The names are loaded on first use, because rule files and the schema import this package from both sides.
"""

from __future__ import annotations

from typing import Any

__all__ = ["detect"]


def __getattr__(name: str) -> Any:
    if name == "detect":
        from codex_loop_assets.signals.rules.engine import detect

        return detect
    raise AttributeError(name)
