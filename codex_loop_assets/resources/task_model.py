"""The model that is asked about tasks, as the environment and the home's settings have it."""

from __future__ import annotations

from codex_loop_assets.distill.model import Model
from codex_loop_assets.resources.homes import Home
from codex_loop_assets.resources.judge import JudgeAccess


def open_task_model(home: Home) -> Model | None:
    """The model, with its ledger and answers in the home beside the judge's; None without a key."""
    access = JudgeAccess()
    if not access.available:
        return None
    sections = (home.section("distill")["llm"], home.section("llm_judge"), home.section("prices"))
    return Model(home.cache / "llm_judge", access.client, *sections)
