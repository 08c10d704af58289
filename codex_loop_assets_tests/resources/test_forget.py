"""Laws of forgetting: no byte of the home says what the thread said, every other thread stays, and it is not read again."""

import json
from datetime import date

import dagster as dg
import pytest
from click.testing import CliRunner

from codex_loop_assets import stages
from codex_loop_assets.cli import main
from codex_loop_assets.cli.refresh import refresh_clusters
from codex_loop_assets.cli.runs import materialise
from codex_loop_assets.resources import forget_plan, retention
from codex_loop_assets.resources.forget import forget_threads
from codex_loop_assets.resources.jobs import gathered_folder, jobs_folder
from codex_loop_assets.resources.sources import scan
from codex_loop_assets.tables import TABLES
from codex_loop_assets.traces.day import build_day
from codex_loop_assets.traces.discover import discover
from codex_loop_assets_tests.canary import occurrences, spine_session, words
from codex_loop_assets_tests.cli.conftest import planted  # noqa: F401
from codex_loop_assets_tests.loop import world
from codex_loop_assets_tests.traces.building import Spine
from codex_loop_assets_tests.traces.test_rollouts import CONVERSATION, saved

CANARY = "zanzibarquokka"
THREAD = "019c0000-0000-7000-8000-000000000777"
OTHERS = [f"019c0000-0000-7000-8000-00000000080{n}" for n in range(6)]
DAYS = ["2026-03-01", "2026-03-02", "2026-03-03"]


def daily(home) -> None:
    materialise(home, [*stages.INGEST, *stages.CANON, *stages.SIGNALS, *stages.DISCOVERY], days=DAYS)
    materialise(home, stages.REGISTRY)
    refresh_clusters(home)
    materialise(home, stages.SUMMARIES)
    materialise(home, stages.REPORT, days=DAYS)
    materialise(home, stages.SITE)
    home.refresh_catalogue()


@pytest.fixture
def full_home(home, codex_home, monkeypatch):
    """A home with seven alike sessions, one of which holds the canary in every field, through the whole daily work."""
    monkeypatch.setenv("CODEX_LOOP_HARBOR", str(home.root / "no-harbor"))
    spine_session(codex_home, THREAD, words(CANARY), "2026-03-01")
    for number, thread in enumerate(OTHERS):
        spine_session(codex_home, thread, words("common"), DAYS[number % 3])
    daily(home)
    return home


def plant_beside(home) -> None:
    """The word where the daily work of this home does not put it: answers of a model, a failed run, a killed writer's file."""
    for place in ("cache/cluster_labels/a.json", "cache/ticket_advice/b.json"):
        (home.root / place).parent.mkdir(parents=True, exist_ok=True)
        (home.root / place).write_text(f'{{"label": "{CANARY}"}}')
    (home.lake.path("turns", DAYS[0]).parent / ".part-0.parquet.99999999.tmp").write_text(CANARY)

    @dg.op
    def fails():
        raise ValueError(f"cannot read {CANARY}")

    @dg.job
    def failing():
        fails()

    with dg.DagsterInstance.get() as instance:
        failing.execute_in_process(instance=instance, raise_on_error=False)


def test_a_forgotten_thread_leaves_no_word_anywhere_and_is_not_read_again(full_home):
    home = full_home
    assert len(occurrences(home.root / "lake", CANARY)) > 8
    assert home.lake.read("cluster_registry").height and home.lake.read("tickets").height
    # What Dagster keeps is out of reach of most ways to forget, so nothing of a session may get there.
    assert occurrences(home.dagster_home, CANARY) == {} and occurrences(home.dagster_home, "common") == {}
    plant_beside(home)
    assert occurrences(home.dagster_home, CANARY)
    messages = set(home.lake.read("turns")["user_message"])
    forget_threads(home, [THREAD])
    assert occurrences(home.root, CANARY) == {} and occurrences(home.root, THREAD) == {}
    assert all((home.root / path).is_file() for path in home.lake.read("daily_report")["path"])
    assert scan(home).changed == []
    daily(home)
    assert occurrences(home.root, CANARY) == {} and occurrences(home.root, THREAD) == {}
    assert set(home.lake.read("turns")["user_message"]) == {text for text in messages if CANARY not in text}


def test_trials_of_a_forgotten_threads_task_go_and_the_others_stay(planted):  # noqa: F811
    home, cluster = planted, world.CLUSTER
    doomed = home.lake.read("harbor_datasets", cluster).drop_nulls("task_name").row(0, named=True)
    names = ("other/task", doomed["task_name"])
    common = {"cluster_id": cluster, "dataset": cluster, "agent": "codex", "arm": "a", "attempt": 0, "job_dir": "job"}
    home.lake.write(
        "eval_runs",
        cluster,
        TABLES["eval_runs"].frame([{"eval_id": task, "task": task, "trial": task, **common} for task in names]),
    )
    copied = gathered_folder(home) / cluster / "task" / "instruction.md"
    copied.parent.mkdir(parents=True)
    copied.write_text("what the thread asked for")
    for task in names:
        trial = jobs_folder(home, cluster) / "job" / task.replace("/", "_")
        trial.mkdir(parents=True)
        (trial / "result.json").write_text(json.dumps({"trial_name": task, "task_name": task}))
    forget_threads(home, [doomed["thread_id"]])
    assert not copied.exists()
    assert [path.parent.name for path in jobs_folder(home, cluster).rglob("result.json")] == ["other_task"]
    assert home.lake.read("eval_runs", cluster)["task"].to_list() == ["other/task"]


