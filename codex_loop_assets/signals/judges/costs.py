"""What judging cost and how much of it was confirmed: the numbers that reports show beside the findings."""

from __future__ import annotations

import polars as pl


def cost_summary(coverage: pl.DataFrame) -> dict[str, float | int | None]:
    """Totals over rows of `judge_coverage`.

    Dollars are those of the answers when they were bought, failed attempts included; None where no model was asked, and
    the two rates then too: the local judge has no price, which is not the same as a price of nothing.
    `usd_per_1000_sessions` counts the sessions that a model judged, `usd_per_signal` its findings whose evidence was
    confirmed by machine; both are None without any. `rejected_citations` is the share of claims whose turn or quotation
    does not exist, over all judges; None without a claim.
    """
    priced = coverage.filter(pl.col("cost_usd").is_not_null())
    cost = float(priced["cost_usd"].sum()) if priced.height else None
    judged = priced.filter(pl.col("status") == "judged")
    confirmed = int(judged["findings"].sum())
    kept, rejected = int(coverage["findings"].sum()), int(coverage["rejected"].sum())
    return {
        "cost_usd": cost,
        "calls": int(coverage["calls"].sum()),
        "sessions_judged": coverage.filter(pl.col("status") == "judged").height,
        "sessions_not_judged": coverage.filter(
            pl.col("status").is_in(["active", "pending_batch", "deferred", "failed"])
        ).height,
        "usd_per_1000_sessions": cost / judged.height * 1000 if cost is not None and judged.height else None,
        "usd_per_signal": cost / confirmed if cost is not None and confirmed else None,
        "rejected_citations": rejected / (kept + rejected) if kept + rejected else None,
    }
