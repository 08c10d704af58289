"""A session as the model reads it: redacted, cut to size, in overlapping windows when long.

What belongs here: what of a turn is shown and under which label. What does not: the question asked about it (`prompt`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from codex_loop_assets.signals.judges.base import Transcript, TranscriptTurn
from codex_loop_assets.signals.redaction import redact

_ESCAPED = re.compile("[<>\x7f-\x9f\u2028\u2029\ud800-\udfff]")


@dataclass(frozen=True)
class Window:
    """Part of a session that fits one question: `lines` as the model reads them, and the turn behind each label.

    Labels count through the whole session, so that windows of a session that grew keep their text, and their answers.
    """

    lines: str
    turns: Mapping[str, TranscriptTurn]


def windows(transcript: Transcript, settings: Mapping[str, Any]) -> list[Window]:
    """Windows of at most `window_characters` (a single turn may exceed it), each repeating the last `overlap_turns`
    turns of the one before. A window without any words of a person is left out: there is nothing to find in it."""
    rendered = [
        (f"T{number}", turn, render(f"T{number}", turn, settings)) for number, turn in enumerate(transcript.turns, 1)
    ]
    result: list[Window] = []
    start = 0
    while start < len(rendered):
        end, size = start, 0
        while end < len(rendered) and (end == start or size + len(rendered[end][2]) <= settings["window_characters"]):
            size += len(rendered[end][2])
            end += 1
        part = rendered[start:end]
        if any(turn.spoken for _, turn, _ in part):
            lines = "\n".join(line for _, _, line in part)
            result.append(Window(lines, {label: turn for label, turn, _ in part}))
        if end == len(rendered):
            break
        start = max(start + 1, end - settings["overlap_turns"])
    return result


def render(label: str, turn: TranscriptTurn, settings: Mapping[str, Any]) -> str:
    """One turn as one line of JSON. Angle brackets are escaped: no text can imitate a marker or a chat template."""
    entry: dict[str, Any] = {"turn": label}
    user = shown(turn.user_message, turn.thread_id, settings["user_characters"])
    if turn.spoken:
        entry["user"] = user
    else:
        entry["not_by_a_person"] = user or turn.kind
    agent = shown(turn.agent_message, turn.thread_id, settings["agent_characters"])
    if agent:
        entry["agent"] = agent
    facts = list(_facts(turn))
    if facts:
        entry["facts"] = facts
    return data_line(entry)


def shown(text: str, thread_id: str, limit: int) -> str:
    """`text` redacted, with the middle left out where it is longer than `limit` characters."""
    text = redact(text, thread_id)
    if len(text) <= limit:
        return text
    head, tail = limit * 2 // 3, limit // 3
    return f"{text[:head]}\n[… {len(text) - head - tail} characters left out …]\n{text[-tail:]}"


def data_line(value: Any) -> str:
    """JSON on one line that no reader can take for markup, and that UTF-8 can carry (lone surrogates stay escaped)."""
    line = json.dumps(value, ensure_ascii=False, separators=(", ", ": "))
    return _ESCAPED.sub(lambda found: f"\\u{ord(found.group()):04x}", line)


def _facts(turn: TranscriptTurn):
    if turn.tools:
        yield f"{turn.failed_tools} of {turn.tools} tool calls failed"
    if turn.aborted:
        yield "the turn was cut short"
    if turn.undone:
        yield "the person undid the changes afterwards"
    if turn.rolled_back:
        yield "the person rolled this turn back"
    if turn.compacted:
        yield "the context was compacted"
    if turn.end_state == "errored":
        yield "the turn ended with an error"
