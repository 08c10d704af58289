"""Run the whole graph once, on the bundled fixtures or on your own sessions, and say what came out and where it is.

python demo.py --use-fixtures --skip-openai --output ./demo_output
python demo.py --codex-home ~/.codex --output ./demo_output
"""

from __future__ import annotations

import json
import os
from datetime import date, timedelta
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

FIXTURES = Path(__file__).parent / "fixtures"
RECORDED = FIXTURES / "recorded_jobs" / "jobs"
REMAKE = "python -m fixtures.recorded_jobs --home demo_output/home"
REASON = (
    "approved by demo.py to show the loop, not by a person: the largest sure proposal in people's own words"
    " (confidence {confidence:.2f}, {sample_count} moments in {session_count} sessions)"
)


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
    from codex_loop_assets.cli.console import open_console
    from codex_loop_assets.cli.options import open_home, plain_errors, set_clock
    from codex_loop_assets.resources import proofs

    with plain_errors():
        truth = json.loads((FIXTURES / "truth.json").read_text("utf-8")) if use_fixtures else None
        now = as_of or (truth["clock"] if truth else None)
        set_clock(now)
        home = open_home(str(Path(output) / "home"), None, create=True)
        home.initialise()
        console = open_console()
        if not os.environ.get("OPENAI_API_KEY"):
            console.print(
                "OPENAI_API_KEY is not set: everything runs with the local judge and local embeddings, at no cost."
            )
        if use_fixtures:
            home.remember("truth", str(FIXTURES / "truth.json"))
            home.register(FIXTURES / "codex_home", name="fixtures")
            for bundle in sorted((FIXTURES / "repositories").glob("*.bundle")):
                home.register_repository(bundle.stem, bundle)
            if (RECORDED / "proofs.ndjson").is_file():
                proofs.take_in(home, RECORDED / "proofs.ndjson")
            learn_a_category(home, console, now)
        else:
            home.register(codex_home)
        run(home, console)


def run(home, console: Console) -> None:
    """Run every stage as `codex-loop daily` does, then show the scorecard, what was made, and what to do next."""
    from codex_loop_assets.cli.pipeline import finish, run_stages

    run_stages(home, console)
    if home.overrides().get("home", {}).get("truth") and (RECORDED / "recorded.json").is_file():
        recorded_verdict(home, console)
    finish(home, console)
    promoted(home, console)
    scores(home, console)
    funnel(home, console)
    made(home, console)


def learn_a_category(home, console: Console, now: str | None) -> None:
    """Live the first two thirds of the days, and approve one proposed category as of their end, as a person would: it is
    looked for in the days that follow."""
    from codex_loop_assets.cli.options import set_clock
    from codex_loop_assets.cli.runs import materialise
    from codex_loop_assets.resources.proposals import decide
    from codex_loop_assets.resources.sources import scan
    from codex_loop_assets.stages import DAILY

    days = sorted(scan(home).by_day)
    first = days[: 2 * len(days) // 3]
    if not first or home.decisions_path.is_file():
        return
    set_clock((date.fromisoformat(first[-1]) + timedelta(days=1)).isoformat())
    materialise(home, DAILY, days=first)
    proposal = best_proposal(home)
    if proposal:
        decide(home, proposal["proposal_id"], approve=True, who="demo", reason=REASON.format(**proposal))
        console.print(f"On {first[-1]} the demo approves {proposal['name']} ({proposal['proposal_id']}), as `demo`.")
    set_clock(now)


def best_proposal(home) -> dict | None:
    """The open proposal about friction to approve: sure, mostly people's own words (what a judge can find again), the one
    with most moments first."""
    import polars as pl

    from codex_loop_assets.resources.proposals import proposals_now

    members = home.lake.read("cluster_members", home.lake.keys("cluster_members")[-1:]).drop_nulls("cluster_id")
    said = (
        members.join(home.lake.read("signals").select("signal_id", "detector"), on="signal_id")
        .group_by("cluster_id")
        .agg(words=(pl.col("detector") != "mechanical").mean())
    )
    fitting = proposals_now(home).filter(
        (pl.col("status") == "open")
        & (pl.col("type") == "friction")
        & (pl.col("confidence") >= home.section("discovery")["governance"]["confidence"])
        & (pl.col("session_count") >= 5)
    )
    fitting = fitting.join(said.filter(pl.col("words") >= 0.6), on="cluster_id", how="semi")
    best = fitting.sort("sample_count", "confidence", "proposal_id", descending=[True, True, False])
    return best.row(0, named=True) if best.height else None


def promoted(home, console: Console) -> None:
    """What the promoted categories have found since."""
    import polars as pl

    from codex_loop_assets.resources.schema import current_schema

    signals = home.lake.read("detections")
    for name, category in sorted(current_schema(home).categories.items()):
        if category.status == "promoted":
            found = signals.filter(pl.col("category") == name)
            sessions = found["thread_id"].n_unique()
            console.print(f"Promoted category {name}: {found.height} moments in {sessions} sessions since.")


def recorded_verdict(home, console: Console) -> None:
    """Prove a ticket with job folders recorded from real Harbor runs, since not every machine has an engine."""
    from codex_loop_assets.cli import verify
    from codex_loop_assets.cli.options import today
    from codex_loop_assets.cli.runs import materialise
    from codex_loop_assets.loop import life
    from codex_loop_assets.resources import jobs, ticket_history
    from codex_loop_assets.stages import MEASURE

    recorded = json.loads((RECORDED / "recorded.json").read_text("utf-8"))
    placed = {row["job"]: cluster for row in recorded if (cluster := cluster_of(home, row))}
    target = next((placed[row["job"]] for row in recorded if row["set"] == "target" and row["job"] in placed), None)
    if target is None:
        console.print(f"The recorded job folders are of other tasks than these; remake them: {REMAKE}")
        return
    for row in recorded:
        if row["job"] in placed:
            jobs.adopt_job(home, placed[row["job"]], RECORDED / row["job"], row["arm"])
    materialise(home, MEASURE, clusters=sorted(set(placed.values())))
    open_ones = [state for state in ticket_history.states(home).values() if state.cluster_id == target]
    if not open_ones:
        materialise(home, ["tickets"], clusters=[target], config={"tickets": {"config": {"force": True}}})
    [ticket_id] = [name for name, state in ticket_history.states(home).items() if state.cluster_id == target]
    verdict = verify.record(home, ticket_id, today(), None)
    ticket_history.note(home, ticket_id, "note", life.SYSTEM, f"the trials behind this verdict are recorded: {REMAKE}")
    materialise(home, ["tickets"], clusters=[target])
    console.print(f"\nVerdict on {ticket_id}, from recorded real job folders (remake them: {REMAKE})")
    console.print(verdict.markdown(), markup=False, highlight=False)


def cluster_of(home, row: dict) -> str | None:
    """The cluster whose dataset holds the tasks that a recorded job ran, as they were but for where they came from; None where
    none does."""
    datasets = home.lake.read("harbor_datasets")
    ran = {(task["task_name"], task.get("core_digest", task["digest"])) for task in row["tasks"]}
    for cluster in datasets["cluster_id"].unique().sort():
        rows = datasets.filter(datasets["cluster_id"] == cluster)
        known = [*rows.select("task_name", "digest").iter_rows(), *rows.select("task_name", "core_digest").iter_rows()]
        if ran <= set(known):
            return cluster
    return None


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
