"""scorecard, reliability, trends, site: what all days say together. Brought up to date at the end of the daily work."""

from collections import Counter
from pathlib import Path

import dagster as dg
import polars as pl

from codex_loop_assets import clock
from codex_loop_assets.assets.guard import guarded
from codex_loop_assets.assets.policy import OWNERS, describe, store, table_spec
from codex_loop_assets.loop.labels import scorecard_rows
from codex_loop_assets.loop.site import pages as site_pages
from codex_loop_assets.measure import trends as rates
from codex_loop_assets.measure.gold import fixture_truth
from codex_loop_assets.measure.reliability import reliability
from codex_loop_assets.measure.scorecard import scorecard as score
from codex_loop_assets.measure.scorecard import with_drift, without_left_out
from codex_loop_assets.measure.truth import Truth
from codex_loop_assets.resources import reviews
from codex_loop_assets.resources.alerts import alerts_now
from codex_loop_assets.resources.canonical_tables import canon_tables
from codex_loop_assets.resources.files import replace_folder
from codex_loop_assets.resources.homes import Home, HomeResource
from codex_loop_assets.resources.report_inputs import exposure, report_inputs
from codex_loop_assets.resources.schema import current_schema
from codex_loop_assets.signals.judges.baseline import RegexBaseline
from codex_loop_assets.signals.judges.run import judge_day
from codex_loop_assets.tables import TABLES


def _every_day(*assets: str) -> list[dg.AssetDep]:
    return [dg.AssetDep(asset, partition_mapping=dg.AllPartitionMapping()) for asset in assets]


@dg.multi_asset(
    name="scorecard",
    specs=[
        table_spec("scorecard", "report", _every_day("detections", "turns", "judge_coverage")),
        table_spec("reliability", "report", _every_day("detections", "signals", "turns")),
    ],
)
@guarded
def scorecard(context: dg.AssetExecutionContext, home: HomeResource):
    """Score every detector on the labelled data that the home names (`truth` in config.toml), with a regex baseline beside the
    judges, and on what people have reviewed; empty where there is neither. Beside each number stands that of the detector's
    version before; severity and confidence are compared with what readers say."""
    codex = home.home
    labels = codex.overrides().get("home", {}).get("truth")
    truth = fixture_truth(Path(labels)) if labels else None
    bars = codex.section("scorecard")["bars"]
    frames = [scorecard_rows(reviews.verdicts(codex), codex.lake.read("signals"), bars["all"])]
    if truth:
        frames += planted_scores(codex, truth)
    card = pl.concat([TABLES["scorecard"].conform(part) for part in frames])
    looked_for = without_left_out(card, codex.lake.read("judge_coverage"))
    frame = with_drift(looked_for, codex.lake.read("scorecard"))
    overall = frame.filter(
        (pl.col("category") == "any_friction") & (pl.col("language") == "all") & (pl.col("matching") == "exact")
    )
    numbers = {
        f"{row['detector']}_friction_{measure}": row[measure]
        for row in overall.iter_rows(named=True)
        for measure in ("precision", "recall")
    }
    worse = frame.filter("worse").height
    store(context, codex, "scorecard", None, frame, labels=labels, worse_than_before=worse, **numbers)
    store(context, codex, "reliability", None, planted_reliability(codex, truth), labels=labels)


def planted_scores(home: Home, truth: Truth) -> list[pl.DataFrame]:
    """Rows of `scorecard` for the detectors' findings, and for the baseline's over the same sessions."""
    lake = home.lake
    turns = lake.read("turns")
    baseline = RegexBaseline()
    guessed, _ = judge_day(canon_tables(home), current_schema(home), baseline, clock.now(), home.section("judges"))
    beside = score(truth, guessed, turns, detectors=[baseline.name])
    return [score(truth, lake.read("detections"), turns), beside.filter(pl.col("detector") == baseline.name)]


def planted_reliability(home: Home, truth: Truth | None) -> pl.DataFrame:
    """Rows of `reliability` on the labelled data; none without."""
    if truth is None:
        return TABLES["reliability"].empty()
    lake = home.lake
    return reliability(truth, lake.read("detections"), lake.read("signals"), lake.read("turns"))


@dg.multi_asset(
    name="trends",
    specs=[
        table_spec("trends", "report", _every_day("signals", "sessions", "spines", "judge_coverage", "cluster_members"))
    ],
)
@guarded
def trends(context: dg.AssetExecutionContext, home: HomeResource):
    """Rates per day with intervals, over the sessions in which each thing could be seen."""
    codex = home.home
    lake = codex.lake
    states = lake.keys("cluster_members")
    frame = rates.compute(
        lake.read("signals"),
        lake.read("sessions"),
        lake.read("turns"),
        exposure(codex, lake.keys("sessions"), current_schema(codex)),
        lake.read("spines"),
        lake.read("judge_coverage"),
        lake.read("cluster_members", states[-1:]),
    )
    settled = rates.settled_through(frame)
    store(context, codex, "trends", None, frame, settled_through=str(settled) if settled else None)


@dg.asset(
    deps=["cluster_registry", "scorecard", "reliability", "trends", *_every_day("daily_report", "signals", "clusters")],
    group_name="report",
    owners=OWNERS,
    kinds={"html"},
    description="The static site: days, clusters, tickets, transcripts with signals marked, scorecards, coverage, cost. No network.",
)
@guarded
def site(context: dg.AssetExecutionContext, home: HomeResource) -> None:
    codex = home.home
    found = alerts_now(codex, context.instance, context.run.run_id)
    folder = codex.root / "reports" / "site"
    written = replace_folder(folder, site_pages(report_inputs(codex, alerts=found)))
    kinds = dict(Counter(alert.kind for alert in found))
    describe(
        context,
        "site",
        None,
        {"pages": written, "alerts": kinds or None, "index": dg.MetadataValue.url((folder / "index.html").as_uri())},
    )
