"""The law of a whole day's work: wherever it is cut off, the lake can be read, and the next daily ends where an undisturbed one
does. A sample of the write points; each of them is a day of work or two."""

from __future__ import annotations

import contextlib
import io
import shutil

import pytest
from rich.console import Console

from codex_loop_assets import clock
from codex_loop_assets.cli.options import Problem
from codex_loop_assets.cli.pipeline import finish, run_stages
from codex_loop_assets.tables import TABLES
from codex_loop_assets_tests import faults
from codex_loop_assets_tests.canary import spine_session, words

SAMPLE = (0.35, 0.8)
"""Where the work is cut off, as shares of its write points."""


@pytest.fixture
def day_of_work(home, tmp_path, monkeypatch):
    """A home with one day of three sessions that end in patterns, tasks and tickets, before any work."""
    codex = tmp_path / "cut"
    for number in range(3):
        spine_session(codex, f"019c0000-0000-7000-8000-00000000080{number}", words("common"), "2026-03-03")
    monkeypatch.setenv("CODEX_LOOP_HARBOR", str(tmp_path / "no-harbor"))
    monkeypatch.setenv(clock.VARIABLE, "2026-03-04T00:00:00+00:00")
    for known in home.codex_homes():
        shutil.rmtree(known.path)
        known.path.mkdir()
    home.register(codex, name="cut")
    return home


def work(home) -> None:
    console = Console(file=io.StringIO(), width=120)
    run_stages(home, console)
    finish(home, console)


def state(home) -> dict[str, bytes]:
    """Every file that a person or a later run reads. The catalogue holds views only; vectors and Dagster's databases are not
    the same twice, byte by byte."""
    apart = ("dagster", "vectors", "locks")
    return {
        path.relative_to(home.root).as_posix(): path.read_bytes()
        for path in sorted(home.root.rglob("*"))
        if path.is_file()
        and path.suffix not in (".lock", ".duckdb")
        and path.relative_to(home.root).parts[0] not in apart
    }


def test_a_day_of_work_cut_off_anywhere_is_completed_by_the_next_daily(day_of_work, tmp_path):
    home, saved = day_of_work, tmp_path / "saved"
    shutil.copytree(home.root, saved)
    points = faults.count(home.root, lambda: work(home))
    undisturbed = state(home)
    assert home.lake.read("tickets").height and home.lake.read("harbor_datasets").height
    for share in SAMPLE:
        number = int(len(points) * share)
        shutil.rmtree(home.root)
        shutil.copytree(saved, home.root)
        with contextlib.suppress(Problem):  # Dagster takes note of whatever ends a step, even of that.
            faults.die_at(
                home.root, number, lambda: work(home), torn=points[number - 1][0] in ("os.rename", "os.fsync")
            )
        for table in TABLES:
            home.lake.read(table)
        work(home)
        after = state(home)
        different = sorted(
            name for name in after.keys() | undisturbed.keys() if after.get(name) != undisturbed.get(name)
        )
        assert different == [], f"cut off at {number} of {len(points)}, {points[number - 1]}"
