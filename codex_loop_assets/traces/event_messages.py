"""Codex's events (`EventMsg`) as event content: `event` records of a spine, `event_msg` lines of a rollout.

Aliases are folded here (turn_started -> task_started, ...). Events that say nothing about the session are in `NOISE`:
they are counted by the caller and not stored.
"""

from __future__ import annotations

from codex_loop_assets.traces import commands
from codex_loop_assets.traces.row import Content, content, present, words
from codex_loop_assets.traces.scaffolding import own_words, scaffold_prefix
from codex_loop_assets.traces.settings import ReadSettings
from codex_loop_assets.traces.values import (
    boolean,
    cut,
    integer,
    mapping,
    milliseconds,
    plain_path,
    sequence,
    string,
    tag,
    to_json,
)  # fmt: skip

ALIASES = {"turn_started": "task_started", "turn_complete": "task_complete"}

NOISE = frozenset({
    "get_history_entry_response", "list_custom_prompts_response", "list_skills_response", "mcp_list_tools_response",
    "skills_update_available", "mcp_startup_update", "mcp_startup_complete", "agent_reasoning_section_break",
    "item_started",
    "raw_response_completed",
})  # fmt: skip


def user_message(msg: dict, settings: ReadSettings) -> Content:
    """A prompt. The builds of autumn 2025 also sent injected context this way, told by `kind`."""
    text = string(msg.get("message")) or ""
    kind = msg.get("kind")
    scaffold = kind if kind in ("user_instructions", "environment_context") else scaffold_prefix(text, settings)
    if scaffold:
        return words("user_message", "user", cut(text, settings.scaffold_limit), {"scaffold": scaffold})
    images = len(sequence(msg.get("images"))) + len(sequence(msg.get("local_images")))
    text = cut(own_words(text, settings), settings.user_text_limit)
    return words("user_message", "user", text, {"images": images} if images else None)


def agent_message(msg: dict, settings: ReadSettings) -> Content:
    phase = string(msg.get("phase"))
    text = cut(string(msg.get("message")), settings.text_limit)
    return words("agent_message", "assistant", text, {"phase": phase} if phase else None)


def agent_reasoning(msg: dict, settings: ReadSettings) -> Content:
    return words(msg["type"], None, cut(string(msg.get("text")), settings.text_limit))


def token_count(msg: dict, settings: ReadSettings) -> Content:
    """Usage so far. Only totals are kept: `last_token_usage` is an estimate after a compaction or rollback."""
    info = mapping(msg.get("info"))
    total = mapping(info.get("total_token_usage"))
    window = integer(info.get("model_context_window"))
    used = integer(mapping(info.get("last_token_usage")).get("total_tokens"))
    detail = present(context_tokens=used, context_window=window)
    return content("token_count", tokens=to_json(total) if total else None, detail=detail)


def task_started(msg: dict, settings: ReadSettings) -> Content:
    return content("task_started", detail=present(context_window=integer(msg.get("model_context_window"))))


def task_complete(msg: dict, settings: ReadSettings) -> Content:
    """The end of a turn, which does not mean success: `detail.error` where the version writes it."""
    error = msg.get("error")
    text = cut(string(msg.get("last_agent_message")), settings.text_limit)
    detail = {"error": cut(string(error), 1000)} if error else None
    return content("task_complete", text=text, duration_ms=integer(msg.get("duration_ms")), detail=detail)


def turn_aborted(msg: dict, settings: ReadSettings) -> Content:
    detail = present(reason=tag(msg.get("reason")))
    return content("turn_aborted", duration_ms=integer(msg.get("duration_ms")), detail=detail)


def session_configured(msg: dict, settings: ReadSettings) -> Content:
    """Start of a process run. `initial_messages` replays the whole past and is not looked into."""
    detail = present(
        id=string(msg.get("session_id")),
        forked_from_id=string(msg.get("forked_from_id")),
        model=string(msg.get("model")),
        model_provider=string(msg.get("model_provider_id")),
        approval_policy=tag(msg.get("approval_policy")),
        sandbox_policy=tag(msg.get("sandbox_policy")),
        effort=tag(msg.get("reasoning_effort")),
    )
    return content("session_configured", cwd=plain_path(msg.get("cwd")), detail=detail)


