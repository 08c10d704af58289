"""The local judge: semantic categories found without a key or a network. MODEL_CARD.md says what it was trained on.

The judge is loaded on first use, because the rules' documentation only asks what it looks for, in every process.
"""

from __future__ import annotations

from typing import Any

__all__ = ["LocalJudge"]


def __getattr__(name: str) -> Any:
    if name == "LocalJudge":
        from codex_loop_assets.signals.judges.local.judge import LocalJudge

        return LocalJudge
    raise AttributeError(name)
