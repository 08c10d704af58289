"""The canonical tables: events joined into turns, tool calls and sessions. Columnar, one day at a time.

`build` of each module takes frames and returns a frame of its table; nothing here reads or writes files.
"""

from codex_loop_assets.canon import everything, sessions, tool_calls, turns

__all__ = ["everything", "sessions", "tool_calls", "turns"]
