"""Laws of people's answers about tasks: a rejected task is in no dataset, set or measure, and nobody makes one validated."""

from __future__ import annotations

import json
import shutil
import tomllib
from pathlib import Path

import polars as pl
import pytest

from codex_loop_assets.distill import reviewed
from codex_loop_assets.distill.dataset import contents, drop_tasks, relocated
from codex_loop_assets.distill.distil import distil_cluster
from codex_loop_assets.distill.funnel import funnel
from codex_loop_assets.distill.reviewed import TaskAnswer
from codex_loop_assets.distill.sets import evaluation_sets
from codex_loop_assets.distill.validate import validate
from codex_loop_assets.measure.proven import of_proven_tasks
from codex_loop_assets.settings import section
from codex_loop_assets.tables import EVAL_RUNS
from codex_loop_assets_tests.distill.worlds import NOW, calc_world, canon, members
from codex_loop_assets_tests.loop import world

ANN = TaskAnswer("cand_1", "sha256:0", accepted=True, who="ann")
BOB = TaskAnswer("cand_1", "sha256:0", accepted=False, who="bob", reason="asks for\nthe impossible")


def validations(*rows: dict) -> pl.DataFrame:
    return world.TABLES["task_validations"].frame(list(rows))


def test_a_rejection_outweighs_acceptances_and_says_who_and_why():
    assert reviewed.rejections([ANN, BOB]) == {"cand_1": "rejected by bob: asks for the impossible"}
    assert reviewed.rejections([ANN]) == {}


def test_an_accepted_task_counts_as_it_was_shown_and_its_verdict_stays_what_the_runs_gave():
    doubtful = validations(world.verdict(1, "needs_review"), world.verdict(2, "needs_review"))
    told = reviewed.with_acceptances(doubtful, [ANN], {})
    assert told.filter(pl.col("check") == "verdict").sort("candidate_id").equals(doubtful.sort("candidate_id"))
    assert reviewed.counted(told)["candidate_id"].to_list() == ["cand_1"]
    assert reviewed.with_acceptances(told, [ANN], {}).sort("check").equals(told.sort("check"))
    changed = TaskAnswer("cand_1", "sha256:1", accepted=True, who="ann")
    assert reviewed.counted(reviewed.with_acceptances(told, [changed], {})).is_empty()


@pytest.mark.parametrize("digest", ["sha256:0", "sha256:of another provenance"])
def test_an_acceptance_holds_while_all_but_the_provenance_is_as_it_was_shown(digest):
    rows = validations(world.verdict(1, "needs_review") | {"core_digest": "core:1"})
    answer = TaskAnswer("cand_1", digest, accepted=True, who="ann", core_digest="core:1")
    told = reviewed.with_acceptances(rows, [answer, answer], {})
    assert told.filter(pl.col("check") == "review")["reason"].to_list() == ["accepted by ann"]
    other = TaskAnswer("cand_1", "sha256:1", accepted=True, who="ann", core_digest="core:2")
    assert reviewed.with_acceptances(rows, [other], {}).height == 1


@pytest.mark.parametrize("status", ["rejected", "unvalidated"])
def test_what_runs_rejected_or_never_ran_nobody_can_accept(status):
    rows = validations(world.verdict(1, status))
    assert reviewed.counted(reviewed.with_acceptances(rows, [ANN], {})).is_empty()


def test_an_accepted_task_is_in_the_sets_and_told_from_a_proven_one_and_one_without_a_verifier_is_not():
    tasks = [world.task(1), world.task(2), world.task(3) | {"verifier_kind": "none"}]
    answers = [ANN, TaskAnswer("cand_3", "sha256:0", accepted=True, who="ann")]
    rows = validations(
        *(world.verdict(n, status) for n, status in ((1, "needs_review"), (2, "validated"), (3, "needs_review")))
    )
    told = reviewed.with_acceptances(rows, answers, {})
    found = evaluation_sets(world.CLUSTER, [], [], world.TABLES["harbor_datasets"].frame(tasks), told)
    assert dict(found.select("candidate_id", "proof").iter_rows()) == {"cand_1": "needs_review", "cand_2": "validated"}


def test_the_funnel_counts_a_rejected_task_with_its_reason_and_an_accepted_one_beside_its_verdict():
    datasets = world.TABLES["harbor_datasets"].frame([world.task(1), world.task(2)])
    rejected = {"cand_1": "rejected by bob: unfair"}
    rows = validations(world.verdict(1, "validated"), world.verdict(2, "needs_review"))
    answers = [TaskAnswer("cand_2", "sha256:0", accepted=True, who="ann")]
    told = funnel(reviewed.without_rejected(datasets, rejected), reviewed.with_acceptances(rows, answers, rejected))
    assert (told.reached["candidates"], told.reached["built tasks"]) == (2, 1)
    assert told.verdicts["validated"] == 0 and told.verdicts["needs_review"] == 1
    assert "1 accepted by a person although in doubt" in told.lines()
    assert told.reasons["rejected by bob: unfair"] == 1


