"""What judging cost and how much of it was confirmed: the numbers that reports show beside the findings."""

from __future__ import annotations

import polars as pl


def cost_summary(coverage: pl.DataFrame, findings: pl.DataFrame) -> dict[str, float | int | None]:
    """Totals over frames of `judge_coverage` and `semantic_signals` of the same days and judge.

    Dollars are those of the answers when they were bought, failed attempts included. `usd_per_1000_sessions` counts
    judged sessions, `usd_per_signal` findings whose evidence was confirmed by machine; both are null without any.
    `rejected_citations` is the share of claims whose turn or quotation does not exist.
    """
    judged = coverage.filter(pl.col("status") == "judged").height
    cost = float(coverage["cost_usd"].sum())
    kept, rejected = findings.height, int(coverage["rejected"].sum())
    return {
        "cost_usd": cost,
        "calls": int(coverage["calls"].sum()),
        "sessions_judged": judged,
        "sessions_not_judged": coverage.filter(
            pl.col("status").is_in(["active", "pending_batch", "deferred", "failed"])
        ).height,
        "usd_per_1000_sessions": cost / judged * 1000 if judged else None,
        "usd_per_signal": cost / kept if kept else None,
        "rejected_citations": rejected / (kept + rejected) if kept + rejected else None,
    }
