"""How much a proposal can be trusted, and why. What does not belong here: deciding about it (governance)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from codex_loop_assets.discovery.backtest import Backtest
from codex_loop_assets.discovery.found_again import FoundAgain


def confidence_of(
    cluster: Mapping[str, Any], test: Backtest, again: FoundAgain, settings: Mapping[str, Any]
) -> tuple[float, list[str]]:
    """0 to 1 and the reasons: the weighted mean of how well the cluster (a row of `clusters`) separates from the rest,
    how alike its examples are worded, how tight it is, and how widely and how long it was seen. `settings`: the
    `proposals` table.

    A pattern of one repository may be that project's own; of one session, one person's bad day. Examples that do not find
    one another are of several troubles.
    """
    age = (cluster["dt"] - cluster["born"]).days
    parts = {
        "separation": (
            test.f1,
            f"a detector learnt from it scores F1 {test.f1:.2f} on history "
            f"({test.others_found} of {test.others} others found)",
        ),
        "wording": (again.share, f"{again.found} of {again.examples} examples are found by what the others teach"),
        "cohesion": (max(0.0, cluster["cohesion"]), f"mean similarity to its centre {cluster['cohesion']:.2f}"),
        "samples": (cluster["size"] / settings["enough_samples"], f"{cluster['size']} signals"),
        "sessions": (cluster["session_count"] / settings["enough_sessions"], f"{cluster['session_count']} sessions"),
        "repositories": (
            cluster["repository_count"] / settings["enough_repositories"],
            f"{cluster['repository_count']} repositories",
        ),
        "age": (age / settings["enough_days"], f"{age} days old"),
    }
    weights = settings["weights"]
    total = sum(weights[name] * min(1.0, value) for name, (value, _) in parts.items())
    return round(total / sum(weights[name] for name in parts), 3), [words for _, words in parts.values()]
