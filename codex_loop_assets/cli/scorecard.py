"""`scorecard`: how far each detector can be trusted, how that moved with its last version, and what nobody looks for."""

from __future__ import annotations

import click
import polars as pl
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from codex_loop_assets.cli.options import home_options
from codex_loop_assets.cli.summaries import not_looked_for
from codex_loop_assets.resources.homes import Home
from codex_loop_assets.signals.judges.costs import cost_summary


@click.command()
@click.option("--category", help="Only this category, or any_friction, any_delight.")
@click.option("--language", default="all", show_default=True, help="Only this language.")
@home_options()
def scorecard(home: Home, category: str | None, language: str) -> None:
    """Precision and recall of each detector on labelled data with intervals, the change since its version before, what it
    says of severity and confidence beside what readers say, rejected citations, and what is not looked for without a key."""
    console = Console()
    rows = home.lake.read("scorecard").filter((pl.col("matching") == "exact") & (pl.col("language") == language))
    rows = rows.filter(pl.col("category") == category) if category else rows
    if rows.is_empty():
        console.print(
            "Nothing has been measured: name labelled sessions ([home] truth in config.toml) or review some moments "
            "(codex-loop review), then run codex-loop daily.",
            highlight=False,
        )
    for (truth,), own in rows.sort("truth", "detector", "category").group_by("truth", maintain_order=True):
        console.print(_scores(str(truth), own))
    console.print(_drift(rows))
    console.print(_reliability(home.lake.read("reliability")))
    summary = cost_summary(home.lake.read("judge_coverage"))
    console.print(
        f"Rejected citations: {_share(summary['rejected_citations'])} of claims. Judging by model: "
        f"{_money(summary['usd_per_1000_sessions'])} per 1,000 sessions, {_money(summary['usd_per_signal'])} per confirmed "
        "signal.",
        highlight=False,
    )
    console.print(_without_a_key(home))
    console.print(not_looked_for(home), highlight=False, soft_wrap=True)


def _table(title: str, left: tuple[str, ...], right: tuple[str, ...]) -> Table:
    table = Table(title=title, title_justify="left")
    for heading in left:
        table.add_column(heading)
    for heading in right:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def _scores(truth: str, rows: pl.DataFrame) -> Table:
    table = _table(f"Against {truth}, 95 % intervals", ("detector", "category"), ("precision", "recall", "F1", "bar"))
    for row in rows.iter_rows(named=True):
        bar = "-" if row["above_bar"] is None else "reached" if row["above_bar"] else "not reached"
        table.add_row(
            row["detector"],
            row["category"],
            _between(row, "precision"),
            _between(row, "recall"),
            _number(row["f1"]),
            bar,
        )
    return table


def _drift(rows: pl.DataFrame) -> Table | str:
    moved = rows.filter(pl.col("version_before").is_not_null())
    if moved.is_empty():
        return "Change since the version before: no other version of a detector has been measured in this home."
    table = _table(
        "Change since the version before",
        ("detector", "category", "versions"),
        ("precision", "recall", "F1", "verdict"),
    )
    for row in moved.sort("detector", "category").iter_rows(named=True):
        changes = [_change(row[name], row[f"{name}_before"]) for name in ("precision", "recall", "f1")]
        verdict = "worse" if row["worse"] else "within the interval of before, or better"
        versions = escape(f"{row['version_before']} to {row['detector_version']}")
        table.add_row(row["detector"], row["category"], versions, *changes, verdict)
    return table


def _reliability(rows: pl.DataFrame) -> Table | str:
    if rows.is_empty():
        return "Severity and confidence: no labelled sessions to compare them with."
    table = _table(
        "Predicted, and what readers say",
        ("truth", "detector", "measure", "predicted"),
        ("findings", "mean", "observed"),
    )
    for row in rows.sort("truth", "measure", "detector", "predicted").iter_rows(named=True):
        if row["measure"] == "severity":
            shares = " / ".join(_share(row[f"observed_{level}"]) for level in (1, 2, 3))
            observed = f"{row['observed_mean']:.2f} (mild / clear / strong: {shares})"
        else:
            observed = f"{row['observed_mean']:.2f} [{row['observed_low']:.2f}, {row['observed_high']:.2f}] right"
        table.add_row(
            row["truth"], row["detector"], row["measure"], row["predicted"], f"{row['moments']:,}",
            f"{row['predicted_mean']:.2f}", escape(observed),
        )  # fmt: skip
    return table


def _without_a_key(home: Home) -> Table:
    table = _table(
        "Without a key (published with this version, labelled sessions for tuning)",
        ("category", "looked for"),
        ("precision", "recall", "F1", "baseline's F1", "gain, 95 %"),
    )
    for name, row in home.section("local_categories")["categories"].items():
        low, high = row["gain"]
        looked = {"model": "yes", "rule": "by the baseline's expressions", "none": f"no: {row['why']}"}[row["by"]]
        numbers = [_number(row[key]) for key in ("precision", "recall", "f1", "baseline_f1")]
        table.add_row(name, looked, *numbers, f"{low:+.2f} to {high:+.2f}")
    return table


def _between(row: dict, name: str) -> str:
    if row[name] is None:
        return "-"
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return escape(f"{row[name]:.2f} [{low:.2f}, {high:.2f}]") if low is not None else f"{row[name]:.2f}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _change(now: float | None, before: float | None) -> str:
    return "-" if now is None or before is None else f"{now - before:+.2f}"


def _share(value: float | None) -> str:
    return "n/a" if value is None else f"{100 * value:.0f} %"


def _money(value: float | None) -> str:
    return "n/a (no model was asked)" if value is None else f"${value:.4f}"
