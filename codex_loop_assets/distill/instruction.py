"""The words given to the agent: what the user asked for, the remarks that add requirements, and what counts as done.

The user's text is data: kept as words, redacted, without control characters. Nothing of the solution may show in it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from codex_loop_assets.distill.segment import Row, Segment
from codex_loop_assets.distill.words import words

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff]|[\ud800-\udfff]")


class NoInstruction(ValueError):
    """The segment holds no request a person could act on."""


def plain(text: str) -> str:
    """Text without control characters, lone surrogates and byte-order marks; line ends are newlines."""
    return _CONTROL.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))


def request(
    segment: Segment,
    signals: list[Row],
    added_lines: set[str],
    settings: Mapping[str, Any],
    redact: Callable[[str, str], str],
) -> str:
    """The user's own intent across the window. Raises NoInstruction.

    `signals` are all signals of the thread (a correction adds a requirement); `added_lines` are lines only the
    solution has: a later remark that holds one is left out, as it gives the answer away. What the opening request itself
    says stays: the user knew it, and asked for it.
    """
    opening = plain(segment.turns[0]["user_message"]).strip()
    if len(words(opening)) < settings["minimum_words"]:
        raise NoInstruction("the request has too few words")
    parts = [opening]
    remarks = [
        remark
        for turn in segment.turns[1:]
        if (remark := _remark(turn, signals, settings))
        and not leaks(remark, added_lines, settings["leak_line_characters"])
    ]
    if remarks:
        parts.append("Further requirements:\n\n" + "\n".join(f"- {' '.join(remark.split())}" for remark in remarks))
    return redact("\n\n".join(parts)[: settings["maximum_characters"]], segment.thread_id)


def _remark(turn: Row, signals: list[Row], settings: Mapping[str, Any]) -> str | None:
    text = plain(turn["user_message"]).strip()
    if turn["kind"] not in ("prompt", "steer") or len(words(text)) < settings["minimum_remark_words"]:
        return None
    own = {
        signal["category"]
        for signal in signals
        if signal["run"] == turn["run"] and signal["turn_id"] == turn["turn_id"]
    }
    return text if turn["kind"] == "steer" or own & set(settings["remark_categories"]) else None


def leaks(text: str, added_lines: set[str], least: int) -> bool:
    """Whether the text holds a line of at least `least` characters that only the solution has, however it is spaced."""
    spaced = " ".join(text.split())
    lines = (" ".join(line.split()) for line in added_lines)
    return any(len(line) >= least and line in spaced for line in lines)


def with_definition_of_done(words: str, done: str) -> str:
    """The text of instruction.md."""
    return f"{words.rstrip()}\n\n## Done when\n\n{done.rstrip()}\n"
