"""ResponseItems (what the model saw and said) as event content. In a spine they sit in `raw_response_item` events.

Each function takes the item and the settings and returns content; `HANDLERS` finds it by the item's tag.
`agent_message` items (mail between agents) are renamed `inter_agent_message`: an event has the same tag.
"""

from __future__ import annotations

from codex_loop_assets.traces import commands
from codex_loop_assets.traces.row import Content, call, content, present, result, words
from codex_loop_assets.traces.scaffolding import part_texts, user_words
from codex_loop_assets.traces.settings import ReadSettings
from codex_loop_assets.traces.tool_output import cut_output, image_count, output_facts, user_shell_facts
from codex_loop_assets.traces.values import cut, mapping, plain_path, string, tag, to_json


def message(item: dict, settings: ReadSettings) -> Content:
    """A message of any role. Scaffolding in a user message is marked in `detail.scaffold`; a `!command` that the user
    ran becomes `user_shell_command` with its exit code."""
    role, parts = string(item.get("role")), part_texts(item.get("content"))
    if role != "user":
        phase = string(item.get("phase"))
        text = cut("".join(parts), settings.text_limit)
        return words("message", role, text, {"phase": phase} if phase else None)
    text, scaffold = user_words(parts, settings)
    if scaffold == "<user_shell_command>" and (shell := user_shell_facts(text)):
        return _user_shell(shell, settings)
    if scaffold:
        return words("message", role, cut(text, settings.scaffold_limit), {"scaffold": scaffold})
    images = image_count(item.get("content"))
    return words("message", role, cut(text, settings.user_text_limit), {"images": images} if images else None)


def _user_shell(shell: tuple, settings: ReadSettings) -> Content:
    command, facts = shell
    return content(
        "user_shell_command",
        role="user",
        command=command,
        text=cut(facts.text, settings.text_limit),
        exit_code=facts.exit_code,
        duration_ms=facts.duration_ms,
        detail={"scaffold": "<user_shell_command>"},
    )


def reasoning(item: dict, settings: ReadSettings) -> Content:
    """A reasoning item's summary; the encrypted content is not kept."""
    return words("reasoning", None, cut("\n".join(part_texts(item.get("summary"))), settings.text_limit) or None)


def function_call(item: dict, settings: ReadSettings) -> Content:
    name, raw = string(item.get("name")), item.get("arguments")
    call_id = string(item.get("call_id"))
    text = cut(string(raw), settings.text_limit)
    namespace = item.get("namespace")
    full_name = f"{namespace}.{name}" if type(namespace) is str and namespace else name
    if name in commands.SHELL_TOOLS:
        args, detail = commands.arguments(raw), None
        justification = args.get("justification")
        escalated = args.get("sandbox_permissions") or args.get("with_escalated_permissions")
        if justification is not None or escalated is not None:
            detail = present(justification=cut(string(justification), 500), escalated=escalated)
        command, cwd = commands.command_of(args), commands.directory_of(args)
        return call("function_call", call_id, full_name, text, command, cwd, detail=detail)
    if name == "apply_patch":
        patch = commands.patch_text(commands.arguments(raw), raw)
        return call("function_call", call_id, full_name, text, paths=commands.patch_files(patch))
    if name == "write_stdin":
        args = commands.arguments(raw)
        detail = present(session_id=string(args.get("session_id")), chars=cut(string(args.get("chars")), 500))
        return call("function_call", call_id, full_name, text, detail=detail)
    return call("function_call", call_id, full_name, text)


def function_call_output(item: dict, settings: ReadSettings) -> Content:
    """The result as the model saw it, with what its text reveals (`detail.state`, `detail.session_id`)."""
    return _output("function_call_output", item, settings)


def _output(kind: str, item: dict, settings: ReadSettings) -> Content:
    text, exit_code, duration_ms, state, session_id = output_facts(item.get("output"))
    detail = None if state is None else present(state=state, session_id=session_id)
    return result(kind, string(item.get("call_id")), cut_output(text, settings), exit_code, duration_ms, detail)


def custom_tool_call(item: dict, settings: ReadSettings) -> Content:
    name, raw = string(item.get("name")), string(item.get("input"))
    paths = commands.patch_files(raw) if name == "apply_patch" else None
    text = cut(raw, settings.diff_limit if name == "apply_patch" else settings.text_limit)
    return call("custom_tool_call", string(item.get("call_id")), name, text, paths=paths)


def custom_tool_call_output(item: dict, settings: ReadSettings) -> Content:
    return _output("custom_tool_call_output", item, settings)


def local_shell_call(item: dict, settings: ReadSettings) -> Content:
    action = mapping(item.get("action"))
    return content(
        "local_shell_call",
        call_id=string(item.get("call_id")) or string(item.get("id")),
        name="local_shell",
        command=commands.display(action.get("command")),
        cwd=plain_path(action.get("working_directory")),
        text=cut(to_json(action), settings.text_limit) if action else None,
        detail=present(status=tag(item.get("status"))),
    )


def web_search_call(item: dict, settings: ReadSettings) -> Content:
    action = mapping(item.get("action"))
    text = string(action.get("query") or action.get("url") or action.get("pattern"))
    return content(
        "web_search_call",
        call_id=string(item.get("call_id")) or string(item.get("id")),
        name="web_search",
        text=cut(text, settings.text_limit),
        detail=present(action=tag(action), status=tag(item.get("status"))),
    )


def ghost_snapshot(item: dict, settings: ReadSettings) -> Content:
    commit = mapping(item.get("ghost_commit"))
    return content("ghost_snapshot", detail=present(id=string(commit.get("id")), parent=string(commit.get("parent"))))


def compaction(item: dict, settings: ReadSettings) -> Content:
    """The model's encrypted compaction output. Not a compaction by itself: `compaction_boundary` records that."""
    return content("compaction_item")


def inter_agent_message(item: dict, settings: ReadSettings) -> Content:
    detail = present(author=string(item.get("author")), recipient=string(item.get("recipient")))
    text = cut("\n".join(part_texts(item.get("content"))), settings.text_limit)
    return content("inter_agent_message", text=text, detail=detail)


def image_generation_call(item: dict, settings: ReadSettings) -> Content:
    return content(
        "image_generation_call",
        call_id=string(item.get("id")),
        name="image_generation",
        text=cut(string(item.get("revised_prompt")), settings.text_limit),
        detail=present(status=tag(item.get("status"))),
    )


HANDLERS = {
    "message": message,
    "reasoning": reasoning,
    "function_call": function_call,
    "function_call_output": function_call_output,
    "custom_tool_call": custom_tool_call,
    "custom_tool_call_output": custom_tool_call_output,
    "local_shell_call": local_shell_call,
    "web_search_call": web_search_call,
    "ghost_snapshot": ghost_snapshot,
    "compaction": compaction,
    "compaction_summary": compaction,
    "context_compaction": compaction,
    "agent_message": inter_agent_message,
    "image_generation_call": image_generation_call,
}
