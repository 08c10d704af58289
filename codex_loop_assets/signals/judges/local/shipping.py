"""Which categories the local judge looks for, and how: only where it beats the regex baseline beyond chance.

What belongs here: the law and reading what it came to (config/local_categories.toml). What does not: measuring
(`measure/comparison`) and detecting (`judge`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

By = Literal["model", "rule", "none"]


def by_category(settings: Mapping[str, Any]) -> dict[str, By]:
    """Category -> who looks for it. `settings` is the section `local_categories`. Raises ValueError for another word."""
    found = {name: row["by"] for name, row in settings["categories"].items()}
    for name, by in found.items():
        if by not in ("model", "rule", "none"):
            raise ValueError(f"local_categories.categories.{name}.by is {by!r}; it is model, rule or none")
    return found


def decided(category: str, figures: Mapping[str, Any], law: Mapping[str, Any]) -> tuple[By, str]:
    """Who may look for a category by these figures of labelled sessions for tuning, and why, in words.

    `figures` is its table of the section `local_categories`, `law` the table `local` of the section `scorecard`. The model
    must gain beyond the 95 % interval, on enough labels, be worse than the expressions on no set of sessions, and not have
    failed the test. Where it may not, the expressions stand for themselves if they are precise enough; else nobody looks.
    """
    why = _against_model(category, figures, law)
    if why is None:
        return "model", "gains beyond the interval"
    precision, found = figures["baseline_precision"], figures["baseline_findings"]
    if precision is not None and precision >= law["rule_precision"] and found >= law["rule_findings"]:
        return "rule", f"the model {why}; the expressions are precise enough"
    return "none", f"the model {why}; the expressions are not precise enough"


def _against_model(category: str, figures: Mapping[str, Any], law: Mapping[str, Any]) -> str | None:
    if figures["labelled"] < law["labels"]:
        return f"was measured on fewer than {law['labels']} labels"
    if figures["gain"][0] <= 0:
        return "does not gain beyond the interval"
    worse = [
        name for name, part in figures["sets"].items() if part["labelled"] >= law["set_labels"] and part["gain"] < 0
    ]
    if worse:
        return f"is worse on {', '.join(worse)}"
    failed = category in law["failed_test"]
    return "did not gain beyond the interval on conversations kept for testing" if failed else None


def left_out(settings: Mapping[str, Any]) -> dict[str, str]:
    """Categories that are not looked for without a key -> why."""
    return {name: row["why"] for name, row in sorted(settings["categories"].items()) if row["by"] == "none"}
