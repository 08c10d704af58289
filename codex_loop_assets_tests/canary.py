"""A session with a telling word in every kind of text field that Codex writes, as a rollout and as a spine.

What belongs here: the session. What does not: where the word must not come out (the tests of outlets and of forgetting).
"""

from __future__ import annotations

import hashlib
import json
import os
import string
from pathlib import Path

from codex_loop_assets_tests.traces.building import Spine, dumps, said

FIELDS = (
    "prompt", "answer", "reasoning", "argument", "justification", "output", "patch", "path", "cwd", "branch", "remote", "commit",
    "error", "warning", "plan", "question", "header", "option", "server", "tool", "mcpargument", "mcpresult", "query", "summary",
    "stdin", "shelled", "instructions", "model", "originator", "role", "lastmessage", "unknownevent", "rollbackmessage",
    "reason", "amendment", "finding", "hint", "bridge", "steer", "diff", "unified", "version", "provider", "artifact", "snapshot",
    "baseline", "image", "skill", "mention", "developer", "userinstructions", "collaboration", "answered", "dynamic", "dynamicresult",
    "elicited", "viewed", "stderr", "host", "deprecated", "background", "rolloutpath", "child", "childerror", "nickname", "serverconfig",
    "history", "url", "threadname", "hook", "goal", "additional", "unknownop", "unknownrecord", "unknownfield",
)  # fmt: skip


def words(token: str) -> dict[str, str]:
    """Field -> the token with the field's name, so that a leak says where it came from."""
    return {field: f"{token}{field}" for field in FIELDS}


def secrets(seed: str) -> dict[str, str]:
    """Field -> an access token of its own, made here so that no file of the project holds one."""
    digests = {field: hashlib.sha512(f"{seed}{field}".encode()).digest() for field in FIELDS}
    alphabet = string.ascii_letters + string.digits
    return {field: "gh" + "p_" + "".join(alphabet[byte % 62] for byte in digests[field][:36]) for field in FIELDS}


def spine_session(codex: Path, thread: str, w: dict[str, str], day: str = "2026-03-01") -> Path:
    """A spine of one thread with a word in every field; a build that fails three times over, refusals, errors, a plan, a
    compaction, a rollback, an undo, a review, sub-agents and tools of servers."""
    spine = Spine(thread)
    seconds = _seconds(day)
    git = {
        "commit_hash": w["commit"],
        "branch": w["branch"],
        "repository_url": f"https://git.example.org/{w['remote']}.git",
    }
    spine.meta(
        cwd=f"/home/ann/{w['cwd']}", timestamp=f"{day}T10:00:00.000Z", instructions=w["instructions"], originator=w["originator"],
        cli_version=w["version"], model_provider=w["provider"], agent_nickname=w["nickname"], agent_role=w["role"],
        base_instructions={"text": w["instructions"]}, any_new_field=w["unknownfield"],
    )  # fmt: skip
    spine.event("", "session_configured", session_id=thread, model=w["model"], cwd=f"/home/ann/{w['cwd']}")
    spine.add("artifact_ref", {"kind": "git_info", "repo_root": f"/home/ann/{w['cwd']}", "git": git})
    _start(spine, w)
    spine.prompt("0", f"make the build of {w['prompt']} pass")
    _tools(spine, w)
    _asked_and_answered(spine, w)
    for turn, text in (
        ("2", f"no, that is wrong: {w['steer']} is still broken, as before"),
        ("4", f"still fails: {w['prompt']}"),
    ):
        spine.prompt(turn, text)
        _failing_build(spine, turn, w)
        spine.event(turn, "agent_message", message=f"I looked at {w['answer']}.")
        spine.done(turn, f"Done with {w['lastmessage']}.")
    _controls(spine, w)
    _sub_agents(spine, w)
    for number, record in enumerate(spine.records):
        record["timestamp"] = f"{day}T10:{number // 60 % 60:02d}:{number % 60:02d}.{number % 1000:03d}Z"
    folder = spine.write(codex)
    for path in folder.rglob("*"):
        os.utime(path, (seconds, seconds))
    return folder


def _failing_build(spine: Spine, turn: str, w: dict[str, str]) -> None:
    for attempt in range(2):
        spine.shell(turn, f"call_{turn}_{attempt}", f"make {w['argument']}", 2, f"make: *** [{w['output']}] Error 1")


