"""Dagster's own record of runs: which may go, and removing one with all that it left.

What belongs here: runs and their event logs. What does not: what sessions said (`retention`, `forget`), ticks of schedules and
sensors (Dagster's own retention, in `dagster.yaml`).

Dagster keeps each run and each event for ever, and shows a partition as made only while the run that made it is there. So a run
stays, however old, while it is the newest that made some partition of some asset: as many as there are days and clusters, and
not as many as there were runs.
"""

from __future__ import annotations

import shutil
from datetime import datetime, timedelta

import dagster as dg

from codex_loop_assets import settings
from codex_loop_assets.resources.homes import Home

_FINISHED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
# Storage ids asked for in one query; SQLite takes 32,766 at most.
_AT_ONCE = 1000


def runs_kept_days(home: Home) -> int | None:
    """Days for which runs are kept, or None: for ever. Raises SettingsError for anything but a whole number >= 0."""
    value = home.section("retention")["runs_kept_days"]
    if type(value) is not int or value < 0:
        raise settings.SettingsError(
            f"retention: runs_kept_days is {value!r}; write a number of days, or 0 to keep everything"
        )
    return value or None


def drop_old_runs(home: Home, instance: dg.DagsterInstance, now: datetime) -> int:
    """Remove the runs that ended longer ago than the home keeps them and that no partition needs; how many. `now`: the
    machine's clock, which Dagster's times are of."""
    kept = runs_kept_days(home)
    if kept is None:
        return 0
    before = now - timedelta(days=kept)
    old = [run.run_id for run in instance.get_runs(dg.RunsFilter(statuses=_FINISHED, updated_before=before))]
    needed = newest_makers(instance) if old else set()
    removed = [run_id for run_id in old if run_id not in needed]
    for run_id in removed:
        remove_run(home, instance, run_id)
    return len(removed)


def newest_makers(instance: dg.DagsterInstance) -> set[str]:
    """Ids of the runs that made the newest version of any asset or of any of its partitions."""
    makers = set()
    for asset in instance.all_asset_keys():
        newest = instance.get_latest_materialization_event(asset)
        makers |= {newest.run_id} if newest else set()
        by_partition = instance.event_log_storage.get_latest_storage_id_by_partition(
            asset, dg.DagsterEventType.ASSET_MATERIALIZATION
        )
        ids = sorted(by_partition.values())
        for start in range(0, len(ids), _AT_ONCE):
            wanted = dg.AssetRecordsFilter(asset_key=asset, storage_ids=ids[start : start + _AT_ONCE])
            makers |= {record.run_id for record in instance.fetch_materializations(wanted, limit=_AT_ONCE).records}
        observed = instance.fetch_observations(asset, limit=1).records
        makers |= {record.run_id for record in observed}
    return makers


def remove_run(home: Home, instance: dg.DagsterInstance, run_id: str) -> None:
    """Remove a run, its events, what its steps printed and what they stored."""
    instance.delete_run(run_id)
    instance.compute_log_manager.delete_logs(prefix=[run_id])
    shutil.rmtree(home.dagster_home / "storage" / run_id, ignore_errors=True)
    # Dagster's default storage leaves the file of the run's events.
    for file in (home.dagster_home / "history" / "runs").glob(f"{run_id}.db*"):
        file.unlink(missing_ok=True)
