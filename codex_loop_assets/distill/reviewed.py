"""What people's answers about tasks do: a rejected task is none any more, one in doubt that was accepted may be measured.

What belongs here: answers applied to rows. What does not: asking and the log of answers (`loop.review`), what real runs prove
(`validate`). A person never makes a task `validated`: the verdict stays what the runs gave, and the acceptance stands beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import polars as pl

from codex_loop_assets.tables import HARBOR_DATASETS, TASK_VALIDATIONS

CHECK = "review"


@dataclass(frozen=True)
class TaskAnswer:
    """A person's newest answer about a task. `digest`, `core_digest`: of the task as it was shown."""

    candidate_id: str
    digest: str
    accepted: bool
    who: str
    reason: str = ""
    core_digest: str | None = None


def rejections(answers: Iterable[TaskAnswer]) -> dict[str, str]:
    """candidate_id -> why people rejected it. One rejection outweighs any number of acceptances, and holds for the candidate
    whatever becomes of its files: it is the request that was found unfit."""
    found = [answer for answer in answers if not answer.accepted]
    return {
        answer.candidate_id: " ".join(f"rejected by {answer.who}: {answer.reason}".split())[:300] for answer in found
    }


def without_rejected(datasets: pl.DataFrame, rejected: Mapping[str, str]) -> pl.DataFrame:
    """Rows of `harbor_datasets` in which the rejected tasks are candidates that went no further; they keep their name, by which
    trials on them are recognised."""
    hit = pl.col("candidate_id").is_in(list(rejected)) & (pl.col("stage") == "built")
    gone = ("task_dir", "dataset_dir", "digest", "core_digest")
    told = datasets.filter(hit).with_columns(
        stage=pl.lit("candidate"),
        reason=pl.col("candidate_id").replace_strict(rejected, default=None, return_dtype=pl.String),
        **{name: pl.lit(None, pl.String) for name in gone},
    )
    return HARBOR_DATASETS.conform(pl.concat([datasets.filter(~hit), told]))


def with_acceptances(
    validations: pl.DataFrame, answers: Iterable[TaskAnswer], rejected: Mapping[str, str]
) -> pl.DataFrame:
    """Rows of `task_validations` without those of rejected tasks, and with one row `review` for each task in doubt that somebody
    accepted as it is now (its digest, or that of all but its provenance)."""
    runs = validations.filter((pl.col("check") != CHECK) & ~pl.col("candidate_id").is_in(list(rejected)))
    accepted = {
        (answer.candidate_id, digest): answer
        for answer in answers
        for digest in (answer.digest, answer.core_digest)
        if answer.accepted and digest
    }
    doubtful = runs.filter((pl.col("check") == "verdict") & (pl.col("status") == "needs_review"))
    rows = [
        {
            **{name: row[name] for name in ("cluster_id", "candidate_id", "digest", "core_digest")},
            "check": CHECK,
            "attempt": 0,
            "status": "passed",
            "reason": f"accepted by {answer.who}",
        }
        for row in doubtful.iter_rows(named=True)
        if (answer := _of(accepted, row))
    ]
    return TASK_VALIDATIONS.conform(pl.concat([runs, TASK_VALIDATIONS.frame(rows)]))


def _of(accepted: Mapping[tuple[str, str], TaskAnswer], row: Mapping[str, str]) -> TaskAnswer | None:
    found = (accepted.get((row["candidate_id"], row[digest])) for digest in ("digest", "core_digest"))
    return next((answer for answer in found if answer), None)


def counted(validations: pl.DataFrame) -> pl.DataFrame:
    """The verdicts of tasks that may be measured: those that real runs have proven, and those in doubt that a person accepted."""
    verdicts = validations.filter(pl.col("check") == "verdict")
    accepted = validations.filter((pl.col("check") == CHECK) & (pl.col("status") == "passed"))
    proven = verdicts.filter(pl.col("status") == "validated")
    reviewed = verdicts.filter(pl.col("status") == "needs_review").join(
        accepted, on=["candidate_id", "digest"], how="semi"
    )
    return pl.concat([proven, reviewed])
