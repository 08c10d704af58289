"""What the mechanical detectors find in the Codex sessions of trials: did the friction that gave birth to the task go away?

A trial without a session of its own (another agent, a crash before the first record) has nothing to look at: its rows say
`observable` false, never a count of zero that could be taken for an improvement.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import polars as pl

from codex_loop_assets.signals.model import CanonTables
from codex_loop_assets.signals.observability import session_observability
from codex_loop_assets.signals.rules import detect
from codex_loop_assets.signals.schema import SignalSchema
from codex_loop_assets.tables import TRIAL_SIGNALS


def trial_signal_rows(
    cluster_id: str,
    trials: Mapping[str, CanonTables | Mapping[str, int] | None],
    categories: Iterable[str],
    schema: SignalSchema,
) -> pl.DataFrame:
    """Rows of `trial_signals`: per trial and wanted category.

    trials: eval_id -> the tables of its sessions; or, where another home looked at them, its counts by category that could be
    seen; or None without any.
    """
    wanted = sorted(set(categories))
    rows = []
    for eval_id, canon in trials.items():
        found, seen = _found(canon, schema)
        rows += [
            {
                "eval_id": eval_id,
                "cluster_id": cluster_id,
                "category": name,
                "observable": name in seen,
                "count": found.get(name, 0),
            }
            for name in wanted
        ]
    return TRIAL_SIGNALS.frame(rows)


def _found(canon: CanonTables | Mapping[str, int] | None, schema: SignalSchema) -> tuple[Mapping[str, int], set[str]]:
    """(count by category, categories that could be seen)."""
    if not isinstance(canon, CanonTables):
        return canon or {}, set(canon or {})
    found = dict(detect(canon, schema).group_by("category").len().iter_rows())
    seen = session_observability(canon, schema).filter(pl.col("observable"))["category"]
    return found, set(seen)
