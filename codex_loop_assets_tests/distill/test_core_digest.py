"""Laws of the core digest: what runs said about a task holds while all that they saw is the same, whichever cluster it is of."""

from __future__ import annotations

import polars as pl
import pytest

from codex_loop_assets.distill.digest import core_digest, task_digest
from codex_loop_assets.distill.distil import distil_cluster
from codex_loop_assets.distill.validate import RAN_AS, validate
from codex_loop_assets.settings import section
from codex_loop_assets.tables import TASK_VALIDATIONS
from codex_loop_assets_tests.distill.worlds import NOW, calc_world, canon, members


@pytest.fixture(scope="module")
def clusters(tmp_path_factory):
    """(home, rows) of one session's task, distilled for two clusters."""
    folder = tmp_path_factory.mktemp("core")
    session, repositories = calc_world(folder / "calc")
    rows = [
        distil_cluster(
            name, members(session), canon(session), repositories, folder / "home", section("distill"), NOW,
            redact=lambda text, _: text,
        )
        for name in ("clu_old", "clu_new")
    ]  # fmt: skip
    return folder / "home", *rows


def proof(rows: pl.DataFrame, status: str = "validated") -> pl.DataFrame:
    """What runs on the task of these rows said."""
    (task,) = rows.select("cluster_id", "candidate_id", "digest", "core_digest").to_dicts()
    said = [("nop", "passed", "scored 0 as it must"), ("verdict", status, "nothing scored 0")]
    return TASK_VALIDATIONS.frame(
        [task | {"check": check, "attempt": 0, "status": told, "reason": why} for check, told, why in said]
    )


def test_another_cluster_changes_the_digest_and_not_the_core(clusters):
    _, old, new = clusters
    assert old["digest"][0] != new["digest"][0] and old["core_digest"][0] == new["core_digest"][0]


@pytest.mark.parametrize(
    "path", ["instruction.md", "tests/check.sh", "environment/Dockerfile", "solution/solution.patch"]
)
def test_whatever_a_run_sees_changes_the_core(clusters, tmp_path, path):
    home, old, _ = clusters
    task = home / old["task_dir"][0]
    before, kept = core_digest(task), (task / path).read_bytes()
    (task / path).write_bytes(kept + b"\n# changed")
    try:
        assert core_digest(task) != before
    finally:
        (task / path).write_bytes(kept)
    assert core_digest(task) == before


def test_a_limit_changes_the_core_and_a_name_does_not(clusters):
    home, old, _ = clusters
    path = home / old["task_dir"][0] / "task.toml"
    kept, before = path.read_text(), core_digest(path.parent)
    try:
        path.write_text(kept.replace(old["task_name"][0], "codex-loop/other"))
        assert core_digest(path.parent) == before and task_digest(path.parent) != old["digest"][0]
        path.write_text(kept.replace("timeout_sec = ", "timeout_sec = 1"))
        assert core_digest(path.parent) != before
    finally:
        path.write_text(kept)


def test_a_proof_moves_to_the_cluster_that_the_task_is_of_now_and_says_under_which_digest_it_ran(clusters):
    home, old, new = clusters
    kept = validate(new, home, section("distill"), None, "no engine", proof(old))
    assert set(kept["digest"]) == {new["digest"][0]} and set(kept["cluster_id"]) == {"clu_new"}
    (verdict,) = kept.filter(pl.col("check") == "verdict").to_dicts()
    assert verdict["status"] == "validated" and verdict["reason"].endswith(RAN_AS + old["digest"][0])
    again = validate(old, home, section("distill"), None, "no engine", kept)
    assert again.filter(pl.col("check") == "verdict")["reason"].to_list() == [verdict["reason"]]


def test_the_present_digests_own_rows_come_first_and_what_never_ran_proves_nothing(clusters):
    home, old, new = clusters
    both = pl.concat([proof(old), proof(new, "rejected")])
    verdicts = validate(new, home, section("distill"), None, "no engine", both).filter(pl.col("check") == "verdict")
    assert verdicts["status"].to_list() == ["rejected"]
    never = validate(new, home, section("distill"), None, "no engine", proof(old, "unvalidated"))
    assert never["reason"].to_list()[0].startswith("no engine")


def test_a_proof_without_a_core_digest_holds_for_its_digest_only(clusters):
    home, old, new = clusters
    bare = proof(old).with_columns(core_digest=pl.lit(None, pl.String))
    assert validate(new, home, section("distill"), None, "no engine", bare)["status"].to_list() == ["unvalidated"]
    assert "validated" in validate(old, home, section("distill"), None, "no engine", bare)["status"].to_list()
