"""The funnel of distillation: how many signals became segments, candidates, built tasks and proven tasks, and why the
rest did not.

Counts only; nothing is decided here.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

import polars as pl

from codex_loop_assets.distill.reviewed import CHECK

STAGES = ("signal", "segment", "candidate", "built")
VERDICTS = ("validated", "needs_review", "rejected", "unvalidated")
ACCEPTED = "accepted by a person although in doubt"

_DETAIL = re.compile(r"'[^']*'|\"[^\"]*\"|\b[0-9a-f]{12,}\b|\S*[/.]\S*\w|\d+(\.\d+)?%?")


@dataclass(frozen=True)
class Funnel:
    """Counts of one distillation.

    `signals`: signals that went in. `reached`: units that came at least so far (a segment, or a signal without one).
    `verdicts`: built tasks by what came of their proof, and how many of those in doubt a person accepted. `reasons`: why units stopped, most frequent first.
    """

    signals: int
    reached: dict[str, int]
    verdicts: dict[str, int]
    reasons: dict[str, int]

    def lines(self) -> list[str]:
        """The funnel in words, one line each, for reports and metadata."""
        shown = [f"{self.signals} signals"] + [f"{count} {name}" for name, count in self.reached.items()]
        shown += [f"{count} {name}" for name, count in self.verdicts.items() if count]
        return shown + [f"{count} stopped: {reason}" for reason, count in self.reasons.items()]


def funnel(datasets: pl.DataFrame, validations: pl.DataFrame) -> Funnel:
    """The funnel of rows of `harbor_datasets` and `task_validations` (of one cluster or of many)."""
    signals = len({signal for row in datasets["signal_ids"].to_list() for signal in row})
    order = {stage: index for index, stage in enumerate(STAGES)}
    depths = [order[stage] for stage in datasets["stage"].to_list()]
    reached = {f"{stage}s": sum(depth >= order[stage] for depth in depths) for stage in STAGES[1:3]}
    reached["built tasks"] = sum(depth == order["built"] for depth in depths)
    verdict_rows = validations.filter(pl.col("check") == "verdict")
    found = Counter(verdict_rows["status"].to_list())
    stopped = Counter(_kind(row) for row in datasets.filter(pl.col("stage") != "built")["reason"].to_list())
    stopped.update(_kind(row) for row in verdict_rows.filter(pl.col("status") != "validated")["reason"].to_list())
    verdicts = {verdict: found[verdict] for verdict in VERDICTS}
    if accepted := int((validations["check"] == CHECK).sum()):
        verdicts[ACCEPTED] = accepted
    return Funnel(signals, reached, verdicts, dict(stopped.most_common()))


def _kind(reason: str) -> str:
    """The reason without the names and numbers of the single case, so that equal causes add up."""
    return _DETAIL.sub("…", reason)[:160]
