"""What comes from outside: Codex's session files, and the schema that people decide about. Observed, never made here."""

import dagster as dg

from codex_loop_assets.assets.policy import OWNERS

ASSETS = [
    dg.AssetSpec(
        "codex_sessions",
        group_name="ingest",
        owners=OWNERS,
        kinds={"jsonl"},
        description="Session files that Codex writes under the registered Codex homes: trace spines and rollouts. Never written to.",
    ),
    dg.AssetSpec(
        "signal_schema",
        group_name="signals",
        owners=OWNERS,
        kinds={"jsonl"},
        description=(
            "The categories that detection looks for: built-in ones and those that people promoted or retired (decisions.jsonl). "
            "An observation carries the version that a detection used."
        ),
    ),
]
