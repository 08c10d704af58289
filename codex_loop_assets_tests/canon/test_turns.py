"""Turns: one per thing asked for, in the user's own words, with what followed."""

import polars as pl
import pytest

from codex_loop_assets_tests.canon.tables import of_rollout, of_spine
from codex_loop_assets_tests.traces.building import (
    THREAD,
    Spine,
    answer,
    call,
    exited,
    line,
    meta,
    prompt,
    said,
    tokens,
)  # fmt: skip

TURN = "019c1b2e-8000-7d31-9a54-0f6f2b1c9d11"


def start() -> dict:
    return line(0, "session_meta", meta())


def words(found) -> list[str]:
    return found.turns.sort("turn_index")["user_message"].to_list()


def test_one_prompt_is_one_turn_however_many_records_repeat_it(tmp_path):
    spine = Spine().meta().prompt("1", "fix the bug").submit("2", "add_to_history", text="fix the bug").done("1")
    found = of_spine(tmp_path, spine)
    assert found.turns.height == 1
    turn = found.turn()
    assert (turn["user_message"], turn["final_message"], turn["end_state"], turn["kind"]) == (
        "fix the bug",
        "Done.",
        "completed",
        "prompt",
    )
    assert (turn["model"], turn["approval_policy"], turn["sandbox_policy"], turn["cwd"]) == (
        "gpt-5.2", "on-request", "workspace-write", "/home/ann/app",
    )  # fmt: skip


@pytest.mark.parametrize(
    "scaffold",
    [
        "<environment_context>\n<cwd>/x</cwd>\n</environment_context>",
        "# AGENTS.md instructions for /x\n\n<INSTRUCTIONS>be brief</INSTRUCTIONS>",
        "<user_instructions>be brief</user_instructions>",
        "  <turn_aborted>\nThe user interrupted</turn_aborted>",
        "<skill>\n<name>x</name></skill>",
        "<user_action>review</user_action>",
        "Warning: apply_patch was requested via exec_command.",
        "Another language model started to solve this problem and made a summary",
        "<SUBAGENT_NOTIFICATION>{}</SUBAGENT_NOTIFICATION>",
    ],
)
def test_what_codex_puts_into_user_messages_is_nobodys_words(tmp_path, scaffold):
    lines = [
        start(),
        line(1, "response_item", said("user", scaffold)),
        line(2, "response_item", said("user", "real words")),
    ]
    assert words(of_rollout(tmp_path, lines)) == ["real words"]


def test_parts_of_one_message_are_judged_one_by_one(tmp_path):
    parts = [
        {"type": "input_text", "text": text}
        for text in ("<environment_context>x</environment_context>", "<image>", "real words")
    ]
    item = {"type": "message", "role": "user", "content": parts}
    assert words(of_rollout(tmp_path, [start(), line(1, "response_item", item)])) == ["real words"]


def test_of_an_ide_prompt_only_what_follows_the_marker_is_the_users(tmp_path):
    text = "# Context from my IDE setup:\n\n## Open tabs:\n- a.py\n\n## My request for Codex:\n fix the bug \n"
    assert words(of_rollout(tmp_path, [start(), *prompt(1, text)])) == ["fix the bug"]
    assert words(of_spine(tmp_path / "spine", Spine().meta().prompt("1", text))) == ["fix the bug"]


def test_a_steering_message_has_a_row_of_its_own_under_the_running_turn(tmp_path):
    spine = Spine().meta().prompt("1", "fix the bug").shell("1", "c1", "ls", 0)
    text = [{"type": "text", "text": "only in a.py", "text_elements": []}]
    spine.submit("2", "user_turn", items=text, cwd="/home/ann/app").item("1", **said("user", "only in a.py"))
    spine.shell("1", "c2", "cat a.py", 0).done("1")
    found = of_spine(tmp_path, spine)
    rows = (
        found.turns.sort("turn_index").select("kind", "turn_id", "user_message", "end_state", "tool_call_count").rows()
    )
    assert rows == [("prompt", "1", "fix the bug", "completed", 1), ("steer", "1", "only in a.py", "completed", 1)]


def test_before_february_2026_a_steering_message_is_only_an_item(tmp_path):
    lines = [
        start(),
        *prompt(1, "fix the bug"),
        *call(2, "c1", "ls", exited(0)),
        line(4, "response_item", said("user", "hurry")),
    ]
    found = of_rollout(tmp_path, [*lines, *answer(5, "Fixed.")])
    assert found.turns.sort("turn_index").select("kind", "user_message").rows() == [
        ("prompt", "fix the bug"),
        ("steer", "hurry"),
    ]


def test_in_2026_a_second_message_in_a_running_turn_steers_it(tmp_path):
    begin = line(1, "event_msg", {"type": "task_started", "turn_id": TURN})
    end = line(9, "event_msg", {"type": "task_complete", "turn_id": TURN, "last_agent_message": "Fixed."})
    found = of_rollout(
        tmp_path, [start(), begin, *prompt(2, "fix the bug"), *prompt(3, "hurry"), *answer(8, "Fixed."), end]
    )
    assert found.turns.sort("turn_index").select("kind", "end_state").rows() == [
        ("prompt", "completed"),
        ("steer", "completed"),
    ]


