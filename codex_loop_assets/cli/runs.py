"""Run assets from the command line in the home's own Dagster instance, so that the UI lists every run.

The run happens in this process. A process that dies leaves its run marked as started; the next command marks such runs
as failed, because nothing else would: the instance's run monitoring only looks after runs that its daemon launched.
"""

from __future__ import annotations

import logging
import os
import socket
import warnings
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any

import dagster as dg
import psutil

from codex_loop_assets.cli.options import Problem
from codex_loop_assets.partitions import clusters as cluster_partitions
from codex_loop_assets.resources.homes import Home
from codex_loop_assets.resources.instances import open_instance
from codex_loop_assets.signals.redaction import redact

PROCESS_TAG = "codex_loop/process"
GAP_DAYS = 7
# Each run costs seconds of its own, and a ticket waits for the validations of every cluster of its run.
CLUSTERS_PER_RUN = 20
RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"


def materialise(
    home: Home,
    assets: Iterable[str],
    *,
    days: Iterable[str] = (),
    clusters: Iterable[str] = (),
    config: Mapping[str, Any] | None = None,
) -> list[str]:
    """Materialise assets for days or clusters (one run per unbroken range of partitions), or, with neither, once.

    Returns the run ids. Raises Problem with the failing asset and its message; the run's log has the rest.
    """
    # Each run has a database of its own, and alembic announces every one of them.
    logging.getLogger("alembic").setLevel(logging.WARNING)
    with open_instance() as instance:
        reap(instance)
        definitions = _definitions()
        known = instance.get_dynamic_partitions(cluster_partitions.name) if clusters else []
        ranges = [*contiguous(days), *neighbouring(clusters, known)]
        targets = [_range_tags(first, last) for first, last in ranges] or [{}]
        return [_run(instance, definitions, list(assets), tags, config or {}) for tags in targets]


def reap(instance: dg.DagsterInstance) -> list[str]:
    """Mark as failed the runs whose process on this machine is gone; returns their ids."""
    unfinished = dg.RunsFilter(
        statuses=[dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.NOT_STARTED]
    )
    dead = [run for run in instance.get_runs(filters=unfinished) if _is_gone(run.tags.get(PROCESS_TAG, ""))]
    for run in dead:
        instance.report_run_failed(
            run, "The process that ran this is gone (killed or crashed); the next run completes the work."
        )
    return [run.run_id for run in dead]


def contiguous(days: Iterable[str]) -> list[tuple[str, str]]:
    """Days as ranges (first, last), in order. A gap of up to GAP_DAYS is run along: its days have no session that changed,
    so they cost almost nothing, while each run of its own costs seconds."""
    ranges: list[tuple[str, str]] = []
    for day in sorted(set(days)):
        if ranges and (date.fromisoformat(day) - date.fromisoformat(ranges[-1][1])).days <= GAP_DAYS + 1:
            ranges[-1] = (ranges[-1][0], day)
        else:
            ranges.append((day, day))
    return ranges


def neighbouring(chosen: Iterable[str], known: Sequence[str], at_most: int = CLUSTERS_PER_RUN) -> list[tuple[str, str]]:
    """Partitions as ranges (first, last) of up to `at_most` neighbours in the order in which Dagster holds them (`known`).

    Nothing that was not chosen is in a range. A partition that Dagster does not hold is a range of its own, whose run says so.
    """
    position = {key: place for place, key in enumerate(known)}
    ranges: list[list[str]] = []
    for key in sorted(set(chosen), key=lambda key: (position.get(key, len(known)), key)):
        before = position.get(ranges[-1][-1]) if ranges and len(ranges[-1]) < at_most else None
        if before is not None and position.get(key) == before + 1:
            ranges[-1].append(key)
        else:
            ranges.append([key])
    return [(keys[0], keys[-1]) for keys in ranges]


def _range_tags(first: str, last: str) -> dict[str, str]:
    return {RANGE_START: first, RANGE_END: last} if first != last else {"dagster/partition": first}


def _definitions() -> dg.Definitions:
    # Single-run backfills and partition mappings are still marked beta; that is for this project's authors, not its users.
    warnings.filterwarnings("ignore", category=dg.BetaWarning)
    warnings.filterwarnings("ignore", category=dg.PreviewWarning)
    from codex_loop_assets.definitions import defs

    return defs


def _run(
    instance: dg.DagsterInstance,
    definitions: dg.Definitions,
    assets: list[str],
    tags: dict[str, str],
    config: Mapping[str, Any],
) -> str:
    job = definitions.resolve_implicit_global_asset_job_def()
    level = "INFO" if os.environ.get("CODEX_LOOP_VERBOSE") else "CRITICAL"
    result = job.execute_in_process(
        instance=instance,
        asset_selection=[dg.AssetKey(name) for name in assets],
        tags={**tags, PROCESS_TAG: _this_process()},
        run_config={"loggers": {"console": {"config": {"log_level": level}}}, "ops": dict(config)},
        raise_on_error=False,
        **({"partition_key": tags["dagster/partition"]} if "dagster/partition" in tags else {}),
    )
    if not result.success:
        raise Problem(_failure(result))
    return result.run_id


def _failure(result: dg.ExecuteInProcessResult) -> str:
    for event in result.all_events:
        if event.is_step_failure:
            error = event.step_failure_data.error
            # The message of an exception may quote a line of a session file.
            cause = redact((error.cause or error).message.strip(), result.run_id)
            return f"{event.step_key} failed: {cause}\nThe run {result.run_id} has the details: codex-loop ui"
    return f"the run {result.run_id} failed before its first step; its log has the details: codex-loop ui"


def _this_process() -> str:
    process = psutil.Process()
    return f"{socket.gethostname()}/{process.pid}/{process.create_time():.0f}"


def _is_gone(tag: str) -> bool:
    host, _, rest = tag.partition("/")
    if host != socket.gethostname() or not rest:
        return False
    pid, _, started = rest.partition("/")
    try:
        process = psutil.Process(int(pid))
        # A killed process whose parent has not collected it yet is still listed.
        return process.status() == psutil.STATUS_ZOMBIE or f"{process.create_time():.0f}" != started
    except psutil.NoSuchProcess:
        return True
