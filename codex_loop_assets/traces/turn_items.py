"""`item_completed` items (PascalCase tags) rewritten as the events they stand for.

Paginated rollouts (Codex since August 2026) write these in place of the text and tool events; older builds write a few
of them beside the events. The result goes through `event_messages`.
"""

from __future__ import annotations

from codex_loop_assets.traces.scaffolding import part_texts
from codex_loop_assets.traces.values import mapping, sequence, string, tag


def as_event(item: dict) -> dict:
    """The event message that says the same as this item. Unknown items keep their tag, in snake_case."""
    handler = _ITEMS.get(item.get("type"))
    if handler is not None:
        return handler(item)
    name = string(item.get("type")) or "unknown"
    snake = "".join("_" + c.lower() if c.isupper() else c for c in name).lstrip("_")
    return {**item, "type": f"item_{snake}", "call_id": item.get("id")}


def _user_message(item: dict) -> dict:
    images = [part for part in sequence(item.get("content")) if "image" in str(mapping(part).get("type")).lower()]
    return {"type": "user_message", "message": "".join(part_texts(item.get("content"))), "images": images}


def _agent_message(item: dict) -> dict:
    return {"type": "agent_message", "message": "".join(part_texts(item.get("content"))), "phase": item.get("phase")}


def _reasoning(item: dict) -> dict:
    summary = [text for text in sequence(item.get("summary_text")) if type(text) is str]
    return {"type": "agent_reasoning", "text": "\n".join(summary)}


def _command(item: dict) -> dict:
    return {**item, "type": "exec_command_end", "call_id": item.get("id")}


def _file_change(item: dict) -> dict:
    return {**item, "type": "patch_apply_end", "call_id": item.get("id")}


def _mcp(item: dict) -> dict:
    error, result = mapping(item.get("error")), mapping(item.get("result"))
    failed = bool(error) or tag(item.get("status")) == "failed"
    outcome = (
        {"Err": error.get("message") or "failed"}
        if failed and not result
        else {"Ok": {**result, "isError": failed or result.get("isError")}}
    )
    return {
        "type": "mcp_tool_call_end",
        "call_id": item.get("id"),
        "invocation": {"server": item.get("server"), "tool": item.get("tool"), "arguments": item.get("arguments")},
        "result": outcome,
        "duration": item.get("duration"),
    }


def _web_search(item: dict) -> dict:
    return {
        "type": "web_search_end",
        "call_id": item.get("id"),
        "query": item.get("query"),
        "action": item.get("action"),
    }


def _renamed(name: str):
    def rename(item: dict) -> dict:
        return {**item, "type": name, "call_id": item.get("id")}

    return rename


_ITEMS = {
    "UserMessage": _user_message,
    "AgentMessage": _agent_message,
    "Reasoning": _reasoning,
    "CommandExecution": _command,
    "FileChange": _file_change,
    "McpToolCall": _mcp,
    "WebSearch": _web_search,
    "ContextCompaction": _renamed("context_compacted"),
    "EnteredReviewMode": _renamed("entered_review_mode"),
    "ExitedReviewMode": _renamed("exited_review_mode"),
    "ImageView": _renamed("view_image_tool_call"),
    "ImageGeneration": _renamed("image_generation_end"),
    "SubAgentActivity": _renamed("sub_agent_activity"),
}

KNOWN = frozenset(_ITEMS) | {"Plan", "HookPrompt", "DynamicToolCall", "CollabAgentToolCall", "Extension"}
"""Items whose meaning is known; others are read too, and counted as unknown kinds."""
