"""Trains the weights of the local judge: `python -m codex_loop_assets.signals.judges.train`.

The sessions (local/training_sessions.json) were written for this purpose; no real session and no evaluation label is
among them. What does not belong here: thresholds and calibration, which are chosen on labelled data and kept in
config/local_judge.toml.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

from codex_loop_assets.settings import section
from codex_loop_assets.signals.judges.base import Transcript, TranscriptTurn
from codex_loop_assets.signals.judges.local.features import Reader, features
from codex_loop_assets.signals.judges.local.model import Model, Target, fold

_PACKAGE = "codex_loop_assets.signals.judges.local"

Labelled = tuple[Transcript, list[frozenset[str]]]


def training_sessions() -> list[Labelled]:
    """The packaged sessions, each with the categories that every one of its messages shows."""
    rows = json.loads((resources.files(_PACKAGE) / "training_sessions.json").read_text("utf-8"))
    return [(_transcript(row), [frozenset(turn.get("labels", ())) for turn in row["turns"]]) for row in rows]


def train(sessions: Sequence[Labelled], settings: Mapping[str, Any], leave_out: Sequence[str] = ()) -> Model:
    """Weights learnt from these sessions; `settings` is the section `local_judge`.

    `leave_out` names feature groups (the part before the dot) that are not used, for ablations.
    """
    import numpy as np

    reader = Reader(settings)
    told = [*sessions, *((_muted(transcript), labels) for transcript, labels in sessions)]
    values = [row for transcript, _ in told for row in features(reader.read(transcript.spoken_turns))]
    shown = [labels for _, found in told for labels in found]
    names = [name for name in values[0] if name.partition(".")[0] not in leave_out]
    matrix = np.array([[row[name] for name in names] for row in values])
    inverse_penalty = settings["training"]["inverse_penalty"]
    return Model(
        {
            category: _fit(names, matrix, [category in labels for labels in shown], inverse_penalty)
            for category in settings["decision"]["threshold"]
        }
    )


def _muted(transcript: Transcript) -> Transcript:
    """The same session with an agent that says next to nothing.

    Without these the weights lean on an agent that admits every mistake, and plain words of anger go unseen where it
    does not.
    """
    turns = tuple(replace(turn, agent_message="OK.") for turn in transcript.turns)
    return replace(transcript, turns=turns)


def _fit(names: Sequence[str], matrix: Any, wanted: Sequence[bool], inverse_penalty: float) -> Target:
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(matrix)
    fitted = LogisticRegression(C=inverse_penalty, max_iter=5000).fit(scaler.transform(matrix), wanted)
    return fold(names, scaler.mean_, scaler.scale_, fitted.coef_[0], float(fitted.intercept_[0]))


def _transcript(row: Mapping[str, Any]) -> Transcript:
    turns = tuple(
        TranscriptTurn(
            thread_id=row["id"],
            run=0,
            seq_start=10 * index + 1,
            seq_end=10 * index + 9,
            user_message=turn["user"],
            agent_message=turn["agent"],
            failed_tools=turn.get("failed_tools", 0),
            aborted=turn.get("mark") == "aborted",
            rolled_back=turn.get("mark") == "rolled_back",
        )
        for index, turn in enumerate(row["turns"])
    )
    return Transcript(row["id"], turns)


if __name__ == "__main__":
    trained = train(training_sessions(), section("local_judge"))
    Path(str(resources.files(_PACKAGE) / "model.json")).write_text(trained.as_json(), "utf-8")
