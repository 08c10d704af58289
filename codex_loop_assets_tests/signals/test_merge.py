"""Laws of merging: one moment is one signal, whoever found it and in whatever order."""

from __future__ import annotations

import json
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from codex_loop_assets.signals.merge import _moments, _order, _same_moment, merge
from codex_loop_assets.signals.model import DetectedBy, Evidence, Moment, detection_row, signal_id
from codex_loop_assets.signals.schema import load_schema
from codex_loop_assets.tables import MECHANICAL_SIGNALS, SEMANTIC_SIGNALS

SCHEMA = load_schema()


def row(detector: str, seq: int, category: str = "correction", turn: str | None = "t1", **changes) -> dict:
    values = {"severity": 2, "confidence": 0.6, "description": f"{detector} at {seq}", "seq_end": seq, **changes}
    moment = Moment("thread", 0, seq, evidence=(Evidence(seq),), turn_id=turn, **values)
    return detection_row(moment, category, SCHEMA.categories[category].type, DetectedBy(detector, "1", SCHEMA.version))


def merged(*rows: dict) -> tuple[list[dict], list[dict]]:
    mechanical = [one for one in rows if one["detector"] == "mechanical"]
    semantic = [one for one in rows if one["detector"] != "mechanical"]
    signals, detections = merge(MECHANICAL_SIGNALS.frame(mechanical), SEMANTIC_SIGNALS.frame(semantic), SCHEMA)
    return signals.to_dicts(), detections.to_dicts()


def test_two_judges_on_one_turn_make_one_signal_with_two_detections():
    signals, detections = merged(row("local_judge", 5), row("llm_judge", 5))
    assert len(signals) == 1 and len(detections) == 2
    assert signals[0]["detectors"] == ["llm_judge", "local_judge"]
    assert {one["signal_id"] for one in detections} == {signals[0]["signal_id"]}


def test_confidence_is_the_chance_that_not_all_are_wrong():
    signals, _ = merged(row("local_judge", 5, confidence=0.5), row("llm_judge", 5, confidence=0.8))
    assert abs(signals[0]["confidence"] - 0.9) < 1e-9


def test_one_unsure_detector_does_not_make_a_moment_severe():
    signals, _ = merged(row("local_judge", 5, severity=3, confidence=0.3))
    assert signals[0]["severity"] == 2


def test_two_failures_in_one_turn_found_by_one_detector_stay_two():
    signals, _ = merged(row("mechanical", 5, "exec_failure"), row("mechanical", 9, "exec_failure"))
    assert len(signals) == 2


def test_other_turns_and_other_categories_stay_apart():
    signals, _ = merged(row("local_judge", 5), row("llm_judge", 9, turn="t2"), row("llm_judge", 5, "backtracking"))
    assert len(signals) == 3


def test_overlapping_spans_without_a_turn_are_one_moment():
    signals, _ = merged(row("local_judge", 5, turn=None, seq_end=8), row("llm_judge", 7, turn=None))
    assert len(signals) == 1
    assert (signals[0]["seq_start"], signals[0]["seq_end"]) == (5, 8)


def test_evidence_of_all_detections_is_kept_once():
    signals, _ = merged(row("local_judge", 5, seq_end=9), row("llm_judge", 7))
    assert [item["seq"] for item in json.loads(signals[0]["evidence"])] == [5, 7]


def test_the_id_is_that_of_the_place_and_not_of_the_detector():
    alone, _ = merged(row("local_judge", 5))
    other, _ = merged(row("llm_judge", 5))
    assert alone[0]["signal_id"] == other[0]["signal_id"] == signal_id("thread", 0, 5, "correction")


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["mechanical", "local_judge", "llm_judge"]),
            st.integers(1, 30),
            st.integers(0, 6),
            st.sampled_from(["t1", "t2", None]),
        ),
        max_size=12,
        unique_by=lambda item: (item[0], item[1]),
    ),
    st.randoms(use_true_random=False),
)
def test_merging_loses_nothing_and_ignores_order(items, source: random.Random):
    rows = [row(who, seq, turn=turn, seq_end=seq + length) for who, seq, length, turn in items]
    signals, detections = merged(*rows)
    shuffled = list(rows)
    source.shuffle(shuffled)
    assert merged(*shuffled) == (signals, detections)
    assert len(detections) == len(rows)
    assert {one["signal_id"] for one in detections} == {one["signal_id"] for one in signals}
    assert sum(len(one["detectors"]) for one in signals) == len(rows)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(("mechanical", "local_judge", "llm_judge")),
            st.integers(1, 15),
            st.integers(0, 8),
            st.sampled_from((None, "1", "2")),
        ),
        max_size=10,
    )
)
@settings(max_examples=150, deadline=None)
def test_looking_only_at_what_is_near_groups_as_looking_at_everything_does(found):
    rows = [row(detector, seq, turn=turn, seq_end=seq + length) for detector, seq, length, turn in found]
    everything: list[list[dict]] = []
    for one in sorted(rows, key=_order):
        fitting = [moment for moment in everything if _same_moment(one, moment)]
        near = min(fitting, key=lambda moment: abs(moment[0]["seq_start"] - one["seq_start"]), default=None)
        near.append(one) if near else everything.append([one])
    assert _moments(rows) == everything