def exec_command(msg: dict, settings: ReadSettings) -> Content:
    """exec_command_begin and exec_command_end."""
    parsed = msg.get("parsed_cmd")
    source, output = tag(msg.get("source")), None
    detail = present(
        source=None if source == "agent" else source,
        process_id=string(msg.get("process_id")),
        parsed=commands.parsed_kinds(parsed),
        status=tag(msg.get("status")),
        interaction_input=cut(string(msg.get("interaction_input")), 500),
    )
    if msg["type"] == "exec_command_end":
        output = msg.get("aggregated_output") or msg.get("formatted_output") or None
        if not output:
            output = (string(msg.get("stdout")) or "") + (string(msg.get("stderr")) or "")
        if msg.get("exit_code") == -1:
            detail["stderr"] = cut(string(msg.get("stderr")), 500)
    return content(
        msg["type"],
        call_id=string(msg.get("call_id")),
        text=cut(string(output), settings.text_limit),
        command=commands.display(msg.get("command")),
        cwd=plain_path(msg.get("cwd")),
        exit_code=msg.get("exit_code"),
        duration_ms=milliseconds(msg.get("duration")),
        paths=commands.parsed_files(parsed) if parsed else None,
        detail=detail,
    )


def patch_apply(msg: dict, settings: ReadSettings) -> Content:
    """patch_apply_begin and patch_apply_end; the changes are kept whole up to `changes_limit`."""
    changes = mapping(msg.get("changes"))
    ended = msg["type"] == "patch_apply_end"
    success, status = boolean(msg.get("success")), tag(msg.get("status"))
    if success is None and ended and status is not None:
        success = status == "completed"
    detail = present(auto_approved=boolean(msg.get("auto_approved")), status=status)
    if ended and changes:
        detail["changes"] = changes if len(to_json(changes)) <= settings.changes_limit else None
        detail["changes_cut"] = True if detail["changes"] is None else None
    text = (string(msg.get("stderr")) or string(msg.get("stdout"))) if ended else None
    return content(
        msg["type"],
        call_id=string(msg.get("call_id")),
        text=cut(text, settings.text_limit),
        success=success if ended else None,
        paths=[plain_path(path) or path for path in changes],
        detail={key: value for key, value in detail.items() if value is not None},
    )


def approval_request(msg: dict, settings: ReadSettings) -> Content:
    """exec_approval_request and apply_patch_approval_request."""
    return content(
        msg["type"],
        call_id=string(msg.get("call_id")),
        command=commands.display(msg.get("command")),
        cwd=plain_path(msg.get("cwd")),
        paths=[plain_path(path) or path for path in mapping(msg.get("changes"))],
        detail=present(reason=cut(string(msg.get("reason")), 500), approval_id=string(msg.get("approval_id"))),
    )


def mcp_tool_call(msg: dict, settings: ReadSettings) -> Content:
    """mcp_tool_call_begin and _end. Success is an `Ok` result that is no error."""
    invocation = mapping(msg.get("invocation"))
    name = f"{string(invocation.get('server'))}.{string(invocation.get('tool'))}" if invocation else None
    result, success, text = mapping(msg.get("result")), None, None
    if "Ok" in result:
        ok = mapping(result["Ok"])
        success = ok.get("isError") is not True
        text = "\n".join(
            c["text"] for c in sequence(ok.get("content")) if type(c) is dict and type(c.get("text")) is str
        )
    elif "Err" in result:
        success, text = False, string(result["Err"])
    elif msg["type"] == "mcp_tool_call_begin":
        text = string(invocation.get("arguments"))
    return content(
        msg["type"],
        call_id=string(msg.get("call_id")),
        name=name,
        text=cut(text, settings.text_limit),
        duration_ms=milliseconds(msg.get("duration")),
        success=success,
    )


def web_search_end(msg: dict, settings: ReadSettings) -> Content:
    call_id, action = string(msg.get("call_id")), tag(msg.get("action"))
    return content(
        "web_search_end",
        call_id=call_id,
        name="web_search",
        text=string(msg.get("query")),
        detail=present(action=action),
    )


def error(msg: dict, settings: ReadSettings) -> Content:
    """error, stream_error, warning, background_event and deprecation_notice."""
    info = msg.get("codex_error_info")
    status = mapping(mapping(info).get(tag(info))).get("http_status_code") if type(info) is dict else None
    detail = present(
        error=tag(info),
        http_status=integer(status),
        additional_details=cut(string(msg.get("additional_details")), 1000),
    )
    return content(msg["type"], text=cut(_stated(msg), settings.text_limit), detail=detail)


def _stated(msg: dict) -> str | None:
    """The words of an error or warning; some writers have them one object deeper (`error.message`)."""
    words_of = msg.get("message") or msg.get("summary") or mapping(msg.get("error")).get("message") or msg.get("error")
    return string(words_of) or None


