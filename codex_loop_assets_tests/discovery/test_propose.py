"""Laws of proposals: when one is made, what it shows, and what becomes of it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from functools import cache

import numpy as np
import polars as pl
import pytest

from codex_loop_assets.discovery.ask import Asker
from codex_loop_assets.discovery.backtest import backtest
from codex_loop_assets.discovery.cluster import advance
from codex_loop_assets.discovery.draft import TemplateDrafter, free_name
from codex_loop_assets.discovery.draft_llm import ModelDrafter
from codex_loop_assets.discovery.explained import explain
from codex_loop_assets.discovery.found_again import found_again
from codex_loop_assets.discovery.governance import category_of
from codex_loop_assets.discovery.propose import by_impact, propose
from codex_loop_assets.discovery.state import ClusterState
from codex_loop_assets.settings import section
from codex_loop_assets.signals.schema import Category
from codex_loop_assets_tests.discovery.stream import START, Stream, Theme, stream
from codex_loop_assets_tests.openai_server import OpenAiServer

SETTINGS = section("discovery")
# The days of these tests are few and their sessions have no repository: a young pattern's confidence is lower.
EVIDENCE = SETTINGS["proposals"] | {"minimum_confidence": 0.6}
BUILT_IN = {"exec_failure": {"status": "built_in"}}


@cache
def made() -> Stream:
    return stream([Theme("frozen lockfile", 4), Theme("blocked network", 4)], 8, spread=0.4)


@cache
def day(number: int) -> ClusterState:
    before = day(number - 1) if number else None
    return advance(
        before, START + timedelta(number), made().signals, made().vectors, SETTINGS, embedding_model="test/64"
    )


def proposals(number: int, previous=None, decisions=(), categories=None, signals=None, requests=None) -> pl.DataFrame:
    frame = made().signals if signals is None else signals
    return proposed(number, previous, decisions, categories, frame, requests).frame


def proposed(
    number, previous=None, decisions=(), categories=None, signals=None, requests=None, settings=None, drafter=None
):
    known, frame = categories or BUILT_IN, made().signals if signals is None else signals
    given = SETTINGS | {"proposals": EVIDENCE | (settings or {})}
    return propose(
        day(number), frame, made().vectors, known, decisions, previous, given, requests=requests, drafter=drafter
    )


def decision(kind: str, proposal_id: str, number: int) -> dict:
    at = datetime.combine(START + timedelta(number), datetime.min.time(), UTC).isoformat()
    return {"kind": kind, "proposal_id": proposal_id, "at": at, "who": "ada", "reason": "because"}


def test_a_pattern_without_category_is_proposed_with_all_a_reviewer_needs():
    frame = proposals(5)
    assert frame.height == 2 and set(frame["status"]) == {"open"}
    assert sorted(any(word in name for word in ("lockfile", "network")) for name in frame["name"]) == [True, True]
    row = frame.row(0, named=True)
    category = Category(**category_of(row))
    assert len(category.positives) >= 5 and len(category.hard_negatives) >= 5
    assert not set(category.positives) & set(category.hard_negatives)
    assert 0 < row["confidence"] <= 1 and len(row["confidence_reasons"]) == 8
    assert json.loads(row["backtest"])["f1"] > 0.9


def test_an_open_proposal_keeps_its_id_while_its_cluster_grows():
    first = proposals(4)
    later = proposals(7, first)
    grown = first.join(later, on="proposal_id", suffix="_later")
    assert grown.height == first.height > 0 and set(grown["status_later"]) == {"open"}
    assert (grown["sample_count_later"] > grown["sample_count"]).all()


@pytest.mark.parametrize("lacks", ["samples", "sessions", "own_words", "f1", "found_again", "confidence"])
def test_a_pattern_with_too_little_evidence_waits_and_says_what_it_needs_and_has(lacks):
    made_of_it = proposed(5, settings={f"minimum_{lacks}": 99})
    rows = made_of_it.waiting.filter(pl.col("lacks") == lacks)
    assert made_of_it.frame.is_empty() and rows.height == 2
    assert set(rows["need"]) == {99.0} and rows["have"].is_between(0, 98).all()


def test_a_model_words_proposals_and_each_says_who_worded_it(tmp_path):
    answer = {
        "sensible": True,
        "name": "Blocked Installs!",
        "definition": "An install is blocked.",
        "inclusion_criteria": ["it is"],
        "exclusion_criteria": [],
        "severity_rule": "clear",
    }
    with OpenAiServer(lambda body: answer) as server:
        drafter = ModelDrafter(
            Asker(SETTINGS["model"], tmp_path, server.environment), TemplateDrafter(SETTINGS["proposals"])
        )
        frame = proposed(5, drafter=drafter).frame
    assert sorted(frame["name"]) == ["blocked_installs", "blocked_installs_2"]
    assert set(frame["drafted_by"]) == {SETTINGS["model"]["name"]} and set(proposals(5)["drafted_by"]) == {"local"}


def test_a_pattern_that_cannot_be_worded_waits_and_is_not_dropped():
    assert set(proposed(5, settings={"minimum_terms": 99}).waiting["lacks"]) == {"words"}


def test_an_open_proposal_stays_open_when_more_evidence_is_asked_for_later():
    first = proposals(5)
    assert set(proposed(6, first, settings={"minimum_samples": 99}).frame["status"]) == {"open"}


def test_proposals_that_concern_more_sessions_come_first():
    frame = proposals(5).with_columns(session_count=pl.Series([4, 40], dtype=pl.Int32), confidence=pl.lit(0.8))
    assert by_impact(frame)["session_count"].to_list() == [40, 4]


def test_one_open_proposal_per_cluster():
    frame = proposals(7, proposals(6, proposals(5)))
    assert frame.filter(pl.col("status") == "open")["cluster_id"].is_unique().all()


def test_a_rejected_proposal_comes_back_only_when_its_cluster_has_doubled():
    first = proposals(2)
    rejected = [decision("reject", key, 2) for key in first["proposal_id"]]
    soon = proposals(3, first, rejected)
    assert set(soon["status"]) == {"rejected"} and soon.height == 2
    late = proposals(7, soon, rejected)
    before = dict(soon.select("cluster_id", "sample_count").iter_rows())
    now = dict(day(7).clusters.select("cluster_id", "size").iter_rows())
    returned = late.filter(pl.col("status") == "open")
    assert set(returned["cluster_id"]) == {key for key, size in before.items() if now[key] >= 2 * size} != set()
    assert not set(returned["proposal_id"]) & set(first["proposal_id"])


def test_an_approved_cluster_is_not_proposed_again():
    first = proposals(3)
    approved = [decision("approve", key, 3) for key in first["proposal_id"]]
    assert set(proposals(7, first, approved)["status"]) == {"approved"}


def test_a_decision_of_a_later_day_is_not_seen_by_an_earlier_one():
    first = proposals(3)
    assert set(proposals(4, first, [decision("reject", first["proposal_id"][0], 6)])["status"]) == {"open"}


def test_a_promoted_category_explains_the_clusters_that_carry_it():
    signals = made().signals.with_columns(category=pl.lit("frozen_lockfile"))
    assert proposals(5, signals=signals, categories={"frozen_lockfile": {"status": "promoted"}}).is_empty()


def test_a_broad_category_does_not_explain_a_tight_part_of_it_but_explains_the_whole():
    signals = made().signals.with_columns(category=pl.lit("exec_failure"))
    part = signals.filter(pl.Series([made().truth[key] == "frozen lockfile" for key in signals["signal_id"]]))
    assert not explain(part, signals, made().table, frozenset(), SETTINGS["proposals"]).explained
    assert explain(part, part, made().table, frozenset(), SETTINGS["proposals"]).explained
    loose = signals.gather_every(3)
    assert explain(loose, signals, made().table, frozenset(), SETTINGS["proposals"]).explained


def test_what_a_session_began_with_is_a_hard_negative():
    requests = dict.fromkeys(made().signals["thread_id"], "please run the tests")
    texts = [item["text"] for item in json.loads(proposals(5, requests=requests)["hard_negatives"][0])]
    assert texts.count("please run the tests") == 1


def test_a_proposal_whose_cluster_is_gone_is_superseded():
    first = proposals(3).with_columns(cluster_id=pl.lit("cluster_gone"))
    assert set(proposals(4, first).filter(pl.col("cluster_id") == "cluster_gone")["status"]) == {"superseded"}


def test_a_back_test_counts_what_a_learnt_detector_would_find():
    random = np.random.default_rng(0)

    def around(axis: int, count: int) -> np.ndarray:
        points = np.eye(8)[axis] + random.normal(size=(count, 8)) * 0.1
        return points / np.linalg.norm(points, axis=1, keepdims=True)

    clean = backtest(around(0, 20), around(1, 50))
    assert (clean.members_found, clean.others_found, clean.f1) == (20, 0, 1.0)
    mixed = backtest(around(0, 20), np.concatenate([around(0, 20), around(1, 30)]))
    assert mixed.precision < 0.8


def test_examples_of_several_troubles_are_not_found_by_what_the_others_teach():
    """A promoted category learnt from the second set found requests about whatever the odd example mentions."""
    detector = section("local_judge")["promoted"]
    unlike = ["run the smoke check", "add the endpoint refund", "rename the column total", "why is the log empty"]
    alike = [
        "you left the dev server running in the background, stop it",
        "the dev server you started is still running in the background, stop it",
        "stop the dev server that still runs in the background",
    ]
    odd = [*alike[:2], "oh wait, I gave you the wrong file name, it is prices.csv", "为什么没有权限"]
    assert found_again(alike, unlike, detector).share == 1.0
    assert found_again(odd, unlike, detector).found == 2
    assert found_again([], unlike, detector).share == 0.0


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("Frozen Lockfile!", "frozen_lockfile"),
        ("3 times", "pattern_3_times"),
        ("为什么", "pattern"),
        ("taken", "taken_2"),
    ],
)
def test_any_words_become_a_free_valid_name(words, name):
    assert free_name(words, {"taken"}) == name
    assert Category(name=name, type="friction", definition="x").name == name
