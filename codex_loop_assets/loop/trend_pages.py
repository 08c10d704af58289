"""The page of trends: what each category and pattern did lately, before that, and by release and model.

What belongs here: choosing and adding up rows of `trends` for the page. What does not: the rates (`measure.trends`),
drawing (`charts`).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

import polars as pl

from codex_loop_assets.loop import charts
from codex_loop_assets.loop.excerpt import excerpt
from codex_loop_assets.loop.inputs import ReportInputs
from codex_loop_assets.loop.sections import interval
from codex_loop_assets.measure.trends import ALL, settled_through


def values(inputs: ReportInputs, clusters: list[dict]) -> dict[str, Any]:
    """What the template shows. Sessions count on each day on which something happened in them."""
    rates = inputs.table("trends")
    newest = rates["dt"].max() if rates.height else None
    labels = {cluster["cluster_id"]: cluster for cluster in clusters}
    settings = inputs.settings["trends"]
    return {
        "newest": newest,
        "settled_through": settled_through(rates),
        "days": settings["days"],
        "alerts": [{"kind": alert.kind, "message": excerpt(alert.message, None, 240)} for alert in inputs.alerts],
        "categories": [] if newest is None else _rows(inputs, rates, "category", newest, labels),
        "patterns": [] if newest is None else _rows(inputs, rates, "cluster", newest, labels),
    }


def _rows(inputs: ReportInputs, rates: pl.DataFrame, kind: str, newest: date, labels: Mapping[str, dict]) -> list[dict]:
    rows = rates.filter(pl.col("kind") == kind)
    names = [name for name in rows["name"].unique().sort() if kind == "category" or name in labels]
    found = [_row(inputs, rows.filter(pl.col("name") == name), kind, name, newest, labels) for name in names]
    shown = [row for row in found if row["now"]["sessions"] or row["before"]["sessions"]]
    return sorted(shown, key=lambda row: (row["kind"] != "friction", -row["now"]["sessions"], row["title"]))


def _row(
    inputs: ReportInputs, rows: pl.DataFrame, kind: str, name: str, newest: date, labels: Mapping[str, dict]
) -> dict[str, Any]:
    settings = inputs.settings["trends"]
    first = newest - timedelta(days=settings["days"] - 1)
    now = rows.filter(pl.col("dt") >= first)
    before = rows.filter((pl.col("dt") < first) & (pl.col("dt") >= first - timedelta(days=settings["days"])))
    overall = (pl.col("cli_version") == ALL) & (pl.col("model") == ALL)
    colour = labels[name]["kind"] if kind == "cluster" else inputs.type_of(name)
    daily = rows.filter(overall).sort("dt").tail(settings["sparkline_days"])["sessions_with"].to_list()
    return {
        "title": labels[name]["label"] if kind == "cluster" else name.replace("_", " "),
        "href": f"clusters/{name}.html" if kind == "cluster" else None,
        "kind": colour,
        "now": _share(now.filter(overall)),
        "before": _share(before.filter(overall)),
        "spark": charts.sparkline(daily, "sessions per day", colour),
        "facets": [
            {"name": excerpt(value, None, 40), "facet": label} | _share(now.filter(pl.col(column) == value))
            for column, label in (("cli_version", "Codex"), ("model", "model"))
            for value in now.filter(pl.col(column) != ALL)[column].unique().sort().to_list()
        ],
    }


def _share(rows: pl.DataFrame) -> dict[str, Any]:
    hits, total = int(rows["sessions_with"].sum()), int(rows["exposed_sessions"].sum())
    rate, low, high = interval(hits, total)
    return {"sessions": hits, "exposed": total, "rate": rate, "low": low, "high": high}