def _start(spine: Spine, w: dict[str, str]) -> None:
    """What a session records before anybody has said anything, most of it nowhere but in a spine."""
    for kind in ("git_diff", "shell_snapshot"):
        place = {"artifact_path": f"artifacts/{w['artifact']}", "sha256": w["snapshot"], "base_sha": w["baseline"]}
        spine.add("artifact_ref", {"kind": kind, "shell": "bash", **place})
    spine.event(
        "", "session_configured", session_id=spine.thread, model=w["model"], rollout_path=f"/tmp/{w['rolloutpath']}"
    )
    spine.event("", "deprecation_notice", summary=w["deprecated"], details=w["deprecated"])
    spine.item("0", **said("developer", w["developer"]))
    spine.item("0", **said("user", f"# AGENTS.md instructions for {w['userinstructions']}"))
    spine.item("0", **said("user", f"<hook_prompt>{w['hook']}</hook_prompt>"))
    settings = {"model": w["model"], "reasoning_effort": None, "developer_instructions": w["collaboration"]}
    context = {
        "cwd": f"/home/ann/{w['cwd']}", "model": w["model"], "user_instructions": w["userinstructions"],
        "developer_instructions": w["developer"], "collaboration_mode": {"mode": "custom", "settings": settings},
    }  # fmt: skip
    spine.add("turn_context", {"turn_id": "0", "context": context})
    config = {"mcp_servers": {w["server"]: {"env": {"KEY": w["serverconfig"]}}}}
    spine.submit("80", "refresh_mcp_servers", config=config)
    spine.submit("81", "add_to_history", text=w["history"])
    spine.submit("82", "list_skills", cwds=[f"/home/ann/{w['cwd']}"])
    spine.submit("83", f"op_{w['unknownop']}", anything=w["unknownop"])
    spine.add(f"record_{w['unknownrecord']}", {"anything": w["unknownrecord"]})
    items = [
        {"type": "text", "text": f"also look at {w['steer']}", "text_elements": []},
        {"type": "local_image", "path": f"/tmp/{w['image']}.png"},
        {"type": "image", "image_url": f"https://images.example.org/{w['image']}"},
        {"type": "skill", "name": w["skill"], "path": f"/tmp/{w['skill']}"},
        {"type": "mention", "name": w["mention"], "path": f"/tmp/{w['mention']}"},
    ]
    spine.submit("84", "user_input", items=items)
    spine.event("84", "thread_name_updated", thread_name=w["threadname"])
    spine.event("84", "thread_goal_updated", goal={"objective": w["goal"]})


def _asked_and_answered(spine: Spine, w: dict[str, str]) -> None:
    """Questions of the agent and its tools, and what people and clients said to them."""
    answers = {"answers": {"q": {"answers": [w["answered"]]}}}
    spine.submit("70", "user_input_answer", id="0", response=answers)
    spine.submit(
        "71",
        "resolve_elicitation",
        server_name=w["server"],
        request_id=w["elicited"],
        decision="accept",
        content=w["elicited"],
    )
    dynamic = {"callId": "call_dynamic", "output": w["dynamicresult"], "success": False}
    spine.event(
        "0",
        "dynamic_tool_call_request",
        callId="call_dynamic",
        turnId="0",
        tool=w["tool"],
        arguments={"a": w["dynamic"]},
    )
    spine.submit("72", "dynamic_tool_response", id="call_dynamic", response=dynamic)
    network = {"network_policy_amendment": {"network_policy_amendment": {"host": w["host"], "action": "deny"}}}
    spine.event(
        "0", "exec_approval_request", call_id="call_net", turn_id="0", command=["curl", w["host"]], reason=w["reason"]
    )
    spine.submit("73", "exec_approval", id="0", decision=network)
    saved = {"approved_execpolicy_amendment": {"proposed_execpolicy_amendment": ["make", w["amendment"]]}}
    spine.event("0", "exec_approval_request", call_id="call_make", turn_id="0", command=["make", w["argument"]])
    spine.submit("74", "exec_approval", id="0", decision=saved)
    spine.event("0", "apply_patch_approval_request", call_id="call_edit", turn_id="0", reason=w["reason"],
                changes={f"/tmp/{w['path']}": {"type": "update", "unified_diff": f"+{w['unified']}", "move_path": w["path"]}})  # fmt: skip
    spine.submit("75", "patch_approval", id="0", decision={"denied": {"rejection": w["reason"]}})
    spine.event("0", "view_image_tool_call", call_id="call_view", path=f"/tmp/{w['viewed']}.png")
    spine.event("0", "background_event", message=w["background"])
    spine.event(
        "0",
        "web_search_end",
        call_id="call_open",
        query="",
        action={"type": "open_page", "url": f"https://{w['url']}.org"},
    )
    spine.shell_end(
        "0", "call_err", f"python {w['unified']}.py", 1, w["output"], f"ImportError: no module {w['stderr']}"
    )
    spine.event(
        "0", "error", message=w["error"], codex_error_info={"http_connection_failed": {"http_status_code": w["error"]}}
    )
    spine.event("0", "task_complete", last_agent_message=w["lastmessage"], error={"message": w["additional"]})


