"""Which judge reads the sessions of a home: the model when there is a key, the local judge otherwise."""

from __future__ import annotations

from codex_loop_assets.resources.homes import Home
from codex_loop_assets.resources.judge import JudgeAccess
from codex_loop_assets.signals.judges.base import Judge
from codex_loop_assets.signals.judges.llm import LlmJudge, open_llm_judge
from codex_loop_assets.signals.judges.llm.governor import JUDGING, Governor
from codex_loop_assets.signals.judges.llm.prices import Prices
from codex_loop_assets.signals.judges.llm.purse import Purse


def open_judge(home: Home) -> Judge:
    """The judge as the environment and the home's settings have it. Nothing heavy is imported before it is needed."""
    model = open_model_judge(home)
    if model is not None:
        return model
    from codex_loop_assets.signals.judges.local import LocalJudge

    return LocalJudge(home.section("local_judge"), categories=home.section("local_categories"))


def open_model_judge(home: Home) -> LlmJudge | None:
    """The judge that asks a language model; None without a key."""
    return model_judge(home) if JudgeAccess().available else None


def model_judge(home: Home, model: str | None = None) -> LlmJudge:
    """The same with its answers, ledger and batches in the home, whether or not it could ask: a client is made only then.
    `model` stands in for the configured one."""
    settings = home.section("llm_judge")
    if model is not None:
        settings = settings | {"model": model}
    return open_llm_judge(home.cache / "llm_judge", JudgeAccess().client, settings, home.section("prices"))


def open_purse(home: Home, purpose: str) -> Purse:
    """Money for other questions to a model, from the ledger and the daily budget of the judge."""
    return Purse(open_governor(home, purpose), Prices(home.section("prices")))


def open_governor(home: Home, purpose: str = JUDGING) -> Governor:
    """The home's daily budget for models, and its ledger."""
    budget = home.section("llm_judge")["daily_budget_usd"]
    return Governor(home.cache / "llm_judge" / "spending.jsonl", budget, purpose=purpose)
