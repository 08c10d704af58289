"""Laws of distilling a cluster: what becomes a task, what does not and why, and that a second run changes nothing."""

from __future__ import annotations

import tomllib

from codex_loop_assets.distill.dataset import contents
from codex_loop_assets.distill.digest import task_digest
from codex_loop_assets.distill.distil import distil_cluster
from codex_loop_assets.settings import section
from codex_loop_assets_tests.distill.worlds import NOW, calc_world, canon, members


def unredacted(text: str, thread_id: str) -> str:
    return text


def distilled(tmp_path, session, repositories, **options):
    options = {"redact": unredacted} | options
    return distil_cluster(
        "clu_1", members(session), canon(session), repositories, tmp_path / "home", section("distill"), NOW, **options
    )


def test_a_check_that_failed_and_then_passed_becomes_a_task_whose_parts_are_on_disk(tmp_path):
    session, repositories = calc_world(tmp_path / "calc")
    (row,) = distilled(tmp_path, session, repositories).to_dicts()
    assert (row["stage"], row["reason"], row["environment_kind"], row["verifier_kind"]) == (
        "built",
        "",
        "hermetic",
        "command",
    )
    task = tmp_path / "home" / row["task_dir"]
    assert {path.relative_to(task).as_posix() for path in task.rglob("*") if path.is_file()} == {
        "task.toml",
        "instruction.md",
        "environment/Dockerfile",
        "environment/workspace.tar",
        "tests/test.sh",
        "tests/check.sh",
        "tests/reference.tar",
        "tests/guarded.ere",
        "tests/solved.txt",
        "solution/solve.sh",
        "solution/solution.patch",
    }
    configuration = tomllib.loads((task / "task.toml").read_text())
    assert configuration["schema_version"] == "1.4"
    assert configuration["metadata"]["signal_type"] == "friction"
    assert configuration["metadata"]["signal_category"] == "exec_failure"
    assert configuration["metadata"]["cluster_id"] == "clu_1"
    assert configuration["metadata"]["source_commit_hash"] == session.commit
    assert row["digest"] == task_digest(task)


def test_the_instruction_holds_the_request_and_the_check_but_nothing_of_the_solution(tmp_path):
    session, repositories = calc_world(tmp_path / "calc")
    (row,) = distilled(tmp_path, session, repositories).to_dicts()
    assert "gives wrong results" in row["instruction"]
    assert "python3 -m unittest discover" in row["instruction"]
    assert "a + b" not in row["instruction"]


def test_a_second_run_leaves_identical_bytes(tmp_path):
    session, repositories = calc_world(tmp_path / "calc")
    first = distilled(tmp_path, session, repositories)
    before = contents(tmp_path / "home")
    second = distilled(tmp_path, session, repositories)
    assert first.equals(second)
    assert contents(tmp_path / "home") == before


def test_without_the_repository_the_row_says_so(tmp_path):
    session, _ = calc_world(tmp_path / "calc")
    (row,) = distilled(tmp_path, session, {}).to_dicts()
    assert row["stage"] == "segment"
    assert row["reason"].startswith("the repository is not at hand")


def test_every_member_signal_is_in_exactly_one_row(tmp_path):
    session, repositories = calc_world(tmp_path / "calc")
    session.ask("Write a poem about unit tests in the style of a limerick").signal("correction")
    frame = distilled(tmp_path, session, repositories)
    listed = [signal for row in frame["signal_ids"].to_list() for signal in row]
    assert sorted(listed) == sorted(members(session)["signal_id"].to_list())
