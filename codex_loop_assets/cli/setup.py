"""`init` and `ui`: make a home, open the Dagster UI on it."""

from __future__ import annotations

import os
import sys
from importlib import resources
from pathlib import Path

import click

from codex_loop_assets.cli.console import open_console
from codex_loop_assets.cli.options import Problem, home_options
from codex_loop_assets.resources.homes import Home


@click.command()
@click.option("--codex-home", multiple=True, type=click.Path(), help="Codex home to read (repeatable); remembered.")
@click.option(
    "--repository", multiple=True, metavar="NAME=PATH", help="Where a repository that sessions name lies here."
)
@home_options(create=True)
def init(home: Home, codex_home: tuple[str, ...], repository: tuple[str, ...]) -> None:
    """Create the codex-loop home, its catalogue and its Dagster instance. Safe to run again."""
    home.initialise()
    for path in codex_home:
        home.register(path)
    for entry in repository:
        name, separator, path = entry.partition("=")
        if not separator or not Path(path).expanduser().exists():
            raise Problem(f"--repository {entry}: write NAME=PATH with a PATH that exists (a clone or a bundle)")
        home.register_repository(name, Path(path))
    console = open_console()
    console.print(f"home       {home.root}", soft_wrap=True)
    console.print(f"catalogue  {home.catalogue}", soft_wrap=True)
    for codex in home.codex_homes():
        console.print(f"codex home {codex.name}: {codex.path}", soft_wrap=True)
    if not home.codex_homes():
        console.print("No Codex home is registered yet: codex-loop ingest --codex-home ~/.codex")


@click.command()
@click.option("--port", default=3000, show_default=True, help="Port of the web server on localhost.")
@home_options(create=True)
def ui(home: Home, port: int) -> None:
    """Open the Dagster UI and its daemon on this home (schedules and sensors run while it is open)."""
    from codex_loop_assets.resources.instances import open_instance

    with (
        open_instance()
    ):  # The web server and the daemon start at once, and neither may find Dagster's tables half made.
        pass
    environment = {**os.environ, "DAGSTER_HOME": str(home.dagster_home)}
    workspace = Path(str(resources.files("codex_loop_assets"))).parent / "workspace.yaml"
    target = ["-w", str(workspace)] if workspace.is_file() else ["-m", "codex_loop_assets.definitions"]
    dagster = Path(sys.executable).with_name("dagster")
    click.echo(f"http://localhost:{port} (stop with Ctrl-C)")
    os.execve(dagster, [str(dagster), "dev", *target, "-h", "127.0.0.1", "-p", str(port)], environment)
