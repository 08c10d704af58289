"""`measure` on real jobs: a fix is seen, a change that does nothing is not, a job that was killed is finished, and Harbor is asked
for exactly what was meant."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest

from codex_loop_assets.loop import life, ticket_log
from codex_loop_assets.resources import ticket_history
from codex_loop_assets.resources.homes import Home
from codex_loop_assets.tables import CLUSTER_REGISTRY, CLUSTERS, HARBOR_DATASETS, TASK_VALIDATIONS
from codex_loop_assets_tests.distill.test_sets_and_funnel import DAY, cluster
from codex_loop_assets_tests.harbor.fixture_tasks import distilled
from codex_loop_assets_tests.harbor.test_resume import remove_containers
from codex_loop_assets_tests.loop import world

pytestmark = pytest.mark.harbor

CHECKOUT = Path(__file__).parents[2]
AGENT = "fixtures.recorded_jobs.agent:ScriptedAgent"
TASKS = 3


@pytest.fixture(scope="module")
def tasks(tmp_path_factory, real_harbor) -> tuple[Path, pl.DataFrame]:
    """(home, rows of `harbor_datasets`) of three tasks whose check is a command."""
    home = tmp_path_factory.mktemp("measure") / "distilled"
    rows = distilled(home).filter(pl.col("verifier_kind") == "command")
    return home, rows.sort("candidate_id").head(TASKS)


@pytest.fixture(scope="module")
def dataset(tasks) -> Path:
    """A folder with the three tasks."""
    home, rows = tasks
    for place in rows["task_dir"]:
        shutil.copytree(home / place, home.parent / "dataset" / Path(place).name)
    return home.parent / "dataset"


@pytest.fixture
def three_clusters(home, tasks) -> Home:
    """A home with a proven task in each set: of the target cluster, of a neighbour and of a delight cluster; with the target's
    ticket open."""
    distilled_home, rows = tasks
    shutil.copytree(distilled_home / "harbor", home.root / "harbor", dirs_exist_ok=True)
    kinds = {"fixtures": "friction", "clu_near": "friction", "clu_glad": "delight"}
    states = [cluster(name, kind) | {"embedding_model": "test/8"} for name, kind in kinds.items()]
    home.lake.write("clusters", DAY.isoformat(), CLUSTERS.frame(states))
    registry = [world.registry_row(DAY, 5) | {"cluster_id": name, "type": kind} for name, kind in kinds.items()]
    home.lake.write("cluster_registry", None, CLUSTER_REGISTRY.frame(registry))
    for row, name in zip(rows.to_dicts(), kinds, strict=True):
        home.lake.write("harbor_datasets", name, HARBOR_DATASETS.frame([row | {"cluster_id": name}]))
        proof = {key: row[key] for key in ("candidate_id", "digest", "core_digest")}
        proof |= {"cluster_id": name, "check": "verdict", "attempt": 0, "status": "validated", "reason": ""}
        home.lake.write("task_validations", name, TASK_VALIDATIONS.frame([proof]))
    opened = life.Event("tkt_1", "fixtures", DAY, "opened", "codex-loop", "", {"cluster_id": "fixtures"})
    ticket_log.append(ticket_history.path(home), [opened])
    return home


@pytest.fixture
def home(tmp_path) -> Home:
    made = Home(tmp_path / "home")
    made.initialise()
    return made


def command(home: Home, dataset: Path, *arguments: str) -> list[str]:
    main = "from codex_loop_assets.cli import main; main()"
    options = ["--dataset", str(dataset), "--home", str(home.root), "--allow-unvalidated", *arguments]
    return [sys.executable, "-c", main, "measure", *options]


def codex_loop(*arguments: str) -> subprocess.CompletedProcess:
    environment = os.environ | {"PYTHONPATH": str(CHECKOUT), "COLUMNS": "300"}
    main = "from codex_loop_assets.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", main, *arguments], capture_output=True, text=True, check=False, env=environment
    )


def run(home: Home, dataset: Path, *arguments: str) -> subprocess.CompletedProcess:
    environment = os.environ | {"PYTHONPATH": str(CHECKOUT), "COLUMNS": "300"}
    return subprocess.run(
        command(home, dataset, *arguments), capture_output=True, text=True, check=False, env=environment
    )


def scripted(home: Home, dataset: Path, arm: str, outcomes: list[list[str]], *more: str) -> subprocess.CompletedProcess:
    names = sorted(path.name for path in dataset.iterdir())
    script = home.root / f"{arm}.json"
    script.write_text(json.dumps({"turns": str(home.root / arm), "outcomes": dict(zip(names, outcomes, strict=True))}))
    return run(home, dataset, "--agent", AGENT, "--ak", f"script={script}", "-k", "2", "--arm", arm, *more)


def test_a_fix_improves_a_change_that_does_nothing_does_not_and_a_baseline_notices_what_got_worse(
    home, dataset, tmp_path
):
    never, once, always = ["fail", "fail"], ["fail", "solve"], ["solve", "solve"]
    assert scripted(home, dataset, "before", [never] * TASKS).returncode == 0
    no_op = scripted(home, dataset, "no-op", [never, never, once])
    assert no_op.returncode == 0 and "no-op against before, reward: no_change_shown" in no_op.stdout, no_op.stdout
    baseline = tmp_path / "baseline.json"
    fixed = scripted(home, dataset, "fixed", [always] * TASKS, "--save-baseline", str(baseline))
    assert fixed.returncode == 0 and "fixed against before, reward: improved" in fixed.stdout, (
        fixed.stdout + fixed.stderr
    )
    elsewhere = Home(tmp_path / "elsewhere")
    elsewhere.initialise()
    worse = scripted(elsewhere, dataset, "worse", [never] * TASKS, "--baseline", str(baseline))
    assert worse.returncode == 2 and "worse against fixed, reward: regressed" in worse.stdout, (
        worse.stdout + worse.stderr
    )


def test_a_measurement_killed_with_9_is_finished_by_the_same_command_and_counted_once(home, dataset):
    options = ("--agent", "oracle", "-k", "1")
    environment = os.environ | {"PYTHONPATH": str(CHECKOUT)}
    killed = subprocess.Popen(command(home, dataset, *options), start_new_session=True, env=environment)
    try:
        first = wait_for_a_trial(home, killed)
    finally:
        os.killpg(killed.pid, signal.SIGKILL)
        killed.wait()
    again = run(home, dataset, *options)
    for path in dataset.iterdir():
        remove_containers(path.name)
    assert again.returncode == 0, again.stderr
    (partition,) = home.lake.keys("eval_runs")
    rows = home.lake.read("eval_runs", partition)
    assert rows.height == TASKS and rows["job_dir"].n_unique() == 1
    assert first in rows["trial"].to_list()


def test_the_sets_are_run_with_the_target_and_a_ticket_is_verified_by_running_an_agent(three_clusters):
    (place,) = three_clusters.lake.read("harbor_datasets", "fixtures")["task_dir"]
    folder = three_clusters.root / "only"
    shutil.copytree(three_clusters.root / place, folder / Path(place).name)
    command = [
        "--dataset",
        str(folder),
        "--agent",
        "oracle",
        "-k",
        "1",
        "--with-sets",
        "--home",
        str(three_clusters.root),
    ]
    first = codex_loop("measure", *command)
    assert first.returncode == 0, first.stdout + first.stderr
    for name in ("target", "neighbour", "delight guard"):
        assert f"1 validated tasks in the {name} set, 3 are needed" in first.stderr
    verified = codex_loop(
        "verify", "tkt_1", "--agent", "nop", "-k", "1", "--arm", "after", "--home", str(three_clusters.root)
    )
    assert verified.returncode == 1 and "# Verdict: keep" in verified.stdout, verified.stdout + verified.stderr
    assert "1 validated tasks in the target set, 3 are needed" in verified.stdout
    assert "| neighbour | `neighbour` | `reward` | `oracle` → `after` | not enough data" in verified.stdout
    for name in ("fixtures", "clu_near", "clu_glad"):
        runs = three_clusters.lake.read("eval_runs", name)
        assert sorted(runs.select("arm", "reward").rows()) == [("after", 0.0), ("oracle", 1.0)]
    assert not list((three_clusters.root / "harbor" / "measuring").iterdir())


def wait_for_a_trial(home: Home, process: subprocess.Popen) -> str:
    """The name of a trial that is done while another is under way."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and process.poll() is None:
        done = [path.parent.name for path in home.root.glob("harbor/jobs/*/*/*/result.json")]
        if done and len([path for path in home.root.glob("harbor/jobs/*/*/*") if path.is_dir()]) > len(done):
            return done[0]
        time.sleep(0.2)
    raise AssertionError("no trial was done in time")


