"""Telling the user's own words from what Codex and IDEs put into user messages.

The prefixes are data (`scaffolding` in config/traces.toml). A message may mix parts of both kinds, so each part is
tested.
"""

from __future__ import annotations

from typing import Any

from codex_loop_assets.traces.settings import ReadSettings
from codex_loop_assets.traces.values import sequence


def scaffold_prefix(text: str, settings: ReadSettings) -> str | None:
    """The scaffolding prefix this text starts with, or None when it is somebody's words."""
    start = text[:200].lstrip()[:80].lower()
    if start and start[0] in "<#wa" and start.startswith(settings.scaffolding):
        return next(prefix for prefix in settings.scaffolding if start.startswith(prefix))
    return None


def own_words(text: str, settings: ReadSettings) -> str:
    """What the user wrote: the text after an IDE's request marker, or the whole, stripped."""
    _, marker, after = text.partition(settings.request_marker)
    return (after if marker else text).strip()


def part_texts(parts: Any) -> list[str]:
    """Texts of a content list (or of a bare string), in order."""
    if type(parts) is str:
        return [parts]
    return [p["text"] for p in sequence(parts) if type(p) is dict and type(p.get("text")) is str]


def user_words(parts: list[str], settings: ReadSettings) -> tuple[str, str | None]:
    """(own words, None), or (raw text, scaffolding prefix) when nothing in the parts is the user's."""
    found = None
    words = []
    for part in parts:
        prefix = scaffold_prefix(part, settings)
        if prefix is not None:
            found = found or prefix
        elif not part[:80].lstrip().lower().startswith(settings.image_markers):
            words.append(part)
    if words:
        return own_words("".join(words), settings), None
    return "\n".join(parts), found
