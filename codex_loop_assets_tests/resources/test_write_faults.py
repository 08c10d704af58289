"""Laws of every write point: whichever step is the last that a process takes, or that the disk refuses, the home can be
read, no partition and no log is torn, and doing the same again ends where an undisturbed run ends."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

import duckdb
import polars as pl
import pytest

from codex_loop_assets import clock
from codex_loop_assets.discovery import governance
from codex_loop_assets.loop import append_log, life, ticket_log
from codex_loop_assets.loop.sinks.delivery import Outgoing
from codex_loop_assets.resources import outbox, proposals, retention, reviews
from codex_loop_assets.resources.files import replace_folder
from codex_loop_assets.resources.forget import forget_threads
from codex_loop_assets.resources.forgotten import forgotten_hashes
from codex_loop_assets.resources.homes import Home
from codex_loop_assets.resources.lake import SENTINEL, Lake
from codex_loop_assets.resources.vectors import SIGNALS, VectorStore
from codex_loop_assets.tables import TABLES
from codex_loop_assets_tests import faults
from codex_loop_assets_tests.cli.conftest import planted  # noqa: F401
from codex_loop_assets_tests.loop import world

DAY, TODAY = "2026-03-01", "2026-03-14"
URL = "https://hooks.example.org/services/one"


def numbers(sessions: int) -> pl.DataFrame:
    row = dict.fromkeys(("human_sessions", "friction", "delight", "live_clusters", "open_proposals"), 0)
    row |= {"dt": date.fromisoformat(DAY), "sessions": sessions, "cost_usd": 0.0, "path": f"reports/{DAY}.html"}
    return TABLES["daily_report"].frame([row])


def replace_partition(home: Home) -> None:
    home.lake.write("daily_report", DAY, numbers(2), {"n": "2"})


def new_partition(home: Home) -> None:
    home.lake.write("daily_report", "2026-03-02", numbers(2).with_columns(dt=date(2026, 3, 2)), {"n": "2"})


def new_catalogue(home: Home) -> None:
    home.refresh_catalogue()


def new_home(home: Home) -> None:
    Home(home.root / "another").initialise()


def register(home: Home) -> None:
    (home.root.parent / "codex").mkdir(exist_ok=True)
    home.register(home.root.parent / "codex", name="laptop")
    home.remember("vectors", str(home.root / "vectors"))


def review(home: Home) -> None:
    ticket = home.lake.read("tickets")["ticket_id"].item()
    with contextlib.suppress(KeyError):  # An ignored ticket is no question any more.
        reviews.record(home, reviews.find(home, ticket), "reject", "ada", "planned for May")


def decide(home: Home) -> None:
    with contextlib.suppress(governance.DecisionError):  # It was decided just before the process died.
        proposals.decide(home, "proposal_1", approve=True, who="ada", reason="")


def deliver(home: Home) -> None:
    told = [Outgoing(f"ticket_{n}", "title", "body", "new", "high", (), "why") for n in range(2)]
    outbox.remember(home, URL, outbox.news(told, outbox.told(home, URL)))


def publish(home: Home) -> None:
    replace_folder(home.root / "reports" / "site", {"index.html": "new", "days/one.html": "page"})


def forget(home: Home) -> None:
    forget_threads(home, [world.thread(1), world.thread(2)])


def retain(home: Home) -> None:
    """What the day's work does, which is told no thread: it must find by itself what an earlier run left."""
    retention.apply(home)


@dataclass(frozen=True)
class Scenario:
    """`stride`: every how manieth point is tried (1: each), where a run takes long."""

    act: Callable[[Home], None]
    stride: int = 1


SCENARIOS = {
    act.__name__: Scenario(act, stride)
    for act, stride in (
        (replace_partition, 1), (new_partition, 1), (new_catalogue, 1), (new_home, 45), (register, 1), (review, 1), (decide, 1),
        (deliver, 1), (publish, 1), (forget, 37), (retain, 23),
    )
}  # fmt: skip


def prepare(home: Home) -> None:
    """State before each scenario: an old partition, an old log, old pages, vectors, some of all that forgetting reaches."""
    home.lake.write("daily_report", DAY, numbers(1), {"n": "1"})
    home.config_path.write_text(home.config_path.read_text() + "\n[retention]\ndays_kept = 12\n")
    for day in home.lake.keys("signals"):
        home.lake.write("detections", day, home.lake.read("signals", day).drop("detectors"))
    deliver_first = [Outgoing("ticket_0", "title", "body", "new", "low", (), "why")]
    outbox.remember(home, URL, deliver_first)
    replace_folder(home.root / "reports" / "site", {"index.html": "old", "days/gone.html": "page"})
    VectorStore(home.vectors_path).replace_vectors(
        SIGNALS, date.fromisoformat(DAY), "hashes/2", {world.thread(1): [0.1, 0.2], "kept": [0.3, 0.4]}, {}
    )


def state(home: Home) -> dict[str, object]:
    """What a person or a later run can find: files by content, tables and vectors by rows."""
    whole: dict[str, object] = {}
    for path in sorted(home.root.rglob("*")):
        name = path.relative_to(home.root).as_posix()
        hidden = (
            path.suffix in (".lock", ".duckdb", ".tmp")
            or any(f"={key}" in name for key in SENTINEL.values())
            or any(part in ("dagster", "vectors", "locks") for part in path.parts)
        )
        if path.is_file() and not hidden and b'"inputs": {}' not in (content := path.read_bytes()):
            # A partition made from nothing known and one without a manifest are both made again by the next run.
            whole[name] = content
    if forgotten_hashes(home):
        whole["vectors"] = sorted(VectorStore(home.vectors_path).vectors(SIGNALS, "hashes/2"))
    return whole


