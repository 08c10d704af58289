"""How work starts: jobs, the daily schedule, the sensor on session files, the refresh of changed clusters.

Two ways to start a day's work and no more: the schedule at a fixed hour, and the sensor when files change. Per-cluster
work follows from what changed in the registry, by one pure function (`discovery.registry.clusters_to_refresh`), which
this file's sensor and the command line both call: declarative `on_missing` fires once per key and never for keys that
were there before its first evaluation.
"""

import hashlib
import json
import time
from datetime import UTC, timedelta

import dagster as dg
import polars as pl

from codex_loop_assets import clock, decisions, stages
from codex_loop_assets.assets.guard import guarded
from codex_loop_assets.resources.freshness import unfinished_days, unsettled_days
from codex_loop_assets.resources.homes import HomeResource
from codex_loop_assets.resources.sources import scan

ingest_job = dg.define_asset_job(
    "ingest",
    dg.AssetSelection.assets(*stages.INGEST, *stages.CANON, "mechanical_signals"),
    description="Read the day's new and grown session files and apply the rules. Costs nothing.",
)
daily_job = dg.define_asset_job(
    "daily",
    dg.AssetSelection.assets(*stages.DAILY),
    description="Everything about one day: ingest, signals, clusters, proposals, report.",
)
registry_job = dg.define_asset_job(
    "registry",
    dg.AssetSelection.assets(*stages.RETENTION, *stages.REGISTRY, *stages.SUMMARIES, *stages.SITE),
    description="Forget what is older than the retention, then bring the cluster registry and the summaries up to date.",
)
refresh_job = dg.define_asset_job(
    "cluster_refresh",
    dg.AssetSelection.assets(*stages.TASKS),
    description="Distil, validate and write the ticket of one cluster.",
)
JOBS = [ingest_job, daily_job, registry_job, refresh_job, *decisions.JOBS]

# Files still being written would be ingested at every tick; Codex writes a line every few seconds while it works.
QUIET = timedelta(minutes=5)
DAYS_PER_TICK = 20
# The daemon gives a tick 60 s; a slow disk must not lose the tick's result.
TICK_BUDGET_SECONDS = 40.0
ATTEMPTS = 3


_SCHEDULED = {"execution_timezone": "UTC", "default_status": dg.DefaultScheduleStatus.RUNNING}


# The stock partitioned schedule asks for today, because the partitions have `end_offset=1`, and today is unfinished.
@dg.schedule(job=daily_job, cron_schedule="0 3 * * *", **_SCHEDULED)
@guarded
def daily_schedule(context: dg.ScheduleEvaluationContext, home: HomeResource):
    """At 03:00 UTC: yesterday, and every day whose files changed, whose judging is unfinished, or whose work was cut off or
    went no further than the sensor's ingest."""
    yesterday = (context.scheduled_execution_time.astimezone(UTC) - timedelta(days=1)).date().isoformat()
    codex = home.home
    for day in sorted({yesterday, *scan(codex).changed, *unsettled_days(codex.lake), *unfinished_days(codex.lake)}):
        yield dg.RunRequest(partition_key=day, run_key=f"{context.scheduled_execution_time.isoformat()}:{day}")


@dg.schedule(job=registry_job, cron_schedule="30 3 * * *", **_SCHEDULED)
@guarded
def registry_schedule(context: dg.ScheduleEvaluationContext):
    """At 03:30 UTC, after the day's clusters: the retention, then the registry, scorecard, trends and site."""
    yield dg.RunRequest(run_key=context.scheduled_execution_time.isoformat())


@dg.schedule(job=refresh_job, cron_schedule="0 4 * * *", **_SCHEDULED)
@guarded
def tickets_schedule(context: dg.ScheduleEvaluationContext, home: HomeResource):
    """At 04:00 UTC: the tickets that only the day moves (ignored until today, calmed, back after their proof). Clusters that
    changed are the sensor's."""
    from codex_loop_assets.resources.registry import stale_clusters
    from codex_loop_assets.resources.ticket_history import due_clusters

    codex = home.home
    changed = stale_clusters(codex.lake)
    due = [cluster for cluster in due_clusters(codex) if cluster not in changed]
    if not due:
        yield dg.SkipReason("no ticket is due")
    for cluster in due:
        run_key = f"{context.scheduled_execution_time.isoformat()}:{cluster}"
        yield dg.RunRequest(partition_key=cluster, run_key=run_key, asset_selection=[dg.AssetKey("tickets")])