def _sub_agents(spine: Spine, w: dict[str, str]) -> None:
    child = "019c0000-0000-7000-8000-0000000c0de0"
    about = {"call_id": "call_wait", "sender_thread_id": spine.thread, "receiver_thread_id": child}
    spine.event("6", "collab_agent_spawn_end", **about, new_thread_id=child, prompt=w["bridge"], agent_nickname=w["nickname"],
                status={"errored": w["childerror"]})  # fmt: skip
    spine.event("6", "collab_waiting_end", **about, statuses={child: {"completed": w["child"]}})
    spine.event("6", "collab_agent_interaction_end", **about, prompt=w["bridge"], status={"completed": w["child"]})
    spine.add(
        "bridge",
        {"bridge_kind": "request_user_input", "parent_thread_id": spine.thread, "parent_turn_id": "6", "sub_agent_thread_id": child,
         "sub_agent_turn_id": "0", "sub_agent_call_id": w["bridge"],
         "user_input_response": {"answers": {"q": {"answers": [w["answered"]]}}}},
    )  # fmt: skip


def _tools(spine: Spine, w: dict[str, str]) -> None:
    _failing_build(spine, "0", w)
    spine.item(
        "0", type="reasoning", summary=[{"type": "summary_text", "text": w["reasoning"]}], encrypted_content="gAAA"
    )
    spine.event("0", "agent_reasoning", text=w["reasoning"])
    arguments = json.dumps({"command": f"git push {w['remote']}", "justification": w["justification"]})
    for number in range(3):
        call = f"call_push_{number}"
        spine.item("0", type="function_call", name="shell_command", arguments=arguments, call_id=call)
        spine.event("0", "exec_approval_request", call_id=call, turn_id="0", command=["bash", "-lc", f"git push {w['argument']}"],
                    cwd=f"/home/ann/{w['cwd']}", reason=w["reason"], proposed_execpolicy_amendment=["git", w["amendment"]])  # fmt: skip
        spine.submit(f"9{number}", "exec_approval", id="0", decision={"denied": {"rejection": w["reason"]}})
        spine.item("0", type="function_call_output", call_id=call, output="exec command rejected by user")
    patch = f"*** Begin Patch\n*** Add File: src/{w['path']}.py\n+{w['patch']}\n*** End Patch"
    spine.item("0", type="custom_tool_call", name="apply_patch", input=patch, call_id="call_patch")
    changes = {f"/home/ann/{w['cwd']}/src/{w['path']}.py": {"type": "add", "content": w["patch"]}}
    spine.event("0", "patch_apply_begin", call_id="call_patch", turn_id="0", auto_approved=True, changes=changes)
    spine.event(
        "0",
        "patch_apply_end",
        call_id="call_patch",
        turn_id="0",
        stdout="",
        stderr=w["error"],
        success=False,
        changes=changes,
    )
    spine.event("0", "turn_diff", unified_diff=f"--- a\n+++ b\n+{w['diff']}")
    spine.event("0", "plan_update", explanation=w["plan"], plan=[{"step": w["plan"], "status": "in_progress"}])
    question = {
        "id": "q",
        "header": w["header"],
        "question": w["question"],
        "options": [{"label": w["option"], "description": ""}],
    }
    spine.event("0", "request_user_input", call_id="call_ask", turn_id="0", questions=[question])
    invocation = {"server": w["server"], "tool": w["tool"], "arguments": {"a": w["mcpargument"]}}
    spine.event("0", "mcp_tool_call_begin", call_id="call_mcp", invocation=invocation)
    spine.event("0", "mcp_tool_call_end", call_id="call_mcp", invocation=invocation, duration={"secs": 1, "nanos": 0},
                result={"Err": w["mcpresult"]})  # fmt: skip
    spine.event(
        "0", "web_search_end", call_id="call_web", query=w["query"], action={"type": "search", "query": w["query"]}
    )
    spine.event("0", "terminal_interaction", call_id="call_0_0", process_id="1", stdin=w["stdin"])
    spine.event("0", "error", message=f"stream failed: {w['error']}", codex_error_info="other")
    spine.event("0", "stream_error", message=w["error"], codex_error_info=None, additional_details=w["error"])
    spine.event("0", "warning", message=f"output truncated: {w['warning']}")
    spine.event("0", f"event_{w['unknownevent']}", anything=w["unknownevent"])
    spine.done("0", f"Done with {w['lastmessage']}.")


