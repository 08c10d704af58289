"""Run the whole graph once, on the bundled fixtures or on your own sessions, and say what came out and where it is.

python demo.py --use-fixtures --skip-openai --output ./demo_output
python demo.py --codex-home ~/.codex --output ./demo_output
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

FIXTURES = Path(__file__).parent / "fixtures"


@click.command()
@click.option("--use-fixtures", is_flag=True, help="Use the bundled 42 days of small sessions and their repositories.")
@click.option(
    "--codex-home", type=click.Path(exists=True, file_okay=False), help="Use the sessions of this Codex home."
)
@click.option("--skip-openai", is_flag=True, help="Ignore OPENAI_API_KEY: local judge, local embeddings, no cost.")
@click.option(
    "--output", type=click.Path(file_okay=False), default="demo_output", show_default=True, help="Where the home goes."
)
@click.option("--as-of", help="The date to pretend (default: the fixtures' own, or the present).")
def demo(use_fixtures: bool, codex_home: str | None, skip_openai: bool, output: str, as_of: str | None) -> None:
    """Ingest, detect, cluster, distil, write tickets and the report."""
    if use_fixtures == bool(codex_home):
        raise click.UsageError("name one of --use-fixtures and --codex-home")
    if skip_openai:
        os.environ.pop("OPENAI_API_KEY", None)
    from codex_loop_assets.cli.options import open_home, plain_errors, set_clock

    with plain_errors():
        truth = json.loads((FIXTURES / "truth.json").read_text("utf-8")) if use_fixtures else None
        set_clock(as_of or (truth["clock"] if truth else None))
        home = open_home(str(Path(output) / "home"), None, create=True)
        home.initialise()
        if use_fixtures:
            home.remember("truth", str(FIXTURES / "truth.json"))
            home.register(FIXTURES / "codex_home", name="fixtures")
            for bundle in sorted((FIXTURES / "repositories").glob("*.bundle")):
                home.register_repository(bundle.stem, bundle)
        else:
            home.register(codex_home)
        run(home, Console(width=max(110, Console().width)))


def run(home, console: Console) -> None:
    """Run every stage as `codex-loop daily` does, then show the scorecard, what was made, and what to do next."""
    from codex_loop_assets.cli.pipeline import run_daily

    if not os.environ.get("OPENAI_API_KEY"):
        console.print(
            "OPENAI_API_KEY is not set: everything runs with the local judge and local embeddings, at no cost."
        )
    run_daily(home, console)
    scores(home, console)
    funnel(home, console)
    made(home, console)


def scores(home, console: Console) -> None:
    """The scorecard against labelled data, where there is any."""
    import polars as pl

    card = home.lake.read("scorecard").filter(
        (pl.col("language") == "all") & (pl.col("matching") == "exact") & (pl.col("detector") != "all")
    )
    if card.is_empty():
        return
    for truth, rows in card.group_by("truth", maintain_order=True):
        table = Table(title=f"Scorecard against {truth[0]}, with 95 % intervals", title_justify="left")
        for heading in ("detector", "category", "labelled", "found", "precision", "recall"):
            table.add_column(heading, justify="left" if heading in ("detector", "category") else "right", no_wrap=True)
        for row in rows.sort("detector", "category").iter_rows(named=True):
            labelled, found = (
                row["true_positives"] + row["false_negatives"],
                row["true_positives"] + row["false_positives"],
            )
            table.add_row(
                row["detector"],
                row["category"],
                str(labelled),
                str(found),
                *(_share(row, key) for key in ("precision", "recall")),
            )
        console.print(table)


def _share(row: dict, key: str) -> str:
    if row[key] is None:
        return "-"
    interval = f" [{row[f'{key}_low']:.2f}, {row[f'{key}_high']:.2f}]" if row[f"{key}_low"] is not None else ""
    return f"{row[key]:.2f}{interval}"


def funnel(home, console: Console) -> None:
    """How many signals became segments, candidates, built and proven tasks, and why the others did not."""
    import polars as pl

    datasets, validations = home.lake.read("harbor_datasets"), home.lake.read("task_validations")
    verdicts = validations.filter(pl.col("check") == "verdict")
    table = Table(title="From signals to proven tasks", title_justify="left")
    table.add_column("came as far as")
    table.add_column("candidates", justify="right")
    table.add_column("most frequent reason to go no further")
    for stage in ("signal", "segment", "candidate", "built"):
        rows = datasets.filter(pl.col("stage") == stage)
        reasons = (
            rows.filter(pl.col("reason") != "").group_by("reason").len().sort("len", "reason", descending=[True, False])
        )
        table.add_row(
            stage, str(rows.height), f"{reasons['reason'][0]} ({reasons['len'][0]})" if reasons.height else ""
        )
    for status, rows in sorted(verdicts.group_by("status"), key=lambda item: item[0]):
        table.add_row(status[0], str(rows.height), rows["reason"].mode().sort()[0])
    console.print(table)


def made(home, console: Console) -> None:
    """Paths of what came out, and the next steps."""
    tickets = home.lake.read("tickets")
    published = tickets.filter(tickets["path"].is_not_null())
    days = home.lake.keys("daily_report")
    lines = {
        "report": home.root / home.lake.read("daily_report", days[-1])["path"].item() if days else "none",
        "site": home.root / "reports" / "site" / "index.html",
        "tasks": home.root / "harbor" / "datasets",
        "tickets": f"{home.root / 'tickets'} ({published.height})",
        "tables": f"{home.catalogue} (any DuckDB client)",
    }
    for name, place in lines.items():
        console.print(f"{name:8} {place}", soft_wrap=True, highlight=False)
    console.print()
    console.print("Next:")
    console.print(
        f"  .venv/bin/codex-loop ui --home {home.root}   the Dagster UI on these runs (make ui for the default home)",
        soft_wrap=True,
    )
    console.print("  .venv/bin/codex-loop daily --codex-home ~/.codex   the same on your own sessions", soft_wrap=True)


if __name__ == "__main__":
    demo()