def test_trials_on_a_rejected_task_count_nowhere_not_even_where_unproven_ones_were_let_in():
    datasets = reviewed.without_rejected(
        world.TABLES["harbor_datasets"].frame([world.task(1)]), {"cand_1": "rejected by bob: unfair"}
    )
    run = {"cluster_id": world.CLUSTER, "dataset": world.CLUSTER, "agent": "a", "arm": "a", "attempt": 0, "reward": 1.0}
    named = {"eval_id": "e", "task": "codex-loop/shop-1", "task_digest": "sha256:0", "job_dir": "j", "trial": "t"}
    proofs = validations(world.verdict(1, "validated"))
    kept, left_out = of_proven_tasks(EVAL_RUNS.frame([run | named]), datasets, proofs, ["j"])
    assert kept.is_empty() and left_out == 1


def test_a_validation_kept_from_earlier_brings_no_acceptance_back():
    task = world.task(1) | {"verifier_kind": "command"}
    earlier = reviewed.with_acceptances(validations(world.verdict(1, "needs_review")), [ANN], {})
    again = validate(
        world.TABLES["harbor_datasets"].frame([task]), None, section("distill"), None, "no engine", earlier
    )
    assert again["check"].to_list() == ["verdict"] and again["status"].to_list() == ["needs_review"]


def distilled(home, tmp_path, rejected=None):
    session, repositories = calc_world(tmp_path / "calc") if not (tmp_path / "calc").exists() else distilled.world
    distilled.world = session, repositories
    return distil_cluster(
        "clu", members(session), canon(session), repositories, home, section("distill"), NOW,
        redact=lambda text, _: text, rejected=rejected,
    )  # fmt: skip


def test_taking_a_task_out_leaves_the_folder_as_if_it_had_never_been_built(tmp_path):
    first = distilled(tmp_path / "one", tmp_path)
    second = distilled(tmp_path / "two", tmp_path, {first["candidate_id"][0]: "rejected by bob: unfair"})
    assert second["stage"].to_list() == ["candidate"] and second["reason"].to_list() == ["rejected by bob: unfair"]
    folder = tmp_path / "one" / first["dataset_dir"][0]
    drop_tasks(folder, {first["task_dir"][0].rpartition("/")[2]})
    assert not folder.exists() and not (tmp_path / "two" / first["dataset_dir"][0]).exists()
    assert reviewed.without_rejected(first, {first["candidate_id"][0]: "rejected by bob: unfair"}).equals(second)


def test_a_copied_datasets_registry_names_the_copied_tasks(tmp_path):
    rows = distilled(tmp_path / "one", tmp_path)
    copied = shutil.copytree(tmp_path / "one" / rows["dataset_dir"][0], tmp_path / "copy")
    relocated(copied)
    ((listed,),) = [entry["tasks"] for entry in json.loads((copied / "registry.json").read_text())]
    assert Path(listed["path"]).parent == copied and (Path(listed["path"]) / "task.toml").is_file()


def test_the_tasks_that_stay_keep_their_files_digests_and_evidence(tmp_path):
    rows = distilled(tmp_path / "one", tmp_path)
    folder = tmp_path / "one" / rows["dataset_dir"][0]
    other = folder / "other-task"
    (folder / rows["task_dir"][0].rpartition("/")[2]).rename(other)
    (other / "task.toml").write_text(
        (other / "task.toml").read_text().replace(rows["task_name"][0], "codex-loop/other")
    )
    gone = distilled(tmp_path / "two", tmp_path)
    (tmp_path / "two" / gone["task_dir"][0]).rename(folder / "gone")
    evidence = json.loads((folder / "trace_evidence.json").read_text())
    (folder / "trace_evidence.json").write_text(json.dumps([*evidence, evidence[0] | {"task": "codex-loop/other"}]))
    files = {name: value for name, value in contents(folder).items() if name.startswith("other-task/")}
    drop_tasks(folder, {"gone"})
    kept = contents(folder)
    assert {name: value for name, value in kept.items() if "/" in name} == files
    (listed,) = tomllib.loads((folder / "dataset.toml").read_text())["tasks"]
    assert listed["name"] == "codex-loop/other"
    assert [item["task"] for item in json.loads((folder / "trace_evidence.json").read_text())] == ["codex-loop/other"]