def _controls(spine: Spine, w: dict[str, str]) -> None:
    spine.submit("5", "run_user_shell_command", command=f"ls {w['shelled']}")
    spine.event("5", "undo_started", message=w["rollbackmessage"])
    spine.event("5", "undo_completed", success=True, message=w["rollbackmessage"])
    history = [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": w["summary"]}]}]
    for _ in range(2):
        spine.add("compaction_boundary", {"turn_id": "4", "kind": "local", "summary_message": w["summary"],
                                          "pre_compaction_history": history, "post_compaction_history": history})  # fmt: skip
    spine.submit("6", "review", review_request={"target": {"type": "custom", "instructions": w["instructions"]}})
    spine.event(
        "6",
        "entered_review_mode",
        target={"type": "custom", "instructions": w["instructions"]},
        user_facing_hint=w["hint"],
    )
    finding = {"title": w["finding"], "body": w["finding"], "code_location": {"absolute_file_path": w["path"]}}
    spine.event("6", "exited_review_mode", review_output={"findings": [finding], "overall_explanation": w["finding"]})
    spine.event(
        "6", "collab_agent_spawn_begin", call_id="call_spawn", sender_thread_id=spine.thread, prompt=w["bridge"]
    )
    spine.submit("7", "thread_rollback", num_turns=1)
    spine.event("7", "thread_rolled_back", num_turns=1)


def _seconds(day: str) -> float:
    from datetime import UTC, datetime

    return datetime.fromisoformat(f"{day}T11:00:00").replace(tzinfo=UTC).timestamp()


def occurrences(root: Path, token: str) -> dict[str, set[str]]:
    """File below `root` -> words with the token that it holds: as plain bytes, in Parquet, in Lance and in SQLite (free
    pages included, because those are plain bytes)."""
    found: dict[str, set[str]] = {}

    def note(path: Path, text: str) -> None:
        held = {text[at : at + 40] for at in _places(text, token)}
        if held:
            found.setdefault(path.relative_to(root).as_posix(), set()).update(held)

    for path in root.rglob("*"):
        if path.suffix == ".lance" and path.is_dir():
            note(path, _lance_text(path))
        elif path.is_file():
            note(path, path.read_bytes().decode("latin-1"))
            if path.suffix == ".parquet":
                note(path, _parquet_text(path))
            elif path.suffix in (".gz", ".zst"):
                note(path, _unpacked(path))
    return found


def _places(text: str, token: str) -> list[int]:
    import re

    return [match.start() for match in re.finditer(re.escape(token), text)]


def _parquet_text(path: Path) -> str:
    import duckdb

    rows = duckdb.sql(f"SELECT to_json(t) FROM read_parquet('{path}', hive_partitioning = false) t").fetchall()
    return "\n".join(dumps(row[0]).decode() for row in rows)


def _lance_text(path: Path) -> str:
    """Texts of every version that can still be read."""
    import lancedb

    table = lancedb.connect(str(path.parent)).open_table(path.stem)
    texts = []
    for version in [entry["version"] for entry in table.list_versions()]:
        table.checkout(version)
        texts += table.to_arrow().select(["id", "subject", "text"]).to_pylist()
    return "\n".join(str(row) for row in texts)


def _unpacked(path: Path) -> str:
    import gzip

    import zstandard

    data = path.read_bytes()
    return (gzip.decompress(data) if path.suffix == ".gz" else zstandard.decompress(data)).decode("latin-1")
