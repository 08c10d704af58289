"""What the local judge learns from: sessions and single moments written for this project.

A moment (local/training_moments.toml) is one message; here it is woven into a short session with ordinary requests before
and after, and mostly with an agent that says next to nothing: without those the weights lean on an agent that admits
every mistake. What does not belong here: learning (`train`).
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from random import Random
from typing import Any

from codex_loop_assets.signals.judges.base import Transcript, TranscriptTurn

_PACKAGE = "codex_loop_assets.signals.judges.local"
_BEFORE = (0, 0, 1, 2)
_SORRY_SHARE = 0.3
_GOES_ON_SHARE = 0.5
_CONTEXT = ("opening", "neutral", "sorry", "mixed")
_ORDINARY = ("hard", "routine")
_DELIGHT = frozenset(("positive_feedback", "time_saved"))

Labelled = tuple[Transcript, list[frozenset[str]]]
"""A session, and the categories that each of its messages shows."""


def written_sessions() -> list[Labelled]:
    """The sessions that were written as such."""
    rows = json.loads((resources.files(_PACKAGE) / "training_sessions.json").read_text("utf-8"))
    return [_session(row["id"], row["turns"]) for row in rows]


def woven_sessions() -> list[Labelled]:
    """A session around each moment; the same every time."""
    text = (resources.files(_PACKAGE) / "training_moments.toml").read_text("utf-8")
    sessions = []
    for language, groups in tomllib.loads(text).items():
        lines = {name: [line for line in block.splitlines() if line.strip()] for name, block in groups.items()}
        for number, (message, labels) in enumerate(_moments(lines)):
            name = f"{language}-moment-{number}"
            sessions.append(_session(name, _around(message, labels, lines, Random(name))))
    return sessions


def _moments(lines: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, frozenset[str]]]:
    for name, messages in lines.items():
        if name not in _CONTEXT:
            labels = frozenset(() if name in _ORDINARY else (name,))
            yield from ((message, labels) for message in messages)
    for line in lines["mixed"]:
        names, _, message = line.partition(": ")
        yield message, frozenset(names.split(","))


def _around(
    message: str, labels: frozenset[str], lines: Mapping[str, Sequence[str]], random: Random
) -> list[dict[str, Any]]:
    """The turns of a session about the message: an opening, up to two requests, the message, perhaps one more request."""

    def ordinary(words: str) -> dict[str, Any]:
        return {"user": words, "agent": random.choice(lines["neutral"])}

    turns = [ordinary(random.choice(lines["opening"]))]
    turns += [ordinary(words) for words in random.sample(lines["routine"], random.choice(_BEFORE))]
    sorry = bool(labels - _DELIGHT) and random.random() < _SORRY_SHARE
    turns.append({"user": message, "agent": random.choice(lines["sorry" if sorry else "neutral"]), "labels": labels})
    if random.random() < _GOES_ON_SHARE:
        turns.append(ordinary(random.choice(lines["routine"])))
    return turns


def _session(name: str, rows: Sequence[Mapping[str, Any]]) -> Labelled:
    turns = tuple(
        TranscriptTurn(
            thread_id=name,
            run=0,
            seq_start=10 * index + 1,
            seq_end=10 * index + 9,
            user_message=row["user"],
            agent_message=row["agent"],
            failed_tools=row.get("failed_tools", 0),
            aborted=row.get("mark") == "aborted",
            rolled_back=row.get("mark") == "rolled_back",
        )
        for index, row in enumerate(rows)
    )
    return Transcript(name, turns), [frozenset(row.get("labels", ())) for row in rows]
