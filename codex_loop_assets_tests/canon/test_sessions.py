"""Sessions: metadata from wherever it was recorded, and how they ended."""

from datetime import timedelta

import pytest

from codex_loop_assets_tests.canon.tables import canonical, of_rollout, of_spine
from codex_loop_assets_tests.traces.building import START, Spine, answer, call, exited, line, meta, prompt

GIT = {"commit_hash": "9f1c", "branch": "main", "repository_url": "https://ann:pw@example.org/team/app.git"}


def test_where_a_session_ran_is_the_same_in_both_formats(tmp_path):
    rollout = of_rollout(tmp_path / "a", [line(0, "session_meta", meta(git=GIT)), *prompt(1, "go")]).session()
    spine = Spine().meta().add("artifact_ref", {"kind": "git_info", "repo_root": "/home/ann/app", "git": GIT})
    spine.add(
        "artifact_ref",
        {"kind": "git_diff", "base_sha": "abc", "artifact_path": "artifacts/git_diff.patch", "sha256": "0"},
    )
    recorded = of_spine(tmp_path / "b", spine.prompt("1", "go")).session()
    for row in (rollout, recorded):
        assert (row["repository"], row["repository_url"], row["commit_hash"], row["branch"], row["cwd"]) == (
            "app", "https://example.org/team/app.git", "9f1c", "main", "/home/ann/app",
        )  # fmt: skip
        assert (row["home"], row["machine"], row["originator"], row["cli_version"]) == (
            "ann",
            "laptop",
            "codex_cli_rs",
            "0.97.0",
        )
    assert recorded["base_sha"] == "abc" and recorded["starting_diff_path"].startswith("trace_spine/")
    assert (tmp_path / "b" / recorded["starting_diff_path"]).parent.is_dir()
    assert (rollout["approvals_observable"], recorded["approvals_observable"]) == (False, True)


def spine(*endings: tuple) -> Spine:
    made = Spine().meta().prompt("1", "go")
    for turn, kind, fields in endings:
        made.event(turn, kind, **fields)
    return made


@pytest.mark.parametrize(
    ("records", "outcome", "words"),
    [
        (
            spine(("1", "agent_message", {"message": "x"}), ("1", "task_complete", {"last_agent_message": "x"})),
            "completed",
            "task_complete",
        ),
        (spine(("1", "turn_aborted", {"reason": "interrupted"})), "aborted", "interrupted"),
        (
            spine(("1", "error", {"message": "m"}), ("1", "task_complete", {"last_agent_message": None})),
            "errored",
            "error",
        ),
        (spine(), "abandoned", "no end on record"),
        (Spine().meta(), "unknown", "nobody asked"),
    ],
)
def test_an_outcome_comes_with_what_it_was_read_from(tmp_path, records, outcome, words):
    session = of_spine(tmp_path, records).session()
    assert session["outcome"] == outcome and words in session["outcome_reason"]


def test_where_turn_ends_are_not_recorded_an_answer_completes_and_silence_abandons(tmp_path):
    start = line(0, "session_meta", meta())
    answered = of_rollout(tmp_path / "a", [start, *prompt(1, "go"), *answer(2, "Done.")]).session()
    silent = of_rollout(tmp_path / "b", [start, *prompt(1, "go"), *call(2, "c1", "ls", exited(0))]).session()
    assert (answered["outcome"], silent["outcome"]) == ("completed", "abandoned")
    assert "records no turn ends" in answered["outcome_reason"]


def test_a_session_that_is_still_going_on_has_no_outcome_yet(tmp_path):
    spine().write(tmp_path)
    session = canonical(tmp_path, now=START + timedelta(hours=1)).session()
    assert (session["outcome"], session["outcome_reason"]) == ("unknown", "still active")


def test_totals_are_those_of_the_tables(tmp_path):
    made = (
        Spine()
        .meta()
        .prompt("1", "go")
        .shell("1", "c1", "ls", 1)
        .shell("1", "c2", "ls", 0)
        .done("1")
        .prompt("2", "more")
        .done("2")
    )
    found = of_spine(tmp_path, made)
    session = found.session()
    assert session["turn_count"] == found.turns.height == 2
    assert (session["tool_call_count"], session["failed_tool_call_count"], session["human_turn_count"]) == (2, 1, 2)


def test_codexs_own_housekeeping_is_excluded(tmp_path):
    made = Spine().meta(source={"internal": "memory_consolidation"}).prompt("0", "consolidate", kind="user_input")
    session = of_spine(tmp_path, made).session()
    assert (session["excluded"], session["exclusion_reason"], session["human"]) == (
        True,
        "Codex's own housekeeping",
        False,
    )
