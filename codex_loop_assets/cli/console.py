"""The console that commands print to. What does not belong here: what they print."""

from __future__ import annotations

from rich.console import Console

# Columns where the output is a file or a pipe: eighty, the library's own choice there, cut the words of most tables.
_WIDTH_OF_FILES = 120


def open_console() -> Console:
    """As wide as the terminal, or wide enough for tables where there is none."""
    console = Console()
    return console if console.is_terminal else Console(width=max(_WIDTH_OF_FILES, console.width))
