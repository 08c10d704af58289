"""Laws of measuring, shown on recorded real jobs: a fix is an improvement, a change that does nothing is none, a baseline says the
same on another machine."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
from click.testing import CliRunner

from codex_loop_assets.cli import main
from codex_loop_assets.cli.measure import NOT_ENOUGH_DATA, REGRESSED, _exit_code
from codex_loop_assets.cli.runs import materialise
from codex_loop_assets.measure.proven import of_proven_tasks
from codex_loop_assets.partitions import clusters
from codex_loop_assets.resources import baselines, jobs
from codex_loop_assets.stages import MEASURE
from codex_loop_assets.tables import EVAL_RUNS, HARBOR_DATASETS, REGRESSIONS, TASK_VALIDATIONS
from codex_loop_assets_tests.loop import world

RECORDED = Path(__file__).parents[2] / "fixtures" / "recorded_jobs" / "jobs"


def measured(home, *arms: str) -> dict[tuple[str, str], dict]:
    """(arm, endpoint) -> verdict, with the target's recorded jobs of these arms taken in."""
    for arm in arms:
        jobs.adopt_job(home, world.CLUSTER, RECORDED / f"target-{arm}", arm)
    with dg.DagsterInstance.get() as instance:
        instance.add_dynamic_partitions(clusters.name, [world.CLUSTER])
    materialise(home, MEASURE, clusters=[world.CLUSTER])
    rows = home.lake.read("regressions", world.CLUSTER).to_dicts()
    return {(row["candidate_arm"], row["endpoint"]): row for row in rows}


def test_a_fix_improves_reward_and_friction_a_change_that_does_nothing_neither_and_a_baseline_says_so_elsewhere(
    planted, tmp_path
):
    found = measured(planted, "before", "no-op", "fixed")
    assert {key: row["verdict"] for key, row in found.items()} == {
        ("fixed", "reward"): "improved",
        ("fixed", "exec_failure"): "improved",
        ("no-op", "reward"): "no_change_shown",
        ("no-op", "exec_failure"): "no_change_shown",
    }
    assert found["fixed", "reward"]["tasks"] == 4 and found["fixed", "reward"]["difference"] > 0.5
    saved = tmp_path / "baseline.json"
    assert baselines.save(planted, world.CLUSTER, "target-before", saved) == 12
    assert "unittest" not in saved.read_text()  # no text of a session

    shutil.rmtree(jobs.jobs_folder(planted, world.CLUSTER))  # another machine, as far as jobs go
    assert baselines.take_in(planted, world.CLUSTER, saved) == "before"
    again = measured(planted, "fixed")
    assert {key: row["verdict"] for key, row in again.items()} == {
        ("fixed", "reward"): "improved",
        ("fixed", "exec_failure"): "improved",
    }
    assert again["fixed", "reward"]["p_value"] == found["fixed", "reward"]["p_value"]


def test_the_baseline_is_compared_with_whenever_its_trials_ran(planted, tmp_path):
    measured(planted, "before", "fixed")
    saved = tmp_path / "fixed.json"
    baselines.save(planted, world.CLUSTER, "target-fixed", saved)
    baselines.take_in(planted, world.CLUSTER, saved)
    assert measured(planted)["before", "reward"]["verdict"] == "regressed"


@pytest.mark.parametrize(
    "content",
    [
        "{}",
        "not json",
        json.dumps({"version": 1, "job": "../x", "arm": "a", "trials": [{"result": {"trial_name": "t"}}]}),
        json.dumps({"version": 1, "job": "x", "arm": "a", "trials": [{"result": {"trial_name": "../../t"}}]}),
    ],
)
def test_a_file_that_is_no_baseline_is_refused_and_writes_nothing(planted, tmp_path, content):
    path = tmp_path / "odd.json"
    path.write_text(content)
    with pytest.raises(ValueError, match="is no baseline"):
        baselines.take_in(planted, world.CLUSTER, path)
    assert not jobs.jobs_folder(planted, world.CLUSTER).exists()


