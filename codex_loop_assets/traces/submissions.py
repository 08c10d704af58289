"""What was submitted to the agent (`op` of a spine's `submission` record) as event content.

Only the fork's trace spine records these. A recorded op may have been rejected or ignored.
"""

from __future__ import annotations

from typing import Any

from codex_loop_assets.traces.row import Content, content, present
from codex_loop_assets.traces.scaffolding import own_words
from codex_loop_assets.traces.settings import ReadSettings
from codex_loop_assets.traces.values import cut, integer, mapping, plain_path, sequence, string, tag

ALIASES = {"request_user_input_response": "user_input_answer"}

NOISE = frozenset({
    "get_history_entry_request", "list_mcp_tools", "list_custom_prompts", "list_models", "list_skills",
    "refresh_mcp_servers",
    "add_to_history",
})  # fmt: skip


def decision_name(decision: Any) -> str | None:
    """Normalised name of a review decision, whichever of its serialized forms it has; a network rule says which way."""
    name = tag(decision)
    if name == "network_policy_amendment":
        inner = mapping(mapping(decision).get(name))
        action = mapping(inner.get(name, inner)).get("action")
        return "approved_network_policy" if action == "allow" else "denied"
    return name


def policies(source: dict) -> dict:
    """Settings that a prompt, a turn context or an override carries."""
    return present(
        model=string(source.get("model")),
        approval_policy=tag(source.get("approval_policy")),
        sandbox_policy=tag(source.get("sandbox_policy")),
        effort=tag(source.get("effort")),
        mode=string(mapping(source.get("collaboration_mode")).get("mode")),
    )


def prompt(op: dict, settings: ReadSettings) -> Content:
    """user_turn and user_input: the user's text, with images, skills and mentions counted."""
    items = [item for item in sequence(op.get("items")) if type(item) is dict]
    texts = [item["text"] for item in items if type(item.get("text")) is str]
    detail = policies(op)
    images = sum("image" in str(item.get("type")) for item in items)
    names = [string(item.get("name")) for item in items if item.get("type") in ("skill", "mention")]
    detail.update(present(images=images or None, mentions=names))
    text = cut(own_words("".join(texts), settings), settings.user_text_limit)
    return content(op["type"], role="user", text=text, cwd=plain_path(op.get("cwd")), detail=detail)


def approval(op: dict, settings: ReadSettings) -> Content:
    """exec_approval and patch_approval. `detail.id` is a turn id, or since February 2026 an approval or call id."""
    return content(op["type"], decision=decision_name(op.get("decision")), detail=present(id=string(op.get("id"))))


def user_shell(op: dict, settings: ReadSettings) -> Content:
    return content("run_user_shell_command", role="user", command=string(op.get("command")))


def review(op: dict, settings: ReadSettings) -> Content:
    request = mapping(op.get("review_request"))
    target = mapping(request.get("target"))
    text = string(target.get("instructions")) or string(request.get("user_facing_hint"))
    return content("review", role="user", text=cut(text, settings.user_text_limit), detail=present(target=tag(target)))


def answer(op: dict, settings: ReadSettings) -> Content:
    answers = mapping(mapping(op.get("response")).get("answers"))
    words = [string(word) or "" for given in answers.values() for word in sequence(mapping(given).get("answers"))]
    text = cut("\n".join(words), settings.user_text_limit)
    return content("user_input_answer", role="user", text=text, detail=present(id=string(op.get("id"))))


def elicitation(op: dict, settings: ReadSettings) -> Content:
    detail = present(server=string(op.get("server_name")), id=string(op.get("request_id")))
    return content("resolve_elicitation", decision=tag(op.get("decision")), detail=detail)


def rollback(op: dict, settings: ReadSettings) -> Content:
    return content("thread_rollback", detail=present(num_turns=integer(op.get("num_turns"))))


def override(op: dict, settings: ReadSettings) -> Content:
    return content("override_turn_context", cwd=plain_path(op.get("cwd")), detail=policies(op))


def plain(op: dict, settings: ReadSettings) -> Content:
    return content(op["type"])


def tool_response(op: dict, settings: ReadSettings) -> Content:
    response = mapping(op.get("response"))
    call_id = string(op.get("id")) or string(response.get("callId"))
    success = response.get("success") if type(response.get("success")) is bool else None
    text = cut(string(response.get("output")), settings.text_limit)
    return content("dynamic_tool_response", call_id=call_id, text=text, success=success)


HANDLERS = {
    "user_turn": prompt,
    "user_input": prompt,
    "run_user_shell_command": user_shell,
    "review": review,
    "compact": plain,
    "undo": plain,
    "interrupt": plain,
    "shutdown": plain,
    "thread_rollback": rollback,
    "exec_approval": approval,
    "patch_approval": approval,
    "user_input_answer": answer,
    "resolve_elicitation": elicitation,
    "dynamic_tool_response": tool_response,
    "override_turn_context": override,
}
