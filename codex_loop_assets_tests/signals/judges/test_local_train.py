"""The shipped weights are what the packaged sessions give, and they hold up on conversations by other writers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from codex_loop_assets.settings import section
from codex_loop_assets.signals.judges.baseline import RegexBaseline
from codex_loop_assets.signals.judges.local import LocalJudge
from codex_loop_assets.signals.judges.local.features import Reader, features
from codex_loop_assets.signals.judges.local.model import packaged
from codex_loop_assets.signals.judges.train import train
from codex_loop_assets.signals.judges.training_data import woven_sessions, written_sessions
from codex_loop_assets.signals.schema import load_schema
from codex_loop_assets_tests.signals.judges.ablation import conversations, friction, score

LABELLED = Path(__file__).parents[3] / "../shared/gold/planted"
needs_labels = pytest.mark.skipif(not LABELLED.is_dir(), reason="labelled conversations are not at hand")
SCHEMA = load_schema()


def test_training_again_gives_the_shipped_weights() -> None:
    again, shipped = train(written_sessions(), woven_sessions(), section("local_judge")), packaged()
    assert again.words.weights.keys() == shipped.words.weights.keys()
    for ngram, weights in shipped.words.weights.items():
        assert again.words.weights[ngram] == pytest.approx(weights, abs=0.02)
    assert again.targets.keys() == shipped.targets.keys()
    for name, target in shipped.targets.items():
        assert again.targets[name].bias == pytest.approx(target.bias, abs=0.01)
        assert dict(again.targets[name].weights) == pytest.approx(dict(target.weights), abs=0.01)


def test_every_weight_belongs_to_a_feature_that_is_computed() -> None:
    reader = Reader(section("local_judge"))
    known = features(reader.read(written_sessions()[0][0].turns))[0].keys() | packaged().words.features("").keys()
    assert all(target.weights.keys() <= known for target in packaged().targets.values())


def test_training_sessions_use_the_categories_of_the_schema_and_all_six_languages() -> None:
    sessions = [*written_sessions(), *woven_sessions()]
    labels = {label for _, found in sessions for message in found for label in message}
    languages = {transcript.thread_id.partition("-")[0] for transcript, _ in sessions}
    assert labels <= SCHEMA.semantic().keys()
    assert languages == {"en", "zh", "ja", "de", "fr", "es"}


def test_a_woven_session_is_the_same_every_time_and_shows_its_moment() -> None:
    first, second = woven_sessions(), woven_sessions()
    assert first == second
    assert all(len(labels) == len(transcript.turns) for transcript, labels in first)
    assert sum(any(labels) for _, labels in first) > len(first) / 2


@needs_labels
def test_no_labelled_sentence_is_in_the_training_sessions() -> None:
    def sentence(text: str) -> str:
        return " ".join(text.lower().split())

    rows = [json.loads(line) for path in LABELLED.glob("*.jsonl") for line in path.read_text("utf-8").splitlines()]
    labelled = {sentence(turn["user"]) for row in rows for turn in row["turns"]}
    sessions = [*written_sessions(), *woven_sessions()]
    trained = {sentence(turn.user_message) for transcript, _ in sessions for turn in transcript.turns}
    assert not {text for text in labelled & trained if len(text) > 25}


@needs_labels
def test_any_friction_reaches_its_floor_and_beats_the_baseline_in_every_language() -> None:
    data, wanted = conversations(LABELLED, "even"), friction(SCHEMA)
    precision, recall = score(LocalJudge(), data, wanted, SCHEMA).precision_recall()
    assert precision >= 0.7
    assert recall >= 0.6
    for language in sorted({item.language for item in data}):
        own = [item for item in data if item.language == language]
        ours, theirs = (
            2 * p * r / (p + r) if p + r else 0.0
            for p, r in (
                score(judge, own, wanted, SCHEMA).precision_recall() for judge in (LocalJudge(), RegexBaseline())
            )
        )
        assert ours >= theirs, language
