"""`doctor`: what is there, what is missing, and what to do about it."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass

import click
import polars as pl
from rich.markup import escape

from codex_loop_assets.cli.console import open_console
from codex_loop_assets.cli.options import home_options, today
from codex_loop_assets.cli.summaries import not_looked_for
from codex_loop_assets.resources.homes import Home
from codex_loop_assets.signals.judges.llm.prices import outdated

MARKS = {"ok": "[green]ok[/]     ", "note": "[yellow]note[/]   ", "problem": "[red]problem[/]"}


@dataclass(frozen=True)
class Finding:
    """One thing looked at: `state` is ok, note or problem; `message` says what, where, and what to do."""

    state: str
    message: str


@click.command()
@click.option("--codex-home", multiple=True, type=click.Path(), help="Codex home to look at; remembered.")
@home_options(create=True)
def doctor(home: Home, codex_home: tuple[str, ...]) -> None:
    """Look at the home, the Codex homes, detection, clustering and Harbor; exit 1 when something needs doing."""
    for path in codex_home:
        home.register(path)
    findings = [*_home(home), *_codex_homes(home), *_sources(home), *_signals(home), *_models(home), *_harbor()]
    console = open_console()
    for finding in findings:
        console.print(f"{MARKS[finding.state]} {escape(finding.message)}", soft_wrap=True, highlight=False)
    if any(finding.state == "problem" for finding in findings):
        raise SystemExit(1)


def _home(home: Home) -> Iterator[Finding]:
    mode = stat.S_IMODE(home.root.stat().st_mode)
    if mode & 0o077:
        yield Finding(
            "problem",
            f"{home.root} can be read by others (mode {mode:o}); it holds what people said: chmod 700 {home.root}",
        )
    else:
        yield Finding("ok", f"home {home.root}")
    import duckdb

    try:
        with duckdb.connect(str(home.catalogue), read_only=True) as connection:
            connection.execute("SELECT count(*) FROM spines").fetchone()
        yield Finding("ok", f"catalogue {home.catalogue} opens and answers")
    except duckdb.Error as error:
        yield Finding(
            "problem", f"catalogue {home.catalogue}: {str(error).splitlines()[0]}; write it again with: codex-loop init"
        )
    free = shutil.disk_usage(home.root).free / 2**30
    if free < 1:
        yield Finding(
            "problem",
            f"only {free:.1f} GiB free where the home lies; runs write beside the old files before they replace them",
        )


def _codex_homes(home: Home) -> Iterator[Finding]:
    if not home.codex_homes():
        yield Finding("problem", "no Codex home is registered: codex-loop ingest --codex-home ~/.codex")
    for codex in home.codex_homes():
        if not codex.path.is_dir():
            yield Finding(
                "problem", f"Codex home {codex.name}: {codex.path} is gone; edit [codex_homes] in {home.config_path}"
            )
            continue
        spines = [entry for entry in (codex.path / "trace_spine").glob("*") if entry.is_dir()]
        rollouts = sum(
            1 for folder in ("sessions", "archived_sessions") for _ in (codex.path / folder).rglob("rollout-*")
        )
        if not spines and not rollouts:
            yield Finding(
                "problem",
                f"Codex home {codex.name}: no session in {codex.path}/trace_spine, sessions or archived_sessions; "
                f"look with: ls {codex.path}/trace_spine",
            )
        else:
            yield Finding(
                "ok", f"Codex home {codex.name}: {len(spines)} trace spines, {rollouts} rollout files in {codex.path}"
            )
        for spine in spines:
            if not any(spine.glob("segment-*.jsonl")):
                yield Finding(
                    "problem",
                    f"{spine} has no segment-*.jsonl: the recorder wrote nothing there, or the files were moved away",
                )


def _sources(home: Home) -> Iterator[Finding]:
    spines = home.lake.read("spines")
    if spines.is_empty():
        yield Finding("note", "nothing is ingested yet: codex-loop ingest")
        return
    yield Finding(
        "ok",
        f"{spines.height:,} session sources, {spines['lines'].sum():,} lines, {spines['lines_torn'].sum():,} of them torn",
    )
    quarantined = spines.filter(pl.col("status") == "quarantined")
    for row in quarantined.head(20).iter_rows(named=True):
        yield Finding("problem", f"quarantined: {row['home']}/{row['path']}: {row['reason']}")
    if quarantined.height > 20:
        yield Finding(
            "problem",
            f"… and {quarantined.height - 20} more: SELECT path, reason FROM spines WHERE status = 'quarantined'",
        )


def _signals(home: Home) -> Iterator[Finding]:
    if not home.lake.keys("signals"):
        yield Finding("note", "no signals yet: codex-loop signals")
        return
    counts = dict(home.lake.read("signals").group_by("type").len().iter_rows())
    need = home.section("discovery")["clusters"]["minimum_signals"]
    for kind in ("friction", "delight"):
        have = counts.get(kind, 0)
        if have < need:
            yield Finding(
                "note",
                f"too few {kind} signals to cluster: need {need}, have {have}; ingest more sessions (--lookback-hours 8760)",
            )
        else:
            yield Finding("ok", f"{have:,} {kind} signals")


def _models(home: Home) -> Iterator[Finding]:
    if warning := outdated(home.section("prices"), today()):
        yield Finding("note", warning)
    if os.environ.get("OPENAI_API_KEY"):
        yield Finding(
            "ok",
            f"OPENAI_API_KEY is set: model {'at ' + os.environ['OPENAI_BASE_URL'] if os.environ.get('OPENAI_BASE_URL') else 'at its default address'}",
        )
    else:
        yield Finding("note", "OPENAI_API_KEY is not set: the local judge and local embeddings are used, at no cost")
        yield Finding("note", not_looked_for(home))


def _harbor() -> Iterator[Finding]:
    from codex_loop_assets.resources import harbor

    found = harbor.find()
    if found is None:
        yield Finding(
            "note",
            "Harbor is not found, so tasks stay unvalidated; install it with: uv tool install harbor (Python 3.12)",
        )
    else:
        yield Finding("ok", f"Harbor {found.version()} at {found.executable}")
    problem = harbor.engine_problem()
    yield (
        Finding("note", f"{problem}; tasks stay unvalidated until one answers")
        if problem
        else Finding("ok", "a Docker engine with Compose v2 answers")
    )
