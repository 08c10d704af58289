"""Options that every command shares, and the home they name."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import click

from codex_loop_assets import clock
from codex_loop_assets.resources.homes import VARIABLE, Home, HomeError
from codex_loop_assets.settings import SettingsError


class Problem(click.ClickException):
    """What went wrong, where, and what to do; shown without a traceback."""


def home_options(*, create: bool = False) -> Callable:
    """Add --home, --db, --vectors, --as-of and --verbose; pass the command a ready `home`.

    `create`: make the home when it is missing (commands that a person runs first), instead of saying how to.
    """

    def decorate(function: Callable) -> Callable:
        @click.option(
            "--home", "home_path", type=click.Path(file_okay=False), help="codex-loop home (default: .codex_loop)."
        )
        @click.option(
            "--db", type=click.Path(dir_okay=False), help="Use PATH as the DuckDB catalogue and PATH.d as the home."
        )
        @click.option("--vectors", type=click.Path(), help="Where the vector store lies; remembered.")
        @click.option("--as-of", help="Pretend it is this date or time (UTC).")
        @click.option("--verbose", is_flag=True, help="Show each step of the runs.")
        @functools.wraps(function)
        def command(
            home_path: str | None, db: str | None, vectors: str | None, as_of: str | None, verbose: bool, **rest: Any
        ):
            set_clock(as_of)
            with plain_errors():
                home = open_home(home_path, db, create=create)
                if vectors:
                    home.remember("vectors", str(Path(vectors).expanduser().resolve()))
                os.environ["CODEX_LOOP_VERBOSE"] = "1" if verbose else ""
                return function(home=home, **rest)

        return command

    return decorate


def open_home(home_path: str | None, db: str | None, *, create: bool) -> Home:
    """The home that the options name, exported so that every run and process started from here uses the same one."""
    home = Home.resolve(home_path, db)
    if create:
        catalogue = Path(db) if db else None
        if not home.exists or (catalogue and home.catalogue != catalogue.expanduser().resolve()):
            home.initialise(catalogue)
    home.require()
    os.environ[VARIABLE] = str(home.root)
    os.environ["DAGSTER_HOME"] = str(home.dagster_home)
    return home


def set_clock(as_of: str | None) -> None:
    """Make `--as-of` the present for this process and the runs in it."""
    if as_of:
        try:
            os.environ[clock.VARIABLE] = clock.parse(as_of).isoformat()
        except ValueError as error:
            raise Problem(str(error)) from error


class plain_errors:
    """Context manager: errors that name their cause and remedy become a one-line message instead of a traceback."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, HomeError | SettingsError):
            raise Problem(str(error)) from error


def today() -> date:
    """The clock's date, UTC."""
    return clock.now().astimezone(UTC).date()


def parse_day(_: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Click callback: an ISO day, as text."""
    if value is None:
        return None
    try:
        return datetime.strptime(value, "%Y-%m-%d").date().isoformat()
    except ValueError:
        raise click.BadParameter(f"{value!r} is no day; write it as 2026-03-24", param=parameter) from None