def test_a_resumed_process_that_counts_turns_anew_does_not_mix_them(tmp_path):
    spine = Spine().meta().event("", "session_configured", model="m").prompt("1", "first").done("1", "One.")
    count = len(spine.records)
    spine.event("", "session_configured", model="m").prompt("1", "second").done("1", "Two.")
    spine.write(tmp_path, [count, len(spine.records) - count])
    from codex_loop_assets_tests.canon.tables import canonical

    rows = canonical(tmp_path).turns.sort("turn_index").select("run", "turn_id", "user_message", "final_message").rows()
    assert rows == [(0, "1", "first", "One."), (1, "1", "second", "Two.")]


def test_actions_without_words_are_turns_of_their_kind(tmp_path):
    spine = (
        Spine()
        .meta()
        .prompt("1", "go")
        .done("1")
        .submit("2", "compact")
        .event("2", "task_complete", last_agent_message=None)
    )
    spine.submit("3", "undo").event("3", "undo_completed", success=True)
    spine.submit("4", "run_user_shell_command", command="make test")
    spine.submit("5", "review", review_request={"target": {"type": "custom", "instructions": "look at a.py"}})
    rows = of_spine(tmp_path, spine).turns.sort("turn_index").select("kind", "user_message").rows()
    assert rows == [("prompt", "go"), ("compact", ""), ("undo", ""), ("shell", "make test"), ("review", "look at a.py")]


def test_an_undo_marks_the_turn_before_it(tmp_path):
    spine = (
        Spine()
        .meta()
        .prompt("1", "one")
        .done("1")
        .prompt("2", "two")
        .done("2")
        .submit("3", "undo")
        .event("3", "undo_completed", success=True)
    )
    assert of_spine(tmp_path, spine).turns.sort("turn_index")["undone"].to_list() == [False, True, False]


def test_a_rollback_of_n_marks_the_last_n_that_are_still_there(tmp_path):
    lines = [start(), *prompt(1, "one"), *answer(1, "1"), *prompt(2, "two"), *answer(2, "2")]
    lines += [
        line(3, "event_msg", {"type": "thread_rolled_back", "num_turns": 1}),
        *prompt(4, "three"),
        *answer(4, "3"),
    ]
    lines += [line(5, "event_msg", {"type": "thread_rolled_back", "num_turns": 2}), *prompt(6, "four")]
    found = of_rollout(tmp_path, lines)
    assert found.turns.sort("turn_index")["rolled_back"].to_list() == [True, True, True, False]


def test_going_back_to_an_earlier_point_in_a_new_file_rolls_back_what_was_left(tmp_path):
    from codex_loop_assets_tests.canon.tables import canonical
    from codex_loop_assets_tests.traces.building import rollout_path, write_rollout

    first = [line(0, "session_meta", meta(), ordinal=0)]
    first += [{**entry, "ordinal": n} for n, entry in enumerate([*prompt(1, "one"), *prompt(2, "two")], 1)]
    write_rollout(rollout_path(tmp_path), first)
    base = {"thread_id": THREAD, "end_ordinal_exclusive": 3}
    later = f"rollout-2026-02-02T08-00-00-{THREAD}_019c1b2e-9000-7d31-9a54-0f6f2b1c9d22.jsonl"
    write_rollout(
        tmp_path / "sessions/2026/02/02" / later,
        [line(90, "session_meta", meta(history_base=base), ordinal=3), *prompt(91, "three")],
    )
    rows = canonical(tmp_path).turns.sort("turn_index").select("user_message", "rolled_back").rows()
    assert rows == [("one", False), ("two", True), ("three", False)]


@pytest.mark.parametrize(
    ("records", "reason", "interrupted"),
    [
        (lambda s: s.submit("2", "interrupt"), "interrupted", True),
        (lambda s: s.submit("2", "shutdown"), "shutdown", False),
        (lambda s: s, "interrupted", True),
    ],
)
def test_why_a_turn_was_aborted(tmp_path, records, reason, interrupted):
    spine = records(Spine().meta().prompt("1", "go")).event("1", "turn_aborted", reason="interrupted")
    turn = of_spine(tmp_path, spine).turn()
    assert (turn["end_state"], turn["abort_reason"], turn["interrupted"]) == ("aborted", reason, interrupted)


def test_a_refused_approval_that_stops_the_turn_is_no_interrupt(tmp_path):
    spine = Spine().meta().prompt("1", "go")
    spine.event("1", "exec_approval_request", call_id="c1", turn_id="1", command=["bash", "-lc", "git push"], cwd="/x")
    spine.submit("2", "exec_approval", id="1", decision="abort").event("1", "turn_aborted", reason="interrupted")
    turn = of_spine(tmp_path, spine).turn()
    assert (turn["abort_reason"], turn["interrupted"]) == ("approval_abort", False)


