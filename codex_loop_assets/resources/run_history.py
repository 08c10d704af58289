"""Failed runs in the home's Dagster instance that nothing has made good since.

What belongs here: reading the instance's run storage. What does not: which partitions are out of date (`freshness`,
`registry`), what becomes of a failed run (`measure.alerts`).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import dagster as dg

from codex_loop_assets import stages
from codex_loop_assets.measure.alerts import FailedRun
from codex_loop_assets.partitions import clusters as cluster_partitions

PARTITION = "dagster/partition"
FIRST, LAST = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
RUNS_READ = 1000


@dataclass(frozen=True)
class Unfinished:
    """Days and clusters whose own tables say that they are out of date."""

    days: Collection[str] = ()
    clusters: Collection[str] = ()


def failed_runs(
    instance: dg.DagsterInstance, days: int, unfinished: Unfinished | None = None, current: str | None = None
) -> list[FailedRun]:
    """Runs of the last `days` days (of the machine's clock) that failed, the newest first, without those that were made
    good: later runs made each of their assets for all their partitions, or, where `unfinished` is given, none of the
    partitions is in it (the run after a failed one takes up what is left, which need not be all of it).

    `current`: id of a run that is under way and counts as one that succeeds.
    """
    since = datetime.now(UTC) - timedelta(days=days)
    statuses = [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.SUCCESS]
    filters = dg.RunsFilter(statuses=statuses, created_after=since)
    records = instance.get_run_records(filters=filters, limit=RUNS_READ)
    ended = [(record.end_time or 0.0, record.dagster_run) for record in records]
    succeeded = [(at, run) for at, run in ended if run.status is dg.DagsterRunStatus.SUCCESS]
    if current and (running := instance.get_run_by_id(current)):
        succeeded.append((datetime.now(UTC).timestamp(), running))
    known = instance.get_dynamic_partitions(cluster_partitions.name)
    failed = [
        (at, run)
        for at, run in sorted(ended, key=lambda found: -found[0])
        if run.status is dg.DagsterRunStatus.FAILURE
        and not _is_made_by(run, [other for later, other in succeeded if later > at])
        and not (unfinished and _is_finished(run, unfinished, known))
    ]
    return [FailedRun(run.run_id, _words(run), datetime.fromtimestamp(at, UTC)) for at, run in failed]


def _is_made_by(run: dg.DagsterRun, others: list[dg.DagsterRun]) -> bool:
    """Whether each asset that a run was to make was made by one of the others, for all the run's partitions."""
    first, last = _partitions(run)
    covering = [other for other in others if _partitions(other)[0] <= first and last <= _partitions(other)[1]]
    return _work(run) <= frozenset().union(*map(_work, covering))


def _is_finished(run: dg.DagsterRun, unfinished: Unfinished, known: list[str]) -> bool:
    """Whether the tables of every partition of a run are up to date; False for a run whose tables do not tell."""
    first, last = _partitions(run)
    if first and _work(run) <= {*stages.DAILY}:
        return not any(first <= day <= last for day in unfinished.days)
    if first in known and last in known and _work(run) <= {*stages.TASKS}:
        return not {*known[known.index(first) : known.index(last) + 1]} & {*unfinished.clusters}
    return False


def _work(run: dg.DagsterRun) -> frozenset[str]:
    if run.asset_selection:
        return frozenset(key.to_user_string() for key in run.asset_selection)
    return frozenset({f"job {run.job_name}"})


def _partitions(run: dg.DagsterRun) -> tuple[str, str]:
    one = run.tags.get(PARTITION, "")
    return run.tags.get(FIRST, one), run.tags.get(LAST, one)


def _words(run: dg.DagsterRun) -> str:
    names = sorted(_work(run))
    what = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    first, last = _partitions(run)
    return what + (f" of {first}" if first else "") + (f" to {last}" if last != first else "")