def test_a_forgotten_thread_may_be_named_again_and_an_unknown_one_is_a_message(planted):  # noqa: F811
    """A kill may have left rows of a thread that no ledger lists any more."""
    left = planted.lake.read("turns", "2026-03-01").filter(thread_id=world.thread(1))
    for rows in (0, 1):
        named = CliRunner().invoke(main, ["forget", world.thread(1), "--yes", "--home", str(planted.root)])
        assert named.exit_code == 0, named.output
        assert planted.lake.read("turns").filter(thread_id=world.thread(1)).height == 0
        assert rows == 0 or "turns: 1" in named.output
        planted.lake.write("turns", "2026-03-01", left)
    unknown = CliRunner().invoke(main, ["forget", "nobody", "--yes", "--home", str(planted.root)])
    assert unknown.exit_code == 1 and "no thread 'nobody'" in unknown.output


def test_what_a_run_beside_a_forget_writes_back_goes_with_the_next_retention(planted):  # noqa: F811
    """A run may have read a day before its thread was forgotten, and write it afterwards."""
    day, thread_id = "2026-03-01", world.thread(1)
    read = {table: planted.lake.read(table, day) for table in ("spines", "turns")}
    forget_threads(planted, [thread_id])
    for table, frame in read.items():
        planted.lake.write(table, day, frame)
    assert retention.apply(planted).threads == 1
    assert all(thread_id not in set(planted.lake.read(table)["thread_id"]) for table in read)
    assert retention.apply(planted).threads == 0


def test_all_saves_of_a_session_are_forgotten_with_any_of_them(home):
    """The first Codex gave each save an id of its own; the others would count once one is gone."""
    codex, day = home.codex_homes()[0].path, "2025-04-20"
    ids = [saved(codex, number, CONVERSATION[:length]).stem[-36:] for number, length in enumerate((2, 4, 3), start=1)]
    refs = [ref for ref in discover(home.codex_homes()) if ref.thread_id in ids]
    home.lake.write("spines", day, build_day(date.fromisoformat(day), refs).spines)
    for named in ids:
        assert forget_plan.begin(home, {named}).threads == set(ids)
        forget_plan.end(home)


def test_sub_agents_are_forgotten_with_the_thread_that_started_them(home):
    child = "019c0000-0000-7000-8000-00000000c41d"
    spine = Spine(child).meta(source={"subagent": {"thread_spawn": {"parent_thread_id": thread(2), "depth": 1}}})
    spine.prompt("0", CANARY).done("0").write(home.codex_homes()[0].path)
    materialise(home, [*stages.INGEST, *stages.CANON], days=scan(home).changed)
    assert home.lake.read("sessions").filter(thread_id=child)["parent_thread_id"].item() == thread(2)
    forget_threads(home, [thread(2)])
    assert set(home.lake.read("spines")["thread_id"]) == {thread(1), thread(3)}


def test_without_a_retention_nothing_is_old(home):
    materialise(home, [*stages.INGEST, *stages.CANON], days=scan(home).changed)
    assert retention.apply(home) == retention.Retained(None, 0, {})
    result = CliRunner().invoke(main, ["forget", "--retention", "--yes", "--home", str(home.root)])
    assert result.exit_code == 1 and "no retention is set" in result.output


@pytest.mark.parametrize(("days", "left"), [(9, {1, 2, 3}), (8, {3}), (6, set())])
def test_the_retention_forgets_what_started_longer_ago_and_says_how_many(home, days, left):
    materialise(home, [*stages.INGEST, *stages.CANON], days=scan(home).changed)
    home.config_path.write_text(home.config_path.read_text() + f"\n[retention]\ndays_kept = {days}\n")
    materialise(home, stages.RETENTION)
    assert set(home.lake.read("spines")["thread_id"]) == {thread(number) for number in left}
    assert scan(home).changed == []
    with dg.DagsterInstance.get() as instance:
        event = instance.get_latest_materialization_event(dg.AssetKey("retention"))
    assert event.asset_materialization.metadata["threads_forgotten"].value == 3 - len(left)
    result = CliRunner().invoke(main, ["forget", "--retention", "--yes", "--home", str(home.root)])
    assert result.exit_code == 0 and "nothing is that old" in result.output


def thread(number: int) -> str:
    return f"019c0000-0000-7000-8000-{number:012d}"


@pytest.mark.parametrize("value", ['"90"', "-1", "1.5", "true"])
def test_a_retention_that_is_no_number_of_days_is_a_message(home, value):
    home.config_path.write_text(home.config_path.read_text() + f"\n[retention]\ndays_kept = {value}\n")
    result = CliRunner().invoke(main, ["forget", "--retention", "--yes", "--home", str(home.root)])
    assert result.exit_code == 1 and "days_kept" in result.output
