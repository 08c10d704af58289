"""Tool calls: request, approval, execution and result joined, whatever of them was recorded."""

import json

import polars as pl
import pytest

from codex_loop_assets_tests.canon.tables import of_rollout, of_spine
from codex_loop_assets_tests.traces.building import OTHER, THREAD, Spine, call, exited, line, meta, prompt


def asked(spine: Spine, turn: str, call_id: str, command: str = "git push", **more: object) -> Spine:
    return spine.event(
        turn, "exec_approval_request", call_id=call_id, turn_id=turn, command=["bash", "-lc", command], cwd="/x", **more
    )


def requested(spine: Spine, turn: str, call_id: str, command: str = "git push") -> Spine:
    arguments = json.dumps({"command": command})
    return spine.item(turn, type="function_call", name="shell_command", arguments=arguments, call_id=call_id)


def start() -> list[dict]:
    return [line(0, "session_meta", meta()), *prompt(1, "go")]


def output(seconds: float, call_id: str, text: str) -> dict:
    return line(seconds, "response_item", {"type": "function_call_output", "call_id": call_id, "output": text})


def request(seconds: float, call_id: str, name: str, arguments: dict) -> dict:
    item = {"type": "function_call", "name": name, "arguments": json.dumps(arguments), "call_id": call_id}
    return line(seconds, "response_item", item)


def test_request_execution_and_result_are_one_call(tmp_path):
    found = of_spine(
        tmp_path, Spine().meta().prompt("1", "go").shell("1", "c1", "pytest -q", 1, "1 failed\n").done("1")
    )
    assert found.calls.height == 1
    row = found.call("c1")
    assert (row["name"], row["tool"], row["command"], row["exit_code"], row["exit_code_from"], row["success"], row["status"]) == (
        "shell", "shell_command", "pytest -q", 1, "event", False, "failed",
    )  # fmt: skip
    assert (row["duration_ms"], row["approval"], row["approval_requests"], row["actor"], row["parsed"]) == (
        1500,
        "auto",
        0,
        "agent",
        "unknown",
    )
    assert row["seq_end"] > row["seq_start"] and row["turn_id"] == "1"


def test_a_rollout_has_the_exit_code_from_the_text_and_cannot_see_approvals(tmp_path):
    row = of_rollout(tmp_path, [*start(), *call(2, "c1", "ls", exited(2, "no"))]).call("c1")
    assert (row["exit_code"], row["exit_code_from"], row["approval"], row["output"], row["status"]) == (
        2,
        "output_text",
        None,
        "no",
        "failed",
    )


def test_several_decisions_of_a_turn_name_the_turn_and_each_answers_the_latest_question(tmp_path):
    spine = Spine().meta().prompt("1", "go")
    asked(requested(spine, "1", "c1"), "1", "c1").submit("2", "exec_approval", id="1", decision="approved").shell_end(
        "1", "c1", "git push", 0
    )
    asked(requested(spine, "1", "c2"), "1", "c2").submit("3", "exec_approval", id="1", decision="denied")
    spine.shell_end("1", "c2", "git push", -1, stderr="exec command rejected by user")
    found = of_spine(tmp_path, spine.done("1"))
    assert (found.call("c1")["approval"], found.call("c1")["status"]) == ("approved", "completed")
    assert (found.call("c2")["approval"], found.call("c2")["status"], found.call("c2")["success"]) == (
        "denied",
        "declined",
        None,
    )
    assert not found.calls["ambiguous_approval"].any()


def test_later_builds_name_the_approval_or_the_call(tmp_path):
    spine = Spine().meta().prompt("1", "go")
    asked(requested(spine, "1", "c1"), "1", "c1", approval_id="a1")
    asked(requested(spine, "1", "c2"), "1", "c2")
    spine.submit("2", "exec_approval", id="c2", turn_id="1", decision="approved_for_session")
    spine.submit("3", "exec_approval", id="a1", turn_id="1", decision={"denied": {"rejection": "no"}})
    found = of_spine(tmp_path, spine)
    assert (found.call("c1")["approval"], found.call("c2")["approval"]) == ("denied", "approved_for_session")


def test_a_question_that_a_newer_one_replaced_stays_unanswered(tmp_path):
    spine = Spine().meta().prompt("1", "go")
    asked(requested(spine, "1", "c1"), "1", "c1")
    asked(requested(spine, "1", "c2"), "1", "c2").submit("2", "exec_approval", id="1", decision="approved")
    found = of_spine(tmp_path, spine)
    assert (found.call("c1")["approval"], found.call("c2")["approval"], found.call("c2")["ambiguous_approval"]) == (
        "unanswered",
        "approved",
        True,
    )


def test_a_decision_goes_to_a_question_of_its_own_kind(tmp_path):
    spine = Spine().meta().prompt("1", "go")
    asked(requested(spine, "1", "c1"), "1", "c1")
    spine.event(
        "1", "apply_patch_approval_request", call_id="p1", turn_id="1", changes={"/a": {"type": "add", "content": ""}}
    )
    spine.submit("2", "exec_approval", id="1", decision="abort")
    found = of_spine(tmp_path, spine)
    assert (found.call("c1")["approval"], found.call("p1")["approval"]) == ("abort", "unanswered")


