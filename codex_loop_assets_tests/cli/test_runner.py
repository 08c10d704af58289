"""Laws of running: what a cut-off measurement has done is not paid for again, and unproven tasks are left out and named."""

from __future__ import annotations

import json
import sys

import polars as pl
import pytest

from codex_loop_assets.cli.options import Problem
from codex_loop_assets.cli.runner import Part, Runner, free_arm, target_part
from codex_loop_assets.distill.digest import core_digest, task_digest
from codex_loop_assets.resources import jobs
from codex_loop_assets.resources.files import write_text
from codex_loop_assets.resources.harbor import Harbor
from codex_loop_assets.tables import TABLES
from codex_loop_assets_tests.loop import world

# Stands in for Harbor's command line: writes a finished job, and fails while a file says so.
HARBOR = """#!{python}
import json, pathlib, sys
options = dict(zip(sys.argv[2::2], sys.argv[3::2]))
folder = pathlib.Path(options["--jobs-dir"]) / options["--job-name"]
with open("{log}", "a") as log:
    log.write(folder.parent.name + "\\n")
if folder.parent.name == "clu_near" and pathlib.Path("{broken}").exists():
    sys.exit("the engine went away")
folder.mkdir(parents=True)
(folder / "result.json").write_text(json.dumps({{"finished_at": "2026-03-14T10:00:00"}}))
"""


def task(folder, name: str):
    """A task folder; its digest is its own."""
    write_text(folder / name / "task.toml", f'[task]\nname = "codex-loop/{name}"\n')
    write_text(folder / name / "instruction.md", f"do {name}\n")
    return folder / name


@pytest.fixture
def runner(tmp_path) -> Runner:
    script = tmp_path / "harbor.py"
    log, broken = tmp_path / "log", tmp_path / "broken"
    script.write_text(HARBOR.format(python=sys.executable, log=log, broken=broken))
    script.chmod(0o755)
    return Runner(Harbor(script), "codex", "gpt-5.2", 1, "after")


def test_what_was_done_before_a_measurement_was_cut_off_is_not_run_again(planted, runner, tmp_path):
    parts = [Part(name, task(tmp_path / name, "one").parent) for name in (world.CLUSTER, "clu_near", "clu_glad")]
    (tmp_path / "broken").touch()
    with pytest.raises(Problem, match="goes on with the job"):
        runner.run(planted, parts)
    (tmp_path / "broken").unlink()
    names = runner.run(planted, parts)
    assert (tmp_path / "log").read_text().split() == [world.CLUSTER, "clu_near", "clu_near", "clu_glad"]
    assert len(names) == 3 and all(name.endswith("-1") for name in names)
    # Done is done: the same command now measures anew.
    assert runner.run(planted, parts)[0].endswith("-2")


def test_a_job_says_what_its_tasks_are_without_their_provenance(planted, runner, tmp_path):
    made = task(tmp_path / "set", "one")
    runner.run(planted, [Part(world.CLUSTER, made.parent)])
    assert jobs.core_digests(planted, world.CLUSTER) == {task_digest(made): core_digest(made)}


def test_what_is_not_proven_is_left_out_and_named_and_nothing_proven_is_a_problem(planted, tmp_path, capsys):
    dataset = tmp_path / "set"
    made = {name: task(dataset, name) for name in ("proven", "open")}
    with pytest.raises(Problem, match="2 of 2 tasks are not proven"):
        target_part(planted, world.CLUSTER, dataset, unvalidated=False)
    proof = world.verdict(1, "validated") | {"digest": task_digest(made["proven"])}
    planted.lake.write("task_validations", world.CLUSTER, TABLES["task_validations"].frame([proof]))
    part = target_part(planted, world.CLUSTER, dataset, unvalidated=False)
    assert [path.name for path in part.folder.iterdir()] == ["proven"] and "(open)" in capsys.readouterr().err
    assert target_part(planted, world.CLUSTER, dataset, unvalidated=True) == Part(world.CLUSTER, dataset, True)


def test_an_arm_gets_a_number_where_its_name_is_taken(planted):
    row = {
        "eval_id": "e", "cluster_id": world.CLUSTER, "dataset": "d", "task": "t", "agent": "codex", "arm": "codex/m",
        "attempt": 0, "job_dir": "j", "trial": "t",
    }  # fmt: skip
    assert free_arm(planted, world.CLUSTER, "codex/m") == "codex/m"
    planted.lake.write("eval_runs", world.CLUSTER, TABLES["eval_runs"].frame([row]))
    assert free_arm(planted, world.CLUSTER, "codex/m") == "codex/m #2"
    assert free_arm(planted, world.CLUSTER, "codex/m", ["codex/m #2"]) == "codex/m #3"


def test_recorded_trials_count_for_tasks_that_only_got_another_provenance(planted, tmp_path):
    """The way of a trial through the graph: its digest is of no task any more, its core is that of a proven one."""
    import dagster as dg

    from codex_loop_assets.cli.runs import materialise
    from codex_loop_assets.partitions import clusters
    from codex_loop_assets.stages import MEASURE

    numbers = range(3)
    now = [world.task(n) | {"digest": f"sha256:now{n}", "core_digest": f"core:{n}"} for n in numbers]
    proofs = [world.verdict(n, "validated") | {"digest": f"sha256:now{n}"} for n in numbers]
    planted.lake.write("harbor_datasets", world.CLUSTER, TABLES["harbor_datasets"].frame(now))
    planted.lake.write("task_validations", world.CLUSTER, TABLES["task_validations"].frame(proofs))
    for name, reward in (("before", 0.0), ("after", 1.0)):
        folder = tmp_path / name
        for n in (*numbers, *numbers):
            trial = folder / f"shop-{n}__{len(list(folder.glob('*')))}"
            result = {
                "id": f"{name}-{trial.name}", "trial_name": trial.name, "task_name": f"codex-loop/shop-{n}",
                "started_at": f"2026-03-{10 if name == 'before' else 12}T10:00:00Z", "finished_at": "2026-03-12T11:00:00Z",
                "agent_info": {"name": "codex", "version": "1"}, "verifier_result": {"rewards": {"reward": reward}},
            }  # fmt: skip
            write_text(trial / "result.json", json.dumps(result))
            write_text(trial / "lock.json", json.dumps({"task": {"digest": f"sha256:old{n}"}}))
        if name == "after":
            cores = {f"sha256:old{n}": f"core:{n}" for n in numbers}
            write_text(folder / jobs.TASKS, json.dumps(cores))
        jobs.adopt_job(planted, world.CLUSTER, folder, name)
    with dg.DagsterInstance.get() as instance:
        instance.add_dynamic_partitions(clusters.name, [world.CLUSTER])
    materialise(planted, MEASURE, clusters=[world.CLUSTER])
    runs = planted.lake.read("eval_runs", world.CLUSTER)
    assert set(runs["task_digest"]) == {"sha256:now0", "sha256:now1", "sha256:now2"}
    assert runs["ran_digest"].null_count() == 0
    (row,) = planted.lake.read("regressions", world.CLUSTER).filter(pl.col("endpoint") == "reward").to_dicts()
    assert (row["tasks"], row["difference"]) == (3, 1.0) and "12 trial(s) ran on these tasks under another" in row[
        "reason"
    ]
