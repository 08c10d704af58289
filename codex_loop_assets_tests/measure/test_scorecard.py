"""Laws of scoring: what is right, what is missed, what counts for nothing, and how sure the numbers are."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from codex_loop_assets.measure.comparison import Judged, compare
from codex_loop_assets.measure.gold import (
    fixture_truth,
    planted_canon,
    planted_conversations,
    planted_truth,
    real_session_truth,
)
from codex_loop_assets.measure.reliability import reliability
from codex_loop_assets.measure.scorecard import scorecard, with_drift, without_left_out
from codex_loop_assets.measure.truth import LabelledMoment, Truth
from codex_loop_assets.signals.model import DetectedBy, Evidence, Moment, detection_row
from codex_loop_assets.tables import DETECTIONS, JUDGE_COVERAGE, SCORECARD, SIGNALS, SPINES, TURNS

GOLD = Path(__file__).parents[2] / "../shared/gold"
needs_gold = pytest.mark.skipif(not GOLD.is_dir(), reason="the labelled data is not beside this checkout")


def turns(*threads: str, messages: int = 5) -> pl.DataFrame:
    """Threads with a user message at records 10, 20, 30, ..."""
    rows = [
        {
            "thread_id": thread, "run": 0, "turn_id": str(index), "seq_start": 10 + 10 * index,
            "seq_end": 19 + 10 * index, "turn_index": index, "user_message": "words", "end_state": "completed",
            "source": "spine", "kind": "prompt", "human": True, "rolled_back": False, "interrupted": False,
            "undone": False, "compaction_count": 0, "tool_call_count": 0, "failed_tool_call_count": 0,
            "occurred_at": datetime(2026, 1, 1, tzinfo=UTC),
        }
        for thread in threads
        for index in range(messages)
    ]  # fmt: skip
    return TURNS.frame(rows)


def found(thread: str, seq: int, category: str = "correction", detector: str = "local_judge", end: int | None = None):
    kind = "delight" if category in ("positive_feedback", "time_saved", "zero_denial") else "friction"
    moment = Moment(thread, 0, seq, end or seq, 2, 0.8, "a finding", (Evidence(seq),))
    return detection_row(moment, category, kind, DetectedBy(detector, "v1", "s1"))


def labelled(thread: str, seq: int, category: str = "correction", **changes) -> LabelledMoment:
    kind = "delight" if category in ("positive_feedback", "time_saved", "zero_denial") else "friction"
    values = {"observed_by": "semantic", **changes}
    return LabelledMoment(thread, 0, (seq,), category, kind, **values)


def truth(*moments: LabelledMoment, threads=("a", "b"), undecided=()) -> Truth:
    languages = {thread: "de" if thread == "b" else "en" for thread in threads}
    return Truth("planted", languages, moments, tuple(undecided))


def score(labels: Truth, *rows: dict, **wanted) -> dict:
    frame = scorecard(labels, DETECTIONS.frame(list(rows)), turns(*labels.languages))
    values = {"detector": "local_judge", "category": "correction", "language": "all", "matching": "exact", **wanted}
    for name, value in values.items():
        frame = frame.filter(pl.col(name) == value)
    assert frame.height == 1, frame
    return frame.row(0, named=True)


def test_a_finding_anywhere_in_the_labelled_turn_is_right():
    row = score(truth(labelled("a", 20)), found("a", 27))
    assert (row["true_positives"], row["false_positives"], row["false_negatives"]) == (1, 0, 0)
    assert row["precision"] == row["recall"] == row["f1"] == 1.0


def test_one_message_off_is_near_and_not_exact():
    labels = truth(labelled("a", 20))
    assert score(labels, found("a", 31))["recall"] == 0.0
    assert score(labels, found("a", 31), matching="near")["recall"] == 1.0
    assert score(labels, found("a", 41), matching="near")["recall"] == 0.0


def test_a_record_just_before_a_message_belongs_to_that_message():
    assert score(truth(labelled("a", 18)), found("a", 20))["recall"] == 1.0


def test_another_category_in_the_right_place_is_wrong_but_counts_as_friction():
    labels, finding = truth(labelled("a", 20)), found("a", 20, "backtracking")
    assert score(labels, finding)["recall"] == 0.0
    assert score(labels, finding, category="any_friction")["precision"] == 1.0


def test_a_finding_in_an_unlabelled_session_that_was_read_is_false():
    row = score(truth(labelled("a", 20)), found("a", 20), found("b", 20))
    assert (row["precision"], row["recall"]) == (0.5, 1.0)


def test_a_session_nobody_read_counts_for_nothing():
    row = score(truth(labelled("a", 20), threads=("a",)), found("a", 20), found("elsewhere", 20))
    assert row["precision"] == 1.0


def test_an_undecided_place_counts_neither_way():
    row = score(truth(labelled("a", 20), undecided=[labelled("a", 40)]), found("a", 20), found("a", 40))
    assert (row["precision"], row["recall"], row["false_positives"]) == (1.0, 1.0, 0)


def test_an_unsure_label_excuses_a_finding_but_is_no_base_for_recall():
    labels = truth(labelled("a", 20), labelled("a", 40, confident=False))
    assert score(labels, found("a", 40))["precision"] == 1.0
    assert score(labels, found("a", 20))["recall"] == 1.0


def test_a_moment_of_the_whole_session_is_found_anywhere_in_it():
    labels = truth(labelled("a", 10, "zero_denial", scope="session", observed_by="mechanical"))
    row = score(labels, found("a", 50, "zero_denial", "mechanical"), category="zero_denial", detector="mechanical")
    assert row["recall"] == 1.0


def test_an_episode_over_several_turns_finds_each_labelled_turn():
    labels = truth(labelled("a", 20), labelled("a", 40))
    assert score(labels, found("a", 20, end=45))["recall"] == 1.0


def test_rules_are_not_blamed_for_what_only_a_judge_can_see():
    labels = truth(labelled("a", 20), labelled("a", 30, "exec_failure", observed_by="mechanical"))
    finding = found("a", 30, "exec_failure", "mechanical")
    row = score(labels, finding, detector="mechanical", category="any_friction")
    assert (row["precision"], row["recall"]) == (1.0, 1.0)
    assert score(labels, finding, detector="all", category="any_friction")["recall"] == 0.5


def test_languages_are_scored_apart():
    labels = truth(labelled("a", 20), labelled("b", 20))
    assert score(labels, found("b", 20), language="de")["recall"] == 1.0
    assert score(labels, found("b", 20), language="en")["recall"] == 0.0


def test_what_was_not_found_or_not_labelled_has_no_rate():
    row = score(truth(labelled("a", 20), threads=("a",)), found("a", 50, "backtracking"))
    assert row["precision"] is None and row["above_bar"] is None
    row = score(truth(threads=("a",)), found("a", 20))
    assert row["recall"] is None and row["precision"] == 0.0 and row["above_bar"] is False


def test_a_promoted_category_that_no_label_names_is_counted_and_not_judged():
    row = score(truth(labelled("a", 20)), found("a", 30, "port_in_use"), category="port_in_use")
    assert row["false_positives"] == 1
    assert row["precision"] is None and row["precision_low"] is None and row["above_bar"] is None
    row = score(truth(labelled("a", 20, "port_in_use")), found("a", 30, "port_in_use"), category="port_in_use")
    assert row["precision"] == 0.0 and row["above_bar"] is False


def test_intervals_hold_the_value_and_repeat():
    threads = tuple(f"t{number}" for number in range(30))
    labels = truth(*(labelled(thread, 20) for thread in threads), threads=threads)
    findings = [found(thread, 20 if number % 3 else 40) for number, thread in enumerate(threads)]
    first, second = score(labels, *findings), score(labels, *findings)
    assert first == second
    assert first["recall_low"] < first["recall"] < first["recall_high"]
    assert first["recall_low"] > 0.4 and first["recall_high"] < 0.9


def test_a_perfect_score_on_few_sessions_is_not_certain():
    row = score(truth(labelled("a", 20)), found("a", 20))
    assert row["precision"] == 1.0 and row["precision_low"] < 0.5


def test_a_detector_is_held_to_its_bar():
    labels = truth(labelled("a", 20))
    assert score(labels, found("a", 20))["above_bar"] is True
    assert score(labels, found("a", 20), found("a", 30), found("a", 40))["above_bar"] is False


def test_a_new_version_that_finds_less_than_before_is_worse():
    threads = tuple(f"t{number}" for number in range(20))
    labels = truth(*(labelled(thread, 20) for thread in threads), threads=threads)
    old = [found(thread, 20) for thread in threads]
    new = [{**row, "detector_version": "v2"} for row in old[:5]]
    cards = [scorecard(labels, DETECTIONS.frame(rows), turns(*threads)) for rows in (old, new)]
    first = with_drift(cards[0], SCORECARD.empty())
    assert first["version_before"].null_count() == first.height and first["worse"].null_count() == first.height
    moved = with_drift(cards[1], first).filter((pl.col("category") == "correction") & (pl.col("language") == "all"))
    assert moved["worse"].all() and moved["version_before"].unique().to_list() == ["v1"]
    assert (moved["recall"] - moved["recall_before"]).unique().to_list() == [-0.75]


def test_what_a_version_was_before_stays_until_the_next_version():
    labels = truth(labelled("a", 20))

    def card(version):
        return scorecard(labels, DETECTIONS.frame([{**found("a", 20), "detector_version": version}]), turns("a"))

    first = with_drift(card("v1"), SCORECARD.empty())
    second = with_drift(card("v2"), first)
    again = with_drift(card("v2"), second)
    assert again.equals(second)
    assert with_drift(card("v3"), again)["version_before"].drop_nulls().unique().to_list() == ["v2"]


def test_f1_has_an_interval_around_it_that_is_not_certain_where_all_agree():
    threads = tuple(f"t{number}" for number in range(30))
    labels = truth(*(labelled(thread, 20) for thread in threads), threads=threads)
    half = score(labels, *(found(thread, 20) for thread in threads[:15]))
    assert half["f1_low"] < half["f1"] < half["f1_high"]
    whole = score(labels, *(found(thread, 20) for thread in threads))
    assert whole["f1"] == 1.0 and 0.7 < whole["f1_low"] < 1.0
    nothing = score(labels, found("t0", 20, "undo"), detector="local_judge", category="correction")
    assert nothing["f1"] is None and nothing["f1_low"] is None


def test_a_judge_is_not_scored_on_what_it_does_not_look_for():
    labels = truth(labelled("a", 20), labelled("a", 30, "escalation_tone"), labelled("a", 40, "positive_feedback"))
    card = scorecard(labels, DETECTIONS.frame([found("a", 20)]), turns("a"), detectors=["local_judge"])

    def categories(left_out: list[str]) -> set[str]:
        row = {
            "thread_id": "a", "detector": "local_judge", "detector_version": "1", "schema_version": "1",
            "status": "judged", "left_out": left_out, "findings": 1, "rejected": 0, "calls": 0,
        }  # fmt: skip
        kept = without_left_out(card, JUDGE_COVERAGE.frame([row]))
        assert kept.filter(pl.col("detector") == "all").equals(card.filter(pl.col("detector") == "all"))
        return set(kept.filter(pl.col("detector") == "local_judge")["category"])

    everything = {"correction", "escalation_tone", "positive_feedback", "any_friction", "any_delight"}
    assert categories([]) == everything
    assert categories(["escalation_tone"]) == everything - {"escalation_tone"}
    assert categories(["positive_feedback"]) == everything - {"positive_feedback", "any_delight"}


def test_severity_and_confidence_are_compared_with_what_readers_say():
    labels = truth(
        *(replace(labelled("a", seq), severity=severity) for seq, severity in ((20, 1), (30, 3))),
        undecided=(labelled("a", 50),),
    )
    rows = [{**found("a", seq), "severity": 1, "confidence": 0.9} for seq in (20, 30, 40, 50)]
    frame = DETECTIONS.frame(rows)
    rows = reliability(labels, frame, SIGNALS.empty(), turns("a"))
    severity = rows.filter(pl.col("measure") == "severity").row(0, named=True)
    assert (severity["predicted"], severity["moments"], severity["observed_mean"]) == ("1", 2, 2.0)
    assert (severity["observed_1"], severity["observed_2"], severity["observed_3"]) == (0.5, 0.0, 0.5)
    confidence = rows.filter(pl.col("measure") == "confidence").row(0, named=True)
    assert (confidence["moments"], confidence["predicted_mean"]) == (3, pytest.approx(0.9))
    assert confidence["observed_mean"] == pytest.approx(2 / 3)
    assert confidence["observed_low"] < 2 / 3 < confidence["observed_high"]


def test_one_of_two_detectors_that_finds_more_gains_and_the_same_one_gains_nothing():
    threads = tuple(f"t{number}" for number in range(20))
    labels = truth(*(labelled(thread, 20) for thread in threads), threads=threads)
    all_found, some = DETECTIONS.frame([found(thread, 20) for thread in threads]), DETECTIONS.frame([found("t0", 20)])
    better = compare([Judged(labels, turns(*threads), all_found, some)], "correction")
    assert better["gain"][0] > 0 and better["labelled"] == 20 and better["baseline_recall"] == 0.05
    assert compare([Judged(labels, turns(*threads), some, some)], "correction")["gain"] == [0, 0]


def test_the_fixture_truth_says_what_is_open(tmp_path):
    path = tmp_path / "truth.json"
    path.write_text(
        """{"moments": [{"thread_id": "a", "run": 0, "seq_start": 3, "also_seq": [5], "category": "undo", "type":
        "friction",
        "severity": 2, "language": "en", "observed_by": "mechanical", "scope": "record", "split": "tune"}],
        "undecided": [{"thread_id": "a", "seq_start": 9, "category": "compaction", "why": "two"}],
        "near_misses": [{"thread_id": "a", "seq_start": 7, "category": "undo", "why": "a word"}],
        "sessions": [{"thread_id": "a", "languages": ["en"]}, {"thread_id": "b", "languages": ["fr"]}]}"""
    )
    labels = fixture_truth(path)
    assert labels.languages == {"a": "en", "b": "fr"}
    assert [moment.seqs for moment in labels.moments] == [(3, 5)]
    assert [moment.category for moment in labels.undecided] == ["compaction"]
    held_out = fixture_truth(path, split="held_out")
    assert held_out.moments == () and {one.category for one in held_out.undecided} == {"undo", "compaction"}


@needs_gold
def test_planted_conversations_split_by_the_number_of_their_id():
    paths = list((GOLD / "planted").glob("*.jsonl"))
    even, odd = planted_conversations(paths, "even"), planted_conversations(paths, "odd")
    assert len(even) + len(odd) == 350
    assert not {one["id"] for one in even} & {one["id"] for one in odd}


@needs_gold
def test_a_judge_that_repeats_the_labels_scores_one_on_planted_conversations():
    conversations = planted_conversations((GOLD / "planted").glob("*.jsonl"), "even")
    labels, canon = planted_truth(conversations, "even"), planted_canon(conversations)
    perfect = DETECTIONS.frame(
        list(
            {(r["signal_id"]): r for r in (found(m.thread_id, m.seqs[0], m.category) for m in labels.moments)}.values()
        )
    )
    rows = scorecard(labels, perfect, canon.turns).filter(
        (pl.col("detector") == "local_judge") & (pl.col("matching") == "exact")
    )
    assert rows["recall"].drop_nulls().min() == 1.0
    assert rows["precision"].drop_nulls().min() == 1.0
    assert canon.turns.height == sum(len(one["turns"]) for one in conversations)


@needs_gold
def test_labels_on_real_sessions_follow_the_file_to_its_thread():
    first = "rollout-2025-09-16T14-12-31-613a9a68-8816-40b2-a2d4-041ade599da6.jsonl"
    spines = (
        SPINES.empty()
        .select("thread_id", "path")
        .vstack(pl.DataFrame({"thread_id": ["t"], "path": [f"sessions/2025/09/16/{first}"]}))
    )
    labels = real_session_truth(GOLD / "labels_dev.jsonl", spines)
    assert set(labels.languages) == {"t"}
    assert all(moment.thread_id == "t" and moment.observed_by == "semantic" for moment in labels.moments)
    assert labels.moments
