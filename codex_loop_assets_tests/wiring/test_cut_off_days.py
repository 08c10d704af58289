"""The law of a whole day's work: wherever it is cut off, the lake can be read, and the next daily ends where an undisturbed one
does.

Each write point of a day (some 500) is a day of work or two, so a sample of them is struck here, and all of them by the test
marked `slow` (`make bench`). What every write of the lake has in common is struck for every table at each of its phases.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import shutil

import polars as pl
import pytest
from rich.console import Console

from codex_loop_assets import clock, stages
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


def test_every_table_of_a_day_survives_a_cut_at_each_phase_of_its_write(day_of_work):
    """Every table that a day's work writes, with what it wrote there, at every write point of replacing the partition: a cut
    before it, a cut that leaves half of the file at stake, and a disk that refuses it."""
    home = day_of_work
    work(home)
    lake, struck = home.lake, set()
    for table in [name for name in TABLES if lake.keys(name)]:
        key = max(lake.keys(table), key=lambda key: lake.path(table, key).stat().st_size)
        folder, frame, inputs = lake.path(table, key).parent, lake.read(table, key), lake.made_from(table, key)

        def act(table=table, key=key, frame=frame, inputs=inputs) -> None:
            if table == "events":  # The largest table is written in parts.
                lake.write_parts(table, key, (frame.slice(at, 5) for at in range(0, frame.height, 5)), inputs)
            else:
                lake.write(table, key, frame, inputs)

        points = faults.count(folder, act)
        undisturbed = {path.name: path.read_bytes() for path in folder.iterdir()}
        for number, (kind, _) in enumerate(points, start=1):
            for torn in (False, True) if kind in ("os.rename", "os.fsync") else (False,):
                assert faults.die_at(folder, number, act, torn=torn)
                assert_old_or_new(lake, table, key, frame)
                act()
                assert {path.name: path.read_bytes() for path in folder.iterdir()} == undisturbed, (
                    table,
                    points,
                    number,
                )
            faults.fail_at(folder, number, act)
            assert_old_or_new(lake, table, key, frame)
            act()
            assert {path.name: path.read_bytes() for path in folder.iterdir()} == undisturbed, (table, points, number)
            struck.add((table, kind))
    assert {table for table, _ in struck} >= {*stages.DAILY, "tickets", "harbor_datasets", "cluster_registry"} - {
        *stages.EMBEDDINGS
    }
    assert {kind for _, kind in struck} >= {"write_parquet", "os.fsync", "os.rename", "os.remove"}


def assert_old_or_new(lake, table: str, key: str | None, frame: pl.DataFrame) -> None:
    assert lake.read(table, key).equals(frame)
    manifest = lake.made_from(table, key)
    assert not manifest or lake.digest(table, key) == hashlib.sha256(lake.path(table, key).read_bytes()).hexdigest()


@pytest.mark.slow
def test_a_day_of_work_cut_off_at_any_of_its_write_points_is_completed_by_the_next_daily(day_of_work, tmp_path):
    """All of them: an hour. Part `CODEX_LOOP_CUT_PART` (`2/8`: the second of eight) where given."""
    part, _, of = os.environ.get("CODEX_LOOP_CUT_PART", "1/1").partition("/")
    cut_off(day_of_work, tmp_path / "saved", lambda points: range(int(part), points + 1, int(of)))


def test_a_day_of_work_cut_off_at_a_sample_of_its_write_points_is_completed_by_the_next_daily(day_of_work, tmp_path):
    cut_off(day_of_work, tmp_path / "saved", lambda points: [int(points * share) for share in SAMPLE])


def cut_off(home, saved, choose) -> None:
    shutil.copytree(home.root, saved)
    points = faults.count(home.root, lambda: work(home))
    undisturbed = state(home)
    assert home.lake.read("tickets").height and home.lake.read("harbor_datasets").height
    for number in choose(len(points)):
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
