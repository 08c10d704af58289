"""Laws of alerts: what is wrong is named, what was made good is not, and a quiet system raises none."""

from datetime import UTC, datetime, timedelta

import dagster as dg
import polars as pl

from codex_loop_assets.measure.alerts import FailedRun, alerts
from codex_loop_assets.resources.run_history import FIRST, LAST, failed_runs
from codex_loop_assets_tests.loop import world
from codex_loop_assets_tests.measure.test_trends import DAY, compute


def test_alerts_name_gaps_failures_and_new_patterns():
    frames = world.frames()
    frames["judge_coverage"] = frames["judge_coverage"].with_columns(status=pl.lit("failed"))
    fresh = frames["clusters"].with_columns(born=pl.lit(world.TODAY - timedelta(days=1)))
    built = {DAY, DAY + timedelta(days=2)}
    runs = [FailedRun("0123456789", "trends", datetime(2026, 3, 10, tzinfo=UTC))]
    found = alerts(compute(frames), fresh, frames["judge_coverage"], built, runs, DAY + timedelta(days=13))
    kinds = [alert.kind for alert in found]
    assert kinds.count("stale_day") == 11 and kinds.count("failed_judging") == 1 and kinds.count("new_pattern") == 1
    assert "unsettled_day" in kinds and kinds[0] == "failed_run" and "trends was not made" in found[0].message


def test_a_quiet_and_complete_system_raises_no_alert():
    frames = world.frames()
    days = {DAY + timedelta(days=n) for n in range(13)}
    assert alerts(compute(frames), frames["clusters"], frames["judge_coverage"], days, [], world.TODAY) == []


def test_a_failed_run_counts_until_the_same_work_succeeds():
    broken = {"yes": True}
    days = dg.DailyPartitionsDefinition("2026-03-01")
    single = dg.BackfillPolicy.single_run()

    @dg.asset(partitions_def=days, backfill_policy=single)
    def report() -> None:
        if broken["yes"]:
            raise RuntimeError("no disk")

    @dg.asset(partitions_def=days, backfill_policy=single)
    def other() -> None: ...

    job = dg.Definitions(assets=[report, other]).resolve_implicit_global_asset_job_def()

    def run(instance, name, first, last):
        job.execute_in_process(
            instance=instance,
            asset_selection=[dg.AssetKey(name)],
            tags={FIRST: first, LAST: last},
            raise_on_error=False,
        )

    with dg.DagsterInstance.ephemeral() as instance:
        run(instance, "report", "2026-03-02", "2026-03-03")
        broken["yes"] = False
        run(instance, "other", "2026-03-01", "2026-03-09")
        run(instance, "report", "2026-03-03", "2026-03-04")
        [failed] = failed_runs(instance, 30)
        assert failed.what == "report of 2026-03-02 to 2026-03-03" and failed.failed_at <= datetime.now(UTC)
        run(instance, "report", "2026-03-01", "2026-03-09")
        assert failed_runs(instance, 30) == []