def said(value):
    """What a configuration says beyond Harbor's silence: no nulls, no empty values, nothing switched off."""
    if isinstance(value, dict):
        return {key: inner for key, item in value.items() if (inner := said(item)) not in (None, False, {}, [])}
    return [said(item) for item in value] if isinstance(value, list) else value


def test_harbor_is_asked_for_exactly_the_codex_job_that_was_meant(home, dataset):
    printed = run(home, dataset, "--agent", "codex", "--model", "gpt-5.2", "-k", "3", "--print-config")
    configuration = said(json.loads(printed.stdout))
    retry = configuration.pop("retry")
    jobs = home.root.resolve() / "harbor" / "jobs" / "fixtures"
    assert configuration.pop("job_name").startswith("codex-gpt-5.2-")
    assert configuration == {
        "schema_version": 1,
        "jobs_dir": str(jobs),
        "n_attempts": 3,
        "n_concurrent_trials": 2,
        "quiet": True,
        "timeout_multiplier": 1.0,
        "environment": {
            "type": "docker",
            "delete": True,
            "cpu_enforcement_policy": "auto",
            "memory_enforcement_policy": "auto",
            "extra_docker_compose": [str(jobs / "compose-fast.yaml")],
        },
        "agents": [{"name": "codex", "model_name": "gpt-5.2"}],
        "datasets": [{"path": str(dataset.resolve())}],
    }
    assert retry.get("max_retries", 0) == 0
    assert not list(home.root.glob("harbor/jobs/fixtures/*/"))  # nothing was run