@dg.sensor(job=ingest_job, minimum_interval_seconds=60, default_status=dg.DefaultSensorStatus.RUNNING)
@guarded
def session_files(context: dg.SensorEvaluationContext, home: HomeResource):
    """New or grown session files, once they have been quiet for a while: ingest their days.

    The cursor holds, for the days asked for and not yet committed, the fingerprint and the number of the attempt. A run
    key deduplicates for ever, so it carries all three; a day leaves the cursor when the lake has committed its files.
    """
    started = time.monotonic()
    codex = home.home
    calendar = scan(codex)
    asked: dict[str, list] = json.loads(context.cursor or "{}")
    pending = {day: state for day, state in asked.items() if day in calendar.changed}
    quiet_since = clock.now() - QUIET
    requests = []
    for day in calendar.changed:
        if len(requests) >= DAYS_PER_TICK or time.monotonic() - started > TICK_BUDGET_SECONDS:
            break
        refs = calendar.by_day.get(day, [])
        if any(file.mtime_ns > quiet_since.timestamp() * 1e9 for ref in refs for file in ref.files):
            continue
        attempt = next_attempt(pending.get(day), _fingerprint(refs), lambda key: _in_flight(context.instance, key), day)
        if attempt is None:
            continue
        pending[day] = attempt
        requests.append(dg.RunRequest(partition_key=day, run_key=run_key(day, attempt)))
    if not requests:
        return dg.SensorResult(skip_reason="no session file is new, grown and quiet", cursor=json.dumps(pending))
    return dg.SensorResult(run_requests=requests, cursor=json.dumps(pending))


@dg.sensor(job=refresh_job, minimum_interval_seconds=120, default_status=dg.DefaultSensorStatus.RUNNING)
@guarded
def changed_clusters(context: dg.SensorEvaluationContext, home: HomeResource):
    """Clusters whose members, status or action changed since their tasks were made: distil them again."""
    from codex_loop_assets.resources.registry import stale_clusters

    codex = home.home
    asked: dict[str, list] = json.loads(context.cursor or "{}")
    stale = stale_clusters(codex.lake)
    pending = {cluster: state for cluster, state in asked.items() if cluster in stale}
    requests = []
    for cluster, fingerprint in sorted(stale.items()):
        if len(requests) >= DAYS_PER_TICK:
            break
        attempt = next_attempt(
            pending.get(cluster), fingerprint, lambda key: _in_flight(context.instance, key), cluster
        )
        if attempt is not None:
            pending[cluster] = attempt
            requests.append(dg.RunRequest(partition_key=cluster, run_key=run_key(cluster, attempt)))
    if not requests:
        return dg.SensorResult(skip_reason="no cluster has changed", cursor=json.dumps(pending))
    return dg.SensorResult(run_requests=requests, cursor=json.dumps(pending))


@dg.sensor(job=daily_job, minimum_interval_seconds=300, default_status=dg.DefaultSensorStatus.RUNNING)
@guarded
def judge_batches(context: dg.SensorEvaluationContext, home: HomeResource):
    """Batches of questions to the model that have ended: judge their days again, now from the answers at hand."""
    from codex_loop_assets.resources.judges import open_model_judge

    codex = home.home
    judge = open_model_judge(codex)
    if judge is None:
        return dg.SkipReason("no key, so there are no batches")
    judge.collect()
    waiting, lake = judge.waiting(), codex.lake
    # Whoever collected the answers, a day is due when a session that the table calls pending is no longer waited for.
    requests = []
    for day in lake.keys("judge_coverage"):
        pending = lake.read("judge_coverage", day).filter(pl.col("status") == "pending_batch")["thread_id"]
        arrived = sorted(set(pending) - set(waiting))
        if arrived:
            key = hashlib.sha256(
                "\n".join([day, lake.digest("judge_coverage", day) or "", *arrived]).encode()
            ).hexdigest()[:16]
            requests.append(dg.RunRequest(partition_key=day, run_key=f"{day}:{key}"))
    return dg.SensorResult(run_requests=requests) if requests else dg.SkipReason("no batch has ended")


def next_attempt(before: list | None, fingerprint: str, in_flight, key: str) -> list | None:
    """[fingerprint, number] of the run to ask for, or None: it is running, or has failed too often in this state."""
    if before is None or before[0] != fingerprint:
        return [fingerprint, 1]
    if in_flight(run_key(key, before)) or before[1] >= ATTEMPTS:
        return None
    return [fingerprint, before[1] + 1]


def run_key(key: str, attempt: list) -> str:
    """Run key of one attempt at one state of a day or cluster."""
    return f"{key}:{attempt[0]}:{attempt[1]}"


def _in_flight(instance: dg.DagsterInstance, key: str) -> bool:
    runs = instance.get_runs(filters=dg.RunsFilter(tags={"dagster/run_key": key}), limit=1)
    return bool(runs) and not runs[0].is_finished


def _fingerprint(refs) -> str:
    content = sorted((ref.home, ref.path, ref.fingerprint) for ref in refs)
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


SCHEDULES = [daily_schedule, registry_schedule, tickets_schedule]
SENSORS = [session_files, changed_clusters, judge_batches]
