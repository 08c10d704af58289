"""What each part of the local judge is worth: `python -m codex_loop_assets_tests.signals.judges.ablation LABELLED_DIR`.

For every feature group the weights are trained without it, on the packaged training sessions, and the judge is scored
on labelled conversations (those with an even number). The regex baseline stands beside. Intervals are 95 %, bootstrap
by session. A group that gains nothing beyond its interval must be needed by a single category, or go.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from codex_loop_assets.measure.gold import planted_canon, planted_conversations
from codex_loop_assets.settings import section
from codex_loop_assets.signals.judges.base import Judge, Transcript
from codex_loop_assets.signals.judges.baseline import RegexBaseline
from codex_loop_assets.signals.judges.local import LocalJudge
from codex_loop_assets.signals.judges.train import train
from codex_loop_assets.signals.judges.training_data import woven_sessions, written_sessions
from codex_loop_assets.signals.judges.transcript import transcripts
from codex_loop_assets.signals.schema import SignalSchema, load_schema

GROUPS = ("cue", "form", "course", "likeness", "answer", "mix", "text", "rule")
_ROUNDS = 1000


@dataclass(frozen=True)
class Conversation:
    """A labelled conversation: its language, what a judge reads, and the categories of each message."""

    language: str
    transcript: Transcript
    labels: tuple[frozenset[str], ...]


@dataclass(frozen=True)
class Score:
    """Counts per session (rows: true positives, false positives, false negatives) of one judge."""

    counts: np.ndarray

    def precision_recall(self) -> tuple[float, float]:
        true, wrong, missed = self.counts.sum(axis=0)
        return true / max(1, true + wrong), true / max(1, true + missed)

    def f1(self, rounds: np.ndarray) -> np.ndarray:
        """F1 of each resampling of the sessions."""
        true, wrong, missed = self.counts[rounds].sum(axis=1).T
        return 2 * true / np.maximum(1, 2 * true + wrong + missed)


def conversations(folder: Path, parity: str) -> list[Conversation]:
    """The labelled conversations of a folder of JSON lines; `parity` is even or odd."""
    rows = planted_conversations(folder.glob("*.jsonl"), parity)
    canon = planted_canon(rows)
    read = transcripts(canon.turns, canon.tool_calls)
    return [
        Conversation(
            row["lang"],
            read[row["id"]],
            tuple(frozenset(x["category"] for x in turn["labels"]) for turn in row["turns"]),
        )
        for row in rows
    ]


def score(judge: Judge, data: Sequence[Conversation], wanted: frozenset[str], schema: SignalSchema) -> Score:
    """How well the judge tells the messages that show any of the wanted categories, message by message."""
    rows = []
    for item in data:
        found = {
            finding.seq_start for finding in judge.judge(item.transcript, schema).findings if finding.category in wanted
        }
        pairs = [
            (turn.seq_start in found, bool(labels & wanted))
            for turn, labels in zip(item.transcript.turns, item.labels, strict=True)
        ]
        rows.append([sum(pair == kind for pair in pairs) for kind in ((True, True), (True, False), (False, True))])
    return Score(np.array(rows))


def friction(schema: SignalSchema) -> frozenset[str]:
    return frozenset(name for name, category in schema.semantic().items() if category.type == "friction")


def judges() -> Mapping[str, Judge]:
    """The shipped judge, the baseline, and the judge without each feature group."""
    settings, written, woven = section("local_judge"), written_sessions(), woven_sessions()
    found: dict[str, Judge] = {"local_judge": LocalJudge(), "regex_baseline": RegexBaseline()}
    for group in GROUPS:
        found[f"without {group}"] = LocalJudge(model=train(written, woven, settings, leave_out=[group]))
    return found


def table(data: Sequence[Conversation]) -> list[str]:
    """One line per judge: precision, recall, F1 with its interval, and the interval of what the shipped judge gains."""
    schema = load_schema()
    wanted = friction(schema)
    rounds = np.random.default_rng(0).integers(0, len(data), (_ROUNDS, len(data)))
    scores = {name: score(judge, data, wanted, schema) for name, judge in judges().items()}
    shipped = scores["local_judge"].f1(rounds)
    lines = [f"{'judge':20} {'P':>5} {'R':>5} {'F1':>5}  {'95 % of F1':14}  shipped minus this, 95 %"]
    for name, result in scores.items():
        precision, recall = result.precision_recall()
        own = result.f1(rounds)
        low, high = np.percentile(own, [2.5, 97.5])
        worse, better = np.percentile(shipped - own, [2.5, 97.5])
        f1 = 2 * precision * recall / max(1e-9, precision + recall)
        figures = f"{precision:5.2f} {recall:5.2f} {f1:5.2f}  [{low:.2f}, {high:.2f}]"
        lines.append(f"{name:20} {figures}    [{worse:+.2f}, {better:+.2f}]")
    return lines


if __name__ == "__main__":
    print("\n".join(table(conversations(Path(sys.argv[1]), "even"))))
