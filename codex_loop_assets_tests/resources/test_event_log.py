"""Laws of the event log that keeps its files open: what Dagster's own would hold, whole batches or nothing, no file of a run
that was deleted."""

import os

import dagster as dg
import pytest
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage

from codex_loop_assets.resources import event_log
from codex_loop_assets.resources.instances import open_instance

DAYS = dg.DailyPartitionsDefinition("2026-03-01")


@dg.asset(partitions_def=DAYS, backfill_policy=dg.BackfillPolicy.single_run())
def numbers(context) -> None:
    for day in context.partition_keys:
        context.add_asset_metadata({"day": day}, partition_key=day)


@dg.asset_check(asset=numbers)
def is_there():
    return dg.AssetCheckResult(passed=True)


def run(instance, first="2026-03-02", last="2026-03-08"):
    tags = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
    job = dg.Definitions(assets=[numbers], asset_checks=[is_there]).resolve_implicit_global_asset_job_def()
    return job.execute_in_process(instance=instance, tags=tags).run_id


def events_of(storage, run_id):
    return [(event.dagster_event.event_type_value, event.step_key) for event in storage.get_logs_for_run(run_id)]


def test_the_home_s_instance_uses_it(home):
    with open_instance() as instance:
        assert isinstance(instance.event_log_storage, event_log.OpenEventLog)


def test_dagster_s_own_storage_reads_what_it_wrote(home):
    with open_instance() as instance:
        run_id = run(instance)
        ours = events_of(instance.event_log_storage, run_id)
        made = instance.get_materialized_partitions(dg.AssetKey("numbers"))
    own = SqliteEventLogStorage(str(home.dagster_home / "history" / "runs"))
    assert ours and events_of(own, run_id) == ours
    assert made == own.get_materialized_partitions(dg.AssetKey("numbers")) == {f"2026-03-0{day}" for day in range(2, 9)}


def test_a_batch_that_fails_leaves_nothing_and_is_stored_event_by_event(home, monkeypatch):
    storing = event_log.OpenEventLog._store_asset_event
    attempts, failed_in_batch = [], []

    def fails_once_in_the_middle(self, connection, event, event_id):
        attempts.append(event)
        if self._batch is not None and len(attempts) == 4:
            failed_in_batch.append(event)
            raise RuntimeError("disk full")
        storing(self, connection, event, event_id)

    monkeypatch.setattr(event_log.OpenEventLog, "_store_asset_event", fails_once_in_the_middle)
    with open_instance() as instance:
        run_id = run(instance)
        kinds = [kind for kind, _ in events_of(instance.event_log_storage, run_id)]
    assert len(failed_in_batch) == 1
    assert kinds.count("ASSET_MATERIALIZATION_PLANNED") == 7 and kinds.count("ASSET_MATERIALIZATION") == 7


def test_a_deleted_run_leaves_no_file(home):
    with open_instance() as instance:
        run_id = run(instance)
        folder = home.dagster_home / "history" / "runs"
        assert list(folder.glob(f"{run_id}.db*"))
        instance.delete_run(run_id)
        assert not list(folder.glob(f"{run_id}.db*"))
        assert instance.event_log_storage.get_logs_for_run(run_id) == []


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="descriptors are counted in /proc")
def test_the_number_of_open_files_does_not_grow_with_the_runs(home, monkeypatch):
    monkeypatch.setattr(event_log, "OPEN_FILES", 3)

    def held(instance):
        run(instance, last="2026-03-02")
        links = (f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd"))
        return sum(".db" in os.readlink(link) for link in links if os.path.islink(link))

    with open_instance() as instance:
        counted = [held(instance) for _ in range(6)]
    assert counted[2:] == [counted[2]] * 4 and counted[0] < counted[2]
