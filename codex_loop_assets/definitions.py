"""The whole graph in one screen: `build_defs(overrides)` makes a fresh Definitions, `defs` is the one that Dagster loads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg

from codex_loop_assets import automation, checks
from codex_loop_assets.assets import (
    canon,
    clusters,
    embeddings,
    external,
    measure,
    proposals,
    registry,
    report,
    retention,
    signals,
    summaries,
    tasks,
    tickets,
    traces,
)
from codex_loop_assets.resources.homes import HomeResource

ASSETS = [
    *external.ASSETS,
    traces.traces,
    canon.canonical_tables,
    signals.mechanical_signals,
    signals.semantic_signals,
    signals.signals,
    embeddings.signal_embeddings,
    embeddings.session_embeddings,
    clusters.clusters,
    proposals.schema_proposals,
    report.daily_report,
    retention.retention,
    registry.cluster_registry,
    tasks.harbor_datasets,
    tasks.task_validations,
    tickets.tickets,
    measure.eval_runs,
    measure.trial_signals,
    measure.regressions,
    summaries.scorecard,
    summaries.trends,
    summaries.site,
]


def build_defs(resources: Mapping[str, Any] | None = None) -> dg.Definitions:
    """The graph with the given resources in place of the default ones (tests pass a home of their own)."""
    return dg.Definitions(
        assets=ASSETS,
        asset_checks=checks.CHECKS,
        jobs=automation.JOBS,
        schedules=automation.SCHEDULES,
        sensors=automation.SENSORS,
        resources={"home": HomeResource(), **(resources or {})},
        # A step costs 0.15 s in process and 3 s in one of its own; days run side by side through the run queue.
        executor=dg.in_process_executor,
    )


defs = build_defs()
