"""The local judge: semantic categories found without a key or a network. MODEL_CARD.md says what it was trained on."""

from codex_loop_assets.signals.judges.local.judge import LocalJudge

__all__ = ["LocalJudge"]