def assert_readable(home: Home) -> None:
    for table in TABLES:
        frame = home.lake.read(table)
        assert frame.schema == TABLES[table].schema
    with duckdb.connect(str(home.catalogue), read_only=True) as connection:
        for table in TABLES:
            connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    # None is left once the day's sessions are forgotten.
    assert home.lake.read("daily_report", DAY)["sessions"].item() in ((0, 1, 2) if forgotten_hashes(home) else (1, 2))
    sessions = str(home.lake.read("daily_report", DAY)["sessions"].item())
    assert home.lake.made_from("daily_report", DAY).get("n") in (None, sessions)
    governance.read_decisions(home.decisions_path)
    life.fold(ticket_log.read(home.root / "tickets" / "log.jsonl"))
    reviews.verdicts(home)
    outbox.told(home, URL)
    forgotten_hashes(home)
    assert home.overrides() is not None
    page = home.root / "reports" / "site" / "index.html"
    assert page.read_text() in ("old", "new") if page.exists() else forgotten_hashes(home)


class World:
    """A prepared home that can be put back as it was."""

    def __init__(self, home: Home):
        self.home, self.saved = home, home.root.parent / "saved"
        prepare(home)
        shutil.copytree(home.root, self.saved)
        shutil.rmtree(home.root / "lake")
        self.again()

    def again(self) -> None:
        """The lake's files, which nobody changes in place, are linked, and only where they changed; the rest is copied."""
        for path in self.home.root.iterdir():
            if path.name != "lake":
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        shutil.copytree(self.saved, self.home.root, ignore=shutil.ignore_patterns("lake"), dirs_exist_ok=True)
        saved = {path.relative_to(self.saved): path for path in (self.saved / "lake").rglob("*") if path.is_file()}
        for path in (self.home.root / "lake").rglob("*"):
            relative = path.relative_to(self.home.root)
            if relative in saved and path.samefile(saved[relative]):
                del saved[relative]
            elif path.is_file():
                path.unlink()
        for relative, path in saved.items():
            (self.home.root / relative).parent.mkdir(parents=True, exist_ok=True)
            os.link(path, self.home.root / relative)


@pytest.fixture
def planted_world(planted, monkeypatch):  # noqa: F811
    monkeypatch.setenv(clock.VARIABLE, TODAY)
    monkeypatch.delenv("DAGSTER_HOME")
    return World(planted)


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_process_may_die_and_a_disk_may_fail_at_any_write_point(planted_world, name):
    scenario, home = SCENARIOS[name], planted_world.home
    points = faults.count(home.root, lambda: scenario.act(home))
    undisturbed = state(home)
    assert points
    for number in range(1, len(points) + 1, scenario.stride):
        half = ("dies with half a file",) if points[number - 1][0] in ("os.rename", "os.fsync") else ()
        for blow in ("dies", *half, "disk is full"):
            place = f"{name}: {blow} at {number} of {len(points)}, {points[number - 1]}"
            planted_world.again()
            if blow == "disk is full":
                faults.fail_at(home.root, number, lambda: scenario.act(home))
            else:
                assert faults.die_at(home.root, number, lambda: scenario.act(home), torn=blow in half), place
            assert_readable(home)
            scenario.act(home)
            assert state(home) == undisturbed, place


WRITES = """
import sys
from pathlib import Path
from codex_loop_assets.loop import append_log
from codex_loop_assets.resources.lake import Lake
from codex_loop_assets_tests import faults
from codex_loop_assets_tests.resources.test_lake import report
root = Path(sys.argv[1])

def act():
    Lake(root / "lake", root / "locks").write("daily_report", "2026-03-01", report("2026-03-01", 2), {"n": "2"})
    append_log.append(root / "log.jsonl", [{"id": "b"}], "id")
"""
EXIT = "faults.exit_at(root, int(sys.argv[2]), act)\n"


def test_a_process_that_really_ends_at_a_write_point_holds_no_lock_and_leaves_nothing_torn(tmp_path):
    """The steps are counted first, then a process of its own ends at each of them."""
    root, space = tmp_path / "home", {}
    exec(WRITES.replace("sys.argv[1]", repr(str(root))), space)
    lake = Lake(root / "lake", root / "locks")

    def prepare_again() -> None:
        shutil.rmtree(root, ignore_errors=True)
        lake.write("daily_report", DAY, numbers(1), {"n": "1"})
        append_log.append(root / "log.jsonl", [{"id": "a"}], "id")

    prepare_again()
    points = faults.count(root, space["act"])
    undisturbed = {path: path.read_bytes() for path in root.rglob("*") if path.suffix != ".lock" and path.is_file()}
    for number in range(1, len(points) + 1):
        prepare_again()
        ended = subprocess.run([sys.executable, "-c", WRITES + EXIT, str(root), str(number)], check=False)
        assert ended.returncode == 9, points[number - 1]
        assert lake.read("daily_report")["sessions"].item() in (1, 2)
        assert lake.made_from("daily_report", DAY).get("n") in (None, str(lake.read("daily_report")["sessions"].item()))
        assert append_log.read(root / "log.jsonl") in ([{"id": "a"}], [{"id": "a"}, {"id": "b"}])
        space["act"]()
        after = {path: path.read_bytes() for path in root.rglob("*") if path.suffix != ".lock" and path.is_file()}
        assert after == undisturbed, points[number - 1]
