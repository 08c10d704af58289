"""`trace bundle|atif`: one thread out of a Codex home, and what can be made of it without a graph."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from codex_loop_assets import clock
from codex_loop_assets.cli.options import Problem
from codex_loop_assets.resources.files import write_text
from codex_loop_assets.resources.forget import forgotten_hashes, thread_hash
from codex_loop_assets.resources.homes import Home
from codex_loop_assets.traces.homes import CodexHome

_bundle = click.option(
    "--bundle", required=True, type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A folder that `trace bundle` made, or a bare spine folder.",
)  # fmt: skip
_output = click.option("--output", required=True, type=click.Path(path_type=Path), help="An empty or new folder.")
_home = click.option(
    "--home", "home_path", type=click.Path(file_okay=False), help="codex-loop home (default: .codex_loop)."
)


@click.group()
def trace() -> None:
    """Work on one thread: bundle its files, export its trajectory."""


@trace.command()
@click.option("--session-id", required=True, help="The thread's id.")
@_output
@click.option("--codex-home", type=click.Path(exists=True, file_okay=False, path_type=Path),
              help="Where Codex keeps its sessions (default: the registered homes, else CODEX_HOME, else ~/.codex).")  # fmt: skip
@_home
def bundle(session_id: str, output: Path, codex_home: Path | None, home_path: str | None) -> None:
    """Copy a thread's raw files into a folder. Nothing in them is redacted."""
    from codex_loop_assets.distill.bundle import BundleError, write_bundle

    home = Home.resolve(home_path)
    if home.exists and thread_hash(session_id) in forgotten_hashes(home):
        raise Problem(f"session {session_id} was forgotten; its files are not taken up again")
    try:
        written = write_bundle(session_id, _codex_homes(home, codex_home), output, clock.now())
    except BundleError as error:
        raise Problem(str(error)) from error
    click.echo(
        json.dumps({"thread_id": session_id, "bundle": str(output), "sub_agents": sorted(set(written) - {session_id})})
    )


@trace.command()
@_bundle
@_output
@click.option(
    "--split-compaction", is_flag=True, help="A file per stretch between context compactions, linked in order."
)
@click.option("--schema-version", default="v1.4", show_default=True, type=click.Choice(["v1.4", "v1.7"]),
              help="v1.4 refers to sub-agents' files, v1.7 embeds sub-agents.")  # fmt: skip
def atif(bundle: Path, output: Path, split_compaction: bool, schema_version: str) -> None:
    """Write the thread as ATIF trajectories, redacted."""
    from codex_loop_assets.distill.bundle import BundleError, read_bundle
    from codex_loop_assets.measure.atif import NothingToExport, trajectories

    require_empty(output)
    try:
        found = read_bundle(bundle)
        files = trajectories(
            found.thread_id, found.canon, schema_version=f"ATIF-{schema_version}", split_compaction=split_compaction
        )
    except (BundleError, NothingToExport) as error:
        raise Problem(str(error)) from error
    output.mkdir(parents=True, exist_ok=True)
    for name, document in files.items():
        write_text(output / name, json.dumps(document, indent=2) + "\n")
    steps = sum(len(document["steps"]) for document in files.values())
    click.echo(
        json.dumps({"thread_id": found.thread_id, "steps": steps, "files": [str(output / name) for name in files]})
    )


def require_empty(output: Path) -> None:
    """Raise Problem unless `output` is an empty folder or not there yet: nothing of a person's is overwritten."""
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise Problem(f"{output} is not an empty folder; name one that is empty or not there yet")


def _codex_homes(home: Home, codex_home: Path | None) -> list[CodexHome]:
    if codex_home:
        return [CodexHome("codex", codex_home)]
    registered = home.codex_homes() if home.exists else []
    return registered or [CodexHome("codex", Path(os.environ.get("CODEX_HOME") or Path.home() / ".codex"))]