def turn_diff(msg: dict, settings: ReadSettings) -> Content:
    """The turn's edits by apply_patch so far; the last one of a turn wins."""
    return content("turn_diff", text=cut(string(msg.get("unified_diff")), settings.diff_limit))


def plan_update(msg: dict, settings: ReadSettings) -> Content:
    detail = present(plan=sequence(msg.get("plan")))
    return content("plan_update", text=cut(string(msg.get("explanation")), settings.text_limit), detail=detail)


def counted(msg: dict, settings: ReadSettings) -> Content:
    return content("thread_rolled_back", detail=present(num_turns=integer(msg.get("num_turns"))))


def undo(msg: dict, settings: ReadSettings) -> Content:
    return content(
        msg["type"], success=boolean(msg.get("success")), text=cut(string(msg.get("message")), settings.text_limit)
    )


def review(msg: dict, settings: ReadSettings) -> Content:
    """entered_review_mode and exited_review_mode."""
    output = mapping(msg.get("review_output"))
    detail = present(target=msg.get("target"), findings=len(sequence(output.get("findings"))) if output else None)
    text = string(output.get("overall_explanation")) if output else string(msg.get("user_facing_hint"))
    return content(msg["type"], text=cut(text, settings.text_limit), detail=detail)


def terminal_interaction(msg: dict, settings: ReadSettings) -> Content:
    detail = present(process_id=string(msg.get("process_id")))
    return content(
        "terminal_interaction",
        call_id=string(msg.get("call_id")),
        text=cut(string(msg.get("stdin")), 500),
        detail=detail,
    )


def collab(msg: dict, settings: ReadSettings) -> Content:
    """The collab_* events: what one agent asks of another, and how the other is."""
    known = {"type", "call_id", "prompt", "turn_id"}
    detail = {key: value for key, value in msg.items() if key not in known}
    return content(
        msg["type"],
        call_id=string(msg.get("call_id")),
        text=cut(string(msg.get("prompt")), settings.text_limit),
        detail=detail,
    )


def other(msg: dict, settings: ReadSettings) -> Content:
    """An event without a reading of its own: its small fields go to `detail`."""
    detail = {key: value for key, value in msg.items() if key not in ("type", "call_id", "turn_id")}
    return content(string(msg.get("type")) or "unknown", call_id=string(msg.get("call_id")), detail=detail)


HANDLERS = {
    "user_message": user_message, "agent_message": agent_message, "agent_reasoning": agent_reasoning,
    "agent_reasoning_raw_content": agent_reasoning, "token_count": token_count, "task_started": task_started,
    "task_complete": task_complete, "turn_aborted": turn_aborted, "session_configured": session_configured,
    "exec_command_begin": exec_command, "exec_command_end": exec_command, "patch_apply_begin": patch_apply,
    "patch_apply_end": patch_apply, "exec_approval_request": approval_request,
    "apply_patch_approval_request": approval_request, "mcp_tool_call_begin": mcp_tool_call,
    "mcp_tool_call_end": mcp_tool_call, "web_search_end": web_search_end, "error": error, "stream_error": error,
    "warning": error, "background_event": error, "deprecation_notice": error, "guardian_warning": error,
    "turn_diff": turn_diff, "plan_update": plan_update, "thread_rolled_back": counted, "undo_started": undo,
    "undo_completed": undo, "entered_review_mode": review, "exited_review_mode": review,
    "terminal_interaction": terminal_interaction,
    **dict.fromkeys((
        "collab_agent_spawn_begin", "collab_agent_spawn_end", "collab_agent_interaction_begin",
        "collab_agent_interaction_end", "collab_waiting_begin", "collab_waiting_end", "collab_close_begin",
        "collab_close_end", "collab_resume_begin", "collab_resume_end",
    ), collab),
    **dict.fromkeys((
        "context_compacted", "shutdown_complete", "view_image_tool_call", "web_search_begin", "request_user_input",
        "dynamic_tool_call_request", "dynamic_tool_call_response", "elicitation_request", "guardian_assessment",
        "thread_name_updated", "model_reroute", "model_verification", "thread_settings_applied", "thread_goal_updated",
        "image_generation_begin", "image_generation_end", "request_permissions", "patch_apply_updated", "plan_delta",
        "hook_started", "hook_completed", "sub_agent_activity", "environment_connected", "environment_disconnected",
        "thread_queue_changed", "turn_moderation_metadata", "safety_buffering", "realtime_conversation_started",
        "realtime_conversation_closed",
    ), other),
}  # fmt: skip
