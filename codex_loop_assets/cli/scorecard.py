"""`scorecard`: how far each detector can be trusted, how that moved with its last version, and what nobody looks for."""

from __future__ import annotations

import click
import polars as pl
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from codex_loop_assets.cli.console import open_console
from codex_loop_assets.cli.options import home_options
from codex_loop_assets.cli.summaries import not_looked_for
from codex_loop_assets.resources.homes import Home
from codex_loop_assets.signals.judges.costs import cost_summary
from codex_loop_assets.signals.judges.local.shipping import left_out


@click.command()
@click.option("--category", help="Only this category, or any_friction, any_delight.")
@click.option("--language", default="all", show_default=True, help="Only this language.")
@home_options()
def scorecard(home: Home, category: str | None, language: str) -> None:
    """Precision and recall of each detector on labelled data with intervals, the change since its version before, what it
    says of severity and confidence beside what readers say, rejected citations, and what is not looked for without a key."""
    console = open_console()
    rows = home.lake.read("scorecard").filter((pl.col("matching") == "exact") & (pl.col("language") == language))
    rows = rows.filter(pl.col("category") == category) if category else rows
    if rows.is_empty():
        console.print(
            "Nothing has been measured: name labelled sessions ([home] truth in config.toml) or review some moments "
            "(codex-loop review), then run codex-loop daily.",
            highlight=False,
        )
    for (truth, detector), own in rows.sort("truth", "detector", "category").group_by(
        "truth", "detector", maintain_order=True
    ):
        console.print(_scores(f"{detector} against {truth}, 95 % intervals", own))
    _show_drift(console, rows)
    _show_reliability(console, home.lake.read("reliability"))
    summary = cost_summary(home.lake.read("judge_coverage"))
    console.print(
        f"Rejected citations: {_share(summary['rejected_citations'])} of claims. Judging by model: "
        f"{_money(summary['usd_per_1000_sessions'])} per 1,000 sessions, {_money(summary['usd_per_signal'])} per confirmed "
        "signal.",
        highlight=False,
        soft_wrap=True,
    )
    _show_without_a_key(console, home)


def _table(title: str, left: tuple[str, ...], right: tuple[str, ...]) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in left:
        table.add_column(heading)
    for heading in right:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def _scores(title: str, rows: pl.DataFrame) -> Table:
    table = _table(title, ("category",), ("precision", "recall", "F1", "bar"))
    for row in rows.iter_rows(named=True):
        bar = "-" if row["above_bar"] is None else "yes" if row["above_bar"] else "no"
        spread = (_between(row, name) for name in ("precision", "recall"))
        table.add_row(row["category"], *spread, _number(row["f1"]), bar)
    return table


def _show_drift(console: Console, rows: pl.DataFrame) -> None:
    moved = rows.filter(pl.col("version_before").is_not_null()).sort("detector", "category")
    if moved.is_empty():
        console.print("Change since the version before: no other version of a detector has been measured in this home.")
        return
    table = _table(
        "Change since the version before", ("detector", "category"), ("precision", "recall", "F1", "verdict")
    )
    for row in moved.iter_rows(named=True):
        changes = [_change(row[name], row[f"{name}_before"]) for name in ("precision", "recall", "f1")]
        table.add_row(row["detector"], row["category"], *changes, "worse" if row["worse"] else "held")
    console.print(table)
    for detector, before, now in (
        moved.select("detector", "version_before", "detector_version").unique().sort("detector").rows()
    ):
        console.print(f"{detector}: version {before}, then {now}", highlight=False, markup=False, soft_wrap=True)
    console.print("worse: precision or recall fell below its interval of before", highlight=False)


def _show_reliability(console: Console, rows: pl.DataFrame) -> None:
    if rows.is_empty():
        console.print("Severity and confidence: no labelled sessions to compare them with.")
    for (truth,), own in rows.sort("truth", "detector", "predicted").group_by("truth", maintain_order=True):
        severity = _table(
            f"Severity predicted, and what {truth} says",
            ("detector", "predicted"),
            ("findings", "mean", "mild", "clear", "strong"),
        )
        confidence = _table(
            f"Confidence predicted, and the share that is right by {truth}",
            ("detector", "range"),
            ("findings", "mean", "right"),
        )
        for row in own.iter_rows(named=True):
            counted = (row["detector"], row["predicted"], f"{row['moments']:,}")
            if row["measure"] == "severity":
                shares = (_share(row[f"observed_{level}"]) for level in (1, 2, 3))
                severity.add_row(*counted, f"{row['observed_mean']:.2f}", *shares)
            else:
                right = f"{row['observed_mean']:.2f} [{row['observed_low']:.2f}, {row['observed_high']:.2f}]"
                confidence.add_row(*counted, f"{row['predicted_mean']:.2f}", escape(right))
        console.print(severity, confidence)


def _show_without_a_key(console: Console, home: Home) -> None:
    settings, clean = home.section("local_categories"), home.section("held_out")
    tuned = _figures_table("Without a key: published figures, on labelled sessions for tuning (optimistic)")
    for name, row in settings["categories"].items():
        looked = {"model": "yes", "rule": "by expressions", "none": "no"}[row["by"]]
        tuned.add_row(name, looked, *_figures(row))
    held_out = _figures_table(
        f"Without a key: on {clean['measured']['conversations']} invented conversations that had no part in making the judge"
    )
    for name, row in (clean["categories"] | clean["types"]).items():
        held_out.add_row(name, "yes", *_figures(row))
    console.print(tuned, held_out)
    console.print("base: F1 of the regex baseline; gain: F1 of the judge minus that", highlight=False)
    for name, why in left_out(settings).items():
        console.print(f"{name} is not looked for: {why}", highlight=False, soft_wrap=True)
    console.print(not_looked_for(home), highlight=False, soft_wrap=True)


def _figures_table(title: str) -> Table:
    return _table(title, ("category", "looked for"), ("labels", "prec.", "recall", "F1", "base", "gain, 95 %"))


def _figures(row: dict) -> list[str]:
    """Cells of a row of published figures."""
    low, high = row["gain"]
    numbers = [_number(row[key]) for key in ("precision", "recall", "f1", "baseline_f1")]
    return [f"{row['labelled']:,}", *numbers, f"{low:+.2f} to {high:+.2f}"]


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