def test_a_job_that_was_cut_off_keeps_its_name_and_a_finished_one_gives_the_next(planted):
    first = jobs.next_name(planted, "c", "module:Class", "openai/gpt", "shape")
    assert first == jobs.next_name(planted, "c", "module:Class", "openai/gpt", "shape") and "/" not in first
    folder = jobs.jobs_folder(planted, "c") / first
    folder.mkdir(parents=True)
    (folder / "result.json").write_text(json.dumps({"finished_at": None}))
    assert jobs.next_name(planted, "c", "module:Class", "openai/gpt", "shape") == first
    (folder / "result.json").write_text(json.dumps({"finished_at": "2026-03-01T10:00:00"}))
    assert jobs.next_name(planted, "c", "module:Class", "openai/gpt", "shape") != first
    assert jobs.next_name(planted, "c", "module:Class", "openai/gpt", "other") not in (first, folder.name)


def verdicts(*pairs: tuple[str, str]) -> pl.DataFrame:
    blank = {"cluster_id": "c", "dataset": "d", "baseline_arm": "a", "candidate_arm": "b", "reason": "", "tasks": 3}
    counts = {"repeats": 3.0, "excluded_infrastructure": 0, "quarantined_flaky": 0}
    return REGRESSIONS.frame(
        [blank | counts | {"endpoint": endpoint, "verdict": verdict} for endpoint, verdict in pairs]
    )


@pytest.mark.parametrize(
    ("pairs", "compared", "code"),
    [
        ([], False, 0),
        ([], True, NOT_ENOUGH_DATA),
        ([("reward", "no_change_shown"), ("exec_failure", "not_enough_data")], True, 0),
        ([("reward", "not_enough_data"), ("exec_failure", "improved")], True, NOT_ENOUGH_DATA),
        ([("reward", "improved"), ("exec_failure", "regressed")], True, REGRESSED),
        ([("reward", "improved")], True, 0),
    ],
)
def test_the_exit_code_tells_ci_what_came_out(pairs, compared, code):
    assert _exit_code(verdicts(*pairs), compared) == code


def test_trials_of_unproven_tasks_count_only_where_a_person_let_them():
    task = {
        "cluster_id": "c", "candidate_id": "cand_1", "signal_ids": [], "thread_id": "t", "stage": "built", "reason": "",
        "task_name": "org/own", "digest": "sha256:now",
    }  # fmt: skip
    run = {"cluster_id": "c", "dataset": "c", "agent": "a", "arm": "a", "attempt": 0, "reward": 1.0}
    runs = EVAL_RUNS.frame(
        [
            run
            | {"eval_id": f"{name}-{digest}-{job}", "task": name, "task_digest": digest, "job_dir": job, "trial": "t"}
            for name, digest, job in (
                ("org/own", "sha256:now", "j1"),
                ("org/own", "sha256:old", "j1"),
                ("org/own", "sha256:old", "let-in"),
                ("org/own", None, "j1"),
                ("other/foreign", "sha256:x", "j1"),
            )
        ]
    )
    proof = {
        "cluster_id": "elsewhere",
        "candidate_id": "cand_1",
        "digest": "sha256:now",
        "check": "verdict",
        "attempt": 0,
    }
    proofs = TASK_VALIDATIONS.frame([proof | {"status": "validated", "reason": ""}])
    kept, left_out = of_proven_tasks(runs, HARBOR_DATASETS.frame([task]), proofs, ["let-in"])
    assert left_out == 1 and set(runs["eval_id"]) - set(kept["eval_id"]) == {"org/own-sha256:old-j1"}
    assert of_proven_tasks(runs, HARBOR_DATASETS.frame([task]), proofs.clear())[1] == 4


def test_measuring_without_harbor_says_how_to_get_it(planted, tmp_path, monkeypatch):
    monkeypatch.setenv("CODEX_LOOP_HARBOR", str(tmp_path / "none"))
    result = CliRunner().invoke(main, ["measure", "--dataset", str(tmp_path), "--agent", "codex"])
    assert result.exit_code == 1 and "uv tool install harbor" in result.output
