"""Failed runs in the home's Dagster instance that nothing has made good since.

What belongs here: reading the instance's run storage. What does not: what becomes of a failed run (`measure.alerts`).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import dagster as dg

from codex_loop_assets.measure.alerts import FailedRun

PARTITION = "dagster/partition"
FIRST, LAST = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
RUNS_READ = 1000


def failed_runs(instance: dg.DagsterInstance, days: int) -> list[FailedRun]:
    """Runs of the last `days` days (of the machine's clock) that failed, the newest first, without those whose assets and
    partitions one later run has made."""
    since = datetime.now(UTC) - timedelta(days=days)
    statuses = [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.SUCCESS]
    filters = dg.RunsFilter(statuses=statuses, created_after=since)
    records = instance.get_run_records(filters=filters, limit=RUNS_READ)
    ended = [(record.end_time or 0.0, record.dagster_run) for record in records]
    succeeded = [(at, run) for at, run in ended if run.status is dg.DagsterRunStatus.SUCCESS]
    failed = [
        (at, run)
        for at, run in sorted(ended, key=lambda found: -found[0])
        if run.status is dg.DagsterRunStatus.FAILURE
        and not any(later > at and _covers(other, run) for later, other in succeeded)
    ]
    return [FailedRun(run.run_id, _words(run), datetime.fromtimestamp(at, UTC)) for at, run in failed]


def _covers(later: dg.DagsterRun, run: dg.DagsterRun) -> bool:
    """Whether a run made everything that the other was to make."""
    (first, last), (start, end) = _partitions(run), _partitions(later)
    return _work(run) <= _work(later) and start <= first and last <= end


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
