"""Instructions that a language model condenses from the user's own words, while a key is set.

What comes back counts only if it adds nothing: no line of the solution, and no name, path or number that the user did not write.
Otherwise the user's own words stand, as they do without a key.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from codex_loop_assets.distill.instruction import leaks, plain
from codex_loop_assets.distill.model import Model, NoAnswer

# Words that name something: with a digit, a dot, slash, underscore or hyphen inside, in camel case, or in backticks.
_NAME = re.compile(r"`([^`\n]+)`|(?<![\w./-])([\w./-]*(?:\d|[./_-](?=\w)|[a-z][A-Z])[\w./-]*)")


def condensed(
    words: str, added_lines: set[str], thread_id: str, model: Model | None, settings: Mapping[str, Any]
) -> tuple[str, str | None]:
    """(instruction, name of the model that wrote it). The words themselves and None without a model, for a request that is short
    already, and where the answer is not to be trusted. `settings` is the `instruction` part."""
    if model is None or len(words) < settings["condense_from_characters"]:
        return words, None
    try:
        answer = model.ask(thread_id, "instruction", {"messages": words}, ("instruction",))
    except NoAnswer:
        return words, None
    text = plain(answer["instruction"]).strip()
    unsaid = {line for line in added_lines if line.strip() not in words}
    gives_away = leaks(text, unsaid, settings["model_leak_line_characters"])
    if not text or len(text) > len(words) or gives_away or invented(text, words):
        return words, None
    return text, model.name


def invented(text: str, words: str) -> list[str]:
    """Names, paths and numbers in `text` that the user's words do not hold."""
    known = words.lower()
    found = [(quoted or name).strip(".,:;()-").lower() for quoted, name in _NAME.findall(text)]
    return sorted({name for name in found if name and name not in known})