def test_a_sandbox_retry_with_the_same_id_is_one_call_with_two_questions(tmp_path):
    spine = Spine().meta().prompt("1", "go")
    asked(requested(spine, "1", "c1"), "1", "c1").submit("2", "exec_approval", id="1", decision="approved")
    asked(spine, "1", "c1", reason="command failed; retry without sandbox?").submit(
        "3", "exec_approval", id="1", decision="approved"
    )
    found = of_spine(tmp_path, spine.shell_end("1", "c1", "git push", 0).done("1"))
    assert found.calls.height == 1 and found.call("c1")["approval_requests"] == 2


def test_an_id_that_a_provider_uses_again_is_another_call(tmp_path):
    found = of_rollout(tmp_path, [*start(), *call(2, "c1", "ls", exited(0)), *call(5, "c1", "cat x", exited(1))])
    assert found.calls.sort("seq_start").select("command", "exit_code").rows() == [("ls", 0), ("cat x", 1)]


def test_a_sub_agents_question_in_its_parent_is_a_call_of_a_sub_agent(tmp_path):
    spine = Spine().meta().prompt("8", "review")
    for number in range(2):
        asked(spine, "8", "8", f"rm {number}").submit(str(9 + number), "exec_approval", id="8", decision="denied")
        spine.add(
            "bridge",
            {
                "bridge_kind": "exec_approval",
                "parent_thread_id": THREAD,
                "parent_turn_id": "8",
                "sub_agent_thread_id": OTHER,
                "sub_agent_turn_id": "0",
                "sub_agent_call_id": f"c{number}",
                "decision": "denied",
            },
        )
    found = of_spine(tmp_path, spine.done("8"))
    assert found.calls.select("actor", "approval", "command").rows() == [
        ("subagent", "denied", "rm 0"),
        ("subagent", "denied", "rm 1"),
    ]


def test_a_reviewers_parent_is_known_from_the_bridge(tmp_path):
    parent = (
        Spine()
        .meta()
        .prompt("8", "review")
        .add("bridge", {"bridge_kind": "exec_approval", "sub_agent_thread_id": OTHER, "decision": "approved"})
    )
    parent.write(tmp_path)
    found = of_spine(tmp_path, Spine(OTHER).meta(source={"subagent": "review"}).prompt("0", "look", kind="user_input"))
    assert found.session(OTHER)["parent_thread_id"] == THREAD


def test_a_background_command_gets_the_exit_code_that_a_later_write_reports(tmp_path):
    lines = [
        *start(),
        request(2, "c1", "exec_command", {"cmd": "make"}),
        output(3, "c1", "Wall time: 1.0 seconds\nProcess running with session ID 42\nOutput:\nbuilding"),
        request(4, "c2", "write_stdin", {"session_id": 42, "chars": ""}),
        output(5, "c2", "Wall time: 1.0 seconds\nProcess running with session ID 42\nOutput:\nstill"),
        request(6, "c3", "write_stdin", {"session_id": 42, "chars": ""}),
        output(7, "c3", "Wall time: 1.0 seconds\nProcess exited with code 2\nOutput:\nboom"),
    ]
    found = of_rollout(tmp_path, lines)
    row = found.call("c1")
    assert (row["exit_code"], row["exit_code_from"], row["status"], row["seq_end"]) == (2, "output_text", "failed", 9)
    assert row["output"] == "building\nboom"
    assert found.calls.filter(pl.col("success") == False).height == 1  # noqa: E712


def test_a_background_command_without_an_end_is_running(tmp_path):
    lines = [
        *start(),
        request(2, "c1", "exec_command", {"cmd": "serve"}),
        output(3, "c1", "Wall time: 1.0 seconds\nProcess running with session ID 7\nOutput:\n"),
    ]
    row = of_rollout(tmp_path, lines).call("c1")
    assert (row["exit_code"], row["status"], row["success"]) == (None, "running", None)


@pytest.mark.parametrize(
    ("text", "status", "approval", "success"),
    [
        ("exec command rejected by user", "declined", "denied", None),
        ('exec_command failed: Rejected("rejected by user")', "declined", "denied", None),
        ("patch rejected: rejected by user approval settings", "declined", None, None),
        ("aborted by user after 3.0s", "aborted", None, None),
        ("execution error: no such file", "failed", None, False),
        ("command timed out after 1000 milliseconds", "timed_out", None, False),
        (exited(124), "timed_out", None, False),
        (exited(0), "completed", None, True),
        ("some text without a code", "completed", None, None),
    ],
)
def test_how_a_call_ended_when_only_the_text_tells(tmp_path, text, status, approval, success):
    row = of_rollout(tmp_path, [*start(), *call(2, "c1", "git push", text)]).call("c1")
    assert (row["status"], row["approval"], row["success"]) == (status, approval, success)


def test_a_call_without_any_result_in_an_aborted_turn_was_aborted(tmp_path):
    lines = [
        *start(),
        request(2, "c1", "shell", {"command": ["sleep", "9"]}),
        line(3, "event_msg", {"type": "turn_aborted", "reason": "interrupted"}),
    ]
    assert of_rollout(tmp_path, lines).call("c1")["status"] == "aborted"


