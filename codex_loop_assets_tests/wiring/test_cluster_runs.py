"""Laws of running discovery: a backfill in one run equals a run for each day, and two processes at once lose nothing and
double nothing."""

import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from codex_loop_assets import stages
from codex_loop_assets.assets.clusters import advanced
from codex_loop_assets.cli.runs import materialise
from codex_loop_assets.discovery.embed import open_embedder, space_of
from codex_loop_assets.resources.homes import VARIABLE, Home
from codex_loop_assets.resources.vectors import SIGNALS, VectorStore
from codex_loop_assets.tables import TABLES

DISCOVERY = ["signal_embeddings", *stages.CLUSTERS, *stages.PROPOSALS]
DAYS = [(date(2026, 2, 15) + timedelta(days=number)).isoformat() for number in range(21)]
TROUBLES = (
    "no, pnpm install with a frozen lockfile fails, the lockfile lags behind the manifest for {name}",
    "the sandbox has no network, so the download of {name} cannot resolve its host",
    "you left the dev server of {name} running in the background, stop the server that you started",
)
NAMES = ("router", "ledger", "shop", "slugs", "themes", "wheels", "hosts")

RUN = """
import sys
from pathlib import Path
from codex_loop_assets.cli.runs import materialise
from codex_loop_assets.resources.homes import Home
from codex_loop_assets_tests.wiring.test_cluster_runs import DISCOVERY
materialise(Home(Path(sys.argv[1])), DISCOVERY, days=sys.argv[2:])
"""


def signal(day: str, place: int, trouble: str) -> dict:
    number = DAYS.index(day) * 10 + place
    return {
        "signal_id": f"sig_{number:016d}",
        "thread_id": f"019c0000-0000-7000-8000-{number:012d}",
        "run": 0,
        "seq_start": 1,
        "seq_end": 1,
        "occurred_at": datetime.fromisoformat(day).replace(tzinfo=UTC),
        "type": "friction",
        "category": "novel",
        "severity": 2,
        "confidence": 0.9,
        "detector": "local_judge",
        "detector_version": "1",
        "schema_version": "1",
        "description": trouble.format(name=NAMES[number % len(NAMES)]),
        "evidence": "[]",
        "detectors": ["local_judge"],
    }


def with_signals(home: Home) -> Home:
    """The home with a signal or two of each trouble on each day; the third begins late."""
    for index, day in enumerate(DAYS):
        troubles = [*TROUBLES[:2], *TROUBLES[:2], *TROUBLES[2 if index > 9 else 3 :]]
        rows = [signal(day, place, trouble) for place, trouble in enumerate(troubles)]
        home.lake.write("signals", day, TABLES["signals"].frame(rows))
    return home


@pytest.fixture
def home(tmp_path, monkeypatch) -> Home:
    return fresh(tmp_path / "home", monkeypatch)


def fresh(root: Path, monkeypatch) -> Home:
    made = Home(root)
    made.initialise()
    monkeypatch.setenv(VARIABLE, str(root))
    monkeypatch.setenv("DAGSTER_HOME", str(made.dagster_home))
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    return with_signals(made)


def digests(home: Home) -> dict:
    return {(table, day): home.lake.digest(table, day) for table in stages.CLUSTERS for day in DAYS}


def by_itself(home: Home, day: str) -> None:
    """A day's clusters from what the record holds, as a run of that day alone makes them, without the price of a run."""
    state = advanced(home, day, space_of(open_embedder(home.section("discovery")["embedding"])))
    for table, frame in zip(stages.CLUSTERS, (state.clusters, state.members, state.events), strict=True):
        home.lake.write(table, day, frame)


def test_a_backfill_of_21_days_in_one_run_equals_21_days_one_by_one(home, tmp_path, monkeypatch):
    materialise(home, ["signal_embeddings"], days=DAYS)
    for day in DAYS:
        by_itself(home, day)
    assert home.lake.read("clusters", DAYS[-1]).filter(pl.col("status") == "live").height >= 3
    other = fresh(tmp_path / "other", monkeypatch)
    materialise(other, ["signal_embeddings", *stages.CLUSTERS], days=DAYS)
    assert digests(other) == digests(home)


def test_two_processes_embedding_and_clustering_at_once_double_nothing_and_lose_nothing(home):
    parts = (DAYS[::2], DAYS[1::2])
    runs = [subprocess.Popen([sys.executable, "-c", RUN, str(home.root), *part]) for part in parts]
    assert [run.wait(600) for run in runs] == [0, 0]
    wanted = sorted(home.lake.read("signals")["signal_id"])
    assert home.lake.read("cluster_members", DAYS[-1])["signal_id"].sort().to_list() == wanted
    store = VectorStore(home.vectors_path)
    (space,) = store.spaces(SIGNALS)
    assert sum(store.days(SIGNALS, space).values()) == len(store.vectors(SIGNALS, space)) == len(wanted)
