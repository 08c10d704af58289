"""Groups of event kinds that the canonical tables are built from. Facts about Codex's records; nothing tunable."""

from __future__ import annotations

PROMPT_OPS = ("user_turn", "user_input")
ACTION_OPS = ("run_user_shell_command", "review", "compact", "undo")
USER_WORDS = (*PROMPT_OPS, "user_message", "message")
ASSISTANT_WORDS = ("agent_message", "message")
CONTEXTS = ("session_meta", "turn_context", "session_configured", "override_turn_context", *PROMPT_OPS)
COMPACTION = "compaction_boundary"

CALL_REQUESTS = ("function_call", "custom_tool_call", "local_shell_call", "web_search_call")
CALL_BEGINS = ("exec_command_begin", "patch_apply_begin", "mcp_tool_call_begin", "web_search_begin")
CALL_ENDS = ("exec_command_end", "patch_apply_end", "mcp_tool_call_end", "web_search_end", "view_image_tool_call")
CALL_OUTPUTS = ("function_call_output", "custom_tool_call_output", "dynamic_tool_response")
APPROVAL_REQUESTS = ("exec_approval_request", "apply_patch_approval_request")
APPROVAL_DECISIONS = ("exec_approval", "patch_approval")
USER_SHELL = "user_shell_command"

TURN_ENDS = ("task_complete", "turn_aborted")
"""Events that end a turn."""