def test_an_interrupt_made_by_an_agent_is_no_persons(tmp_path):
    spine = Spine().meta(source={"subagent": "review"}).prompt("0", "review it", kind="user_input")
    spine.submit("1", "interrupt").event("0", "turn_aborted", reason="interrupted")
    turn = of_spine(tmp_path, spine).turn()
    assert (turn["human"], turn["interrupted"]) == (False, False)


def test_a_task_complete_after_an_error_is_no_success(tmp_path):
    spine = (
        Spine()
        .meta()
        .prompt("1", "go")
        .event("1", "error", message="limit", codex_error_info="usage_limit_exceeded")
        .done("1", None)
    )
    assert of_spine(tmp_path, spine).turn()["end_state"] == "errored"


def test_an_error_on_the_way_to_an_answer_does_not_spoil_the_turn(tmp_path):
    spine = (
        Spine().meta().prompt("1", "go").event("1", "error", message="odd", codex_error_info="other").done("1", "Done.")
    )
    assert of_spine(tmp_path, spine).turn()["end_state"] == "completed"


def test_a_version_without_turn_ends_leaves_the_end_unknown_and_a_crash_leaves_it_open(tmp_path):
    found = of_rollout(tmp_path / "old", [start(), *prompt(1, "go"), *answer(2, "Done.")])
    assert found.turn()["end_state"] == "unknown"
    assert of_spine(tmp_path / "crash", Spine().meta().prompt("1", "go")).turn()["end_state"] == "open"


def test_usage_is_the_rise_of_the_totals_with_a_fall_as_a_new_start(tmp_path):
    lines = [
        start(),
        *prompt(1, "one"),
        tokens(2, 100),
        tokens(3, 100),
        tokens(4, 150),
        *prompt(5, "two"),
        tokens(6, 40),
        tokens(7, 60),
    ]
    found = of_rollout(tmp_path, lines)
    assert found.turns.sort("turn_index")["total_tokens"].to_list() == [150, 60]
    assert found.session()["total_tokens"] == 210


def test_compactions_are_counted_by_their_boundary_not_by_internal_ids(tmp_path):
    spine = (
        Spine().meta().event("auto-compact-0", "raw_response_item", item=said("developer", "rules")).prompt("1", "go")
    )
    spine.add(
        "compaction_boundary",
        {"turn_id": "1", "kind": "remote", "pre_compaction_history": [], "post_compaction_history": []},
    )
    spine.event("1", "context_compacted").done("1")
    assert of_spine(tmp_path, spine).turn()["compaction_count"] == 1


def test_a_parents_prompt_to_a_sub_agent_is_no_persons(tmp_path):
    source = {"subagent": {"thread_spawn": {"parent_thread_id": "019c0000-0000-7000-8000-000000000001", "depth": 1}}}
    found = of_spine(tmp_path, Spine().meta(source=source).prompt("0", "look around", kind="user_input").done("0"))
    session = found.session()
    assert (session["human"], session["excluded"], session["parent_thread_id"]) == (
        False,
        True,
        "019c0000-0000-7000-8000-000000000001",
    )
    assert session["session_source"] == "subagent:thread_spawn"


def test_a_script_asks_once_and_a_person_asks_again(tmp_path):
    script = {"originator": "codex_exec", "source": "exec"}
    once = of_rollout(tmp_path / "a", [line(0, "session_meta", meta(**script)), *prompt(1, "go"), *answer(2, "Done.")])
    again = of_rollout(
        tmp_path / "b",
        [line(0, "session_meta", meta(**script)), *prompt(1, "go"), *answer(2, "Done."), *prompt(3, "no")],
    )
    assert (once.session()["human"], once.session()["exclusion_reason"]) == (False, "machine-driven")
    assert (again.session()["human"], again.session()["excluded"]) == (True, False)


def test_a_late_event_belongs_to_the_turn_that_started_it(tmp_path):
    spine = Spine().meta().prompt("1", "start the server")
    spine.item("1", type="function_call", name="exec_command", arguments='{"cmd":"serve"}', call_id="c1").done("1")
    spine.prompt("2", "thanks").event(
        "1", "exec_command_end", call_id="c1", turn_id="1", command=["serve"], exit_code=0
    ).done("2")
    found = of_spine(tmp_path, spine)
    assert found.turns.sort("turn_index")["tool_call_count"].to_list() == [1, 0]
    assert found.call("c1")["exit_code"] == 0


def test_keys_are_unique_over_every_thread(tmp_path):
    spine = Spine().meta().prompt("1", "go").done("1").prompt("2", "go").done("2")
    found = of_spine(tmp_path, spine)
    assert found.turns.select("thread_id", "run", "seq_start").is_unique().all()
    assert found.turns["turn_id"].null_count() == 0 and (found.turns["seq_end"] >= found.turns["seq_start"]).all()
    assert found.turns.filter(pl.col("duration_ms") < 0).is_empty()
