"""mechanical_signals, semantic_signals, signals: the moments of friction and delight, and who found them."""

import dagster as dg
import polars as pl

from codex_loop_assets import clock
from codex_loop_assets.assets.guard import guarded
from codex_loop_assets.assets.policy import DAILY, store, table_of, table_spec
from codex_loop_assets.resources.canonical_tables import CANON, canon_tables
from codex_loop_assets.resources.freshness import inputs
from codex_loop_assets.resources.homes import HomeResource
from codex_loop_assets.resources.judges import open_judge
from codex_loop_assets.resources.schema import schema_for
from codex_loop_assets.signals.judges.costs import cost_summary
from codex_loop_assets.signals.judges.run import judge_day
from codex_loop_assets.signals.merge import merge
from codex_loop_assets.signals.rules import detect
from codex_loop_assets.signals.schema import SignalSchema


class DetectionConfig(dg.Config):
    """`reschema`: use the current categories instead of those the day was made with."""

    reschema: bool = False


@dg.multi_asset(
    name="mechanical_signals",
    specs=[table_spec("mechanical_signals", "signals", [*CANON, "signal_schema"])],
    **DAILY,
)
@guarded
def mechanical_signals(context: dg.AssetExecutionContext, config: DetectionConfig, home: HomeResource):
    """Apply the rule files to the day's sessions."""
    codex = home.home
    for day in context.partition_keys:
        schema = schema_for(codex, day, reschema=config.reschema)
        made_from = inputs(codex.lake, "mechanical_signals", day)  # Before reading: see canonical_tables.
        found = detect(canon_tables(codex, day), schema, codex.section("rules"))
        store(
            context,
            codex,
            "mechanical_signals",
            day,
            found,
            made_from,
            categories=table_of(by_category(found)),
            schema_version=schema.version,
        )


@dg.multi_asset(
    name="semantic_signals",
    specs=[
        table_spec("semantic_signals", "signals", [*CANON, "signal_schema"]),
        table_spec("judge_coverage", "signals", ["sessions", "turns"]),
    ],
    **DAILY,
)
@guarded
def semantic_signals(context: dg.AssetExecutionContext, config: DetectionConfig, home: HomeResource):
    """Have the judge read the day's quiet sessions: the model when there is a key, the local judge otherwise."""
    codex = home.home
    judge = open_judge(codex)
    for day in context.partition_keys:
        schema = schema_for(codex, day, reschema=config.reschema)
        observe_schema(context, schema)
        made_from = inputs(codex.lake, "semantic_signals", day)
        found, coverage = judge_day(canon_tables(codex, day), schema, judge, clock.now(), codex.section("judges"))
        store(
            context,
            codex,
            "semantic_signals",
            day,
            found,
            made_from,
            detector=judge.name,
            schema_version=schema.version,
        )
        store(
            context,
            codex,
            "judge_coverage",
            day,
            coverage,
            statuses=table_of(coverage.group_by("status").agg(sessions=pl.len()).sort("status")),
            **cost_summary(coverage),
        )


@dg.multi_asset(
    name="signals",
    specs=[
        table_spec("signals", "signals", ["mechanical_signals", "semantic_signals"]),
        table_spec("detections", "signals", ["mechanical_signals", "semantic_signals"]),
    ],
    **DAILY,
)
@guarded
def signals(context: dg.AssetExecutionContext, home: HomeResource):
    """Merge what the detectors found: one moment is one signal, with a row in `detections` per detector."""
    codex = home.home
    for day in context.partition_keys:
        lake = codex.lake
        made_from = inputs(lake, "signals", day)
        merged, detections = merge(
            lake.read("mechanical_signals", day),
            lake.read("semantic_signals", day),
            schema_for(codex, day, reschema=False),
        )
        store(context, codex, "detections", day, detections)
        by_type = dict(merged.group_by("type").len().iter_rows())
        store(
            context,
            codex,
            "signals",
            day,
            merged,
            made_from,
            friction=by_type.get("friction", 0),
            delight=by_type.get("delight", 0),
            categories=table_of(by_category(merged)),
        )


def by_category(found: pl.DataFrame) -> pl.DataFrame:
    """Moments, sessions and mean severity by category, the most frequent first."""
    counted = found.group_by("type", "category").agg(
        moments=pl.len(), sessions=pl.col("thread_id").n_unique(), mean_severity=pl.col("severity").mean().round(2)
    )
    return counted.sort(["moments", "category"], descending=[True, False])


def observe_schema(context: dg.AssetExecutionContext, schema: SignalSchema) -> None:
    """Record the schema version that detection used as an observation of the external asset `signal_schema`."""
    context.log_event(
        dg.AssetObservation(
            "signal_schema",
            metadata={"categories": len(schema.active())},
            tags={"dagster/data_version": schema.version},
        )
    )