def test_a_patch_names_its_files_and_keeps_its_changes(tmp_path):
    patch = "*** Begin Patch\n*** Update File: src/a.py\n@@\n-x\n+y\n*** Add File: b.py\n+z\n*** End Patch"
    changes = {"/home/ann/app/src/a.py": {"type": "update", "unified_diff": "@@ -1 +1 @@\n-x\n+y\n", "move_path": None}}
    spine = (
        Spine()
        .meta()
        .prompt("1", "go")
        .item("1", type="custom_tool_call", name="apply_patch", input=patch, call_id="p1")
    )
    spine.event("1", "patch_apply_begin", call_id="p1", turn_id="1", auto_approved=True, changes=changes)
    spine.event(
        "1", "patch_apply_end", call_id="p1", turn_id="1", success=True, stdout="Success.", stderr="", changes=changes
    )
    row = of_spine(tmp_path, spine.done("1")).call("p1")
    assert (row["name"], row["success"], row["paths"], row["command"]) == (
        "apply_patch",
        True,
        ["src/a.py", "b.py"],
        "apply_patch src/a.py b.py",
    )
    assert json.loads(row["changes"]) == changes


def test_a_patch_refused_by_a_person(tmp_path):
    spine = (
        Spine()
        .meta()
        .prompt("1", "go")
        .item("1", type="custom_tool_call", name="apply_patch", input="*** Begin Patch", call_id="p1")
    )
    spine.event(
        "1",
        "apply_patch_approval_request",
        call_id="p1",
        turn_id="1",
        changes={"/a": {"type": "delete", "content": ""}},
    )
    spine.submit("2", "patch_approval", id="1", decision="abort")
    spine.event(
        "1",
        "patch_apply_end",
        call_id="p1",
        turn_id="1",
        success=False,
        stdout="",
        stderr="patch rejected by user",
        changes={},
    )
    row = of_spine(tmp_path, spine).call("p1")
    assert (row["approval"], row["status"], row["success"]) == ("abort", "declined", None)


def test_mcp_calls_are_named_by_server_and_tool(tmp_path):
    spine = (
        Spine()
        .meta()
        .prompt("1", "go")
        .item("1", type="function_call", name="mcp__docs__find", arguments="{}", call_id="m1")
    )
    invocation = {"server": "docs", "tool": "find", "arguments": {}}
    spine.event(
        "1",
        "mcp_tool_call_end",
        call_id="m1",
        invocation=invocation,
        duration={"secs": 0, "nanos": 5_000_000},
        result={"Ok": {"content": [], "isError": True}},
    )
    spine.item("1", type="function_call", name="mcp__docs__list_all", arguments="{}", call_id="m2")
    found = of_spine(tmp_path, spine)
    assert (found.call("m1")["name"], found.call("m1")["success"], found.call("m1")["duration_ms"]) == (
        "mcp:docs.find",
        False,
        5,
    )
    assert found.call("m2")["name"] == "mcp:docs.list_all"


def test_a_web_search_counts_once_though_item_and_event_share_no_id(tmp_path):
    spine = Spine().meta().prompt("1", "go").event("1", "web_search_begin", call_id="ws1")
    spine.event("1", "web_search_end", call_id="ws1", query="q", action={"type": "search"}).item(
        "1", type="web_search_call", status="completed", action={"type": "search", "query": "q"}
    )
    found = of_spine(tmp_path, spine)
    assert found.calls.select("name", "call_id").rows() == [("web_search", "ws1")]


def test_a_users_own_command_is_the_users(tmp_path):
    spine = Spine().meta().submit("1", "run_user_shell_command", command="make test").event("1", "task_started")
    spine.event(
        "1",
        "exec_command_begin",
        call_id="u1",
        turn_id="1",
        command=["bash", "-lc", "make test"],
        cwd="/x",
        source="user_shell",
    )
    spine.event(
        "1",
        "exec_command_end",
        call_id="u1",
        turn_id="1",
        command=["bash", "-lc", "make test"],
        cwd="/x",
        source="user_shell",
        exit_code=2,
        aggregated_output="boom",
    )
    assert of_spine(tmp_path / "a", spine).call("u1")["actor"] == "user"
    text = "<user_shell_command>\n<command>\nmake test\n</command>\n<result>\nExit code: 2\nDuration: 1.0 seconds\nOutput:\nboom\n</result>\n</user_shell_command>"
    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
    found = of_rollout(tmp_path / "b", [*start(), line(3, "response_item", item)])
    row = found.calls.row(0, named=True)
    assert (row["actor"], row["command"], row["exit_code"], row["name"]) == ("user", "make test", 2, "shell")
    assert found.turns.sort("turn_index")["kind"].to_list() == ["prompt", "shell"]


def test_a_result_without_a_request_is_kept(tmp_path):
    found = of_rollout(tmp_path, [*start(), output(2, "gone", exited(1)), output(3, "", exited(1))])
    assert found.calls.select("name", "exit_code").rows() == [("unknown", 1), ("unknown", 1)]
