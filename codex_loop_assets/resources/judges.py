"""Which judge reads the sessions of a home: the model when there is a key, the local judge otherwise."""

from __future__ import annotations

from codex_loop_assets.resources.homes import Home
from codex_loop_assets.signals.judges.base import Judge


def open_judge(home: Home) -> Judge:
    """The judge as the environment and the home's settings have it. Nothing heavy is imported before it is needed."""
    from codex_loop_assets.signals.judges.local import LocalJudge

    return LocalJudge()
