"""Laws of the review: the useful questions first, each person once, chance draws for precision, disagreement shown."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_loop_assets.loop import append_log, labels, life, review, tickets
from codex_loop_assets.settings import section
from codex_loop_assets_tests.loop import world

SETTINGS = section("review")


def queue(verdicts=(), who="ada", settings=SETTINGS):
    frames = world.frames()
    frames["tickets"] = world.TABLES["tickets"].frame([ticket_row()])
    return review.queue(frames, verdicts, who, settings)


def ticket_row():
    return {
        "ticket_id": "tkt_1", "cluster_id": world.CLUSTER, "fingerprint": world.CLUSTER, "title": "Pytest fails",
        "status": "new",
        "reason": "frequent", "priority": "P1", "labels": [], "signal_count": 10, "session_count": 10,
        "validated_tasks": 1,
        "path": "tickets/tkt_1.md", "opened_on": world.TODAY, "updated_on": world.TODAY,
    }  # fmt: skip


def verdict(
    item_id, answer="accept", who="ada", why="audit", at="2026-03-14T10:00:00+00:00", category="exec_failure", **more
):
    about = more | {
        "thread_id": "t",
        "run": 0,
        "seq_start": 5,
        "category": category,
        "type": "friction",
        "detector": "mechanical",
    }
    return review.Verdict("signal", item_id, answer, who, at, "because", why, about)


def test_one_queue_holds_signals_proposals_tasks_and_tickets_best_first():
    items = queue()
    assert {item.kind for item in items} == {"signal", "proposal", "task", "ticket"}
    for kind in {item.kind for item in items}:
        scores = [item.score for item in items if item.kind == kind]
        assert scores == sorted(scores, reverse=True)
    assert items[0].kind == "ticket" and all(item.lines for item in items)


def test_nobody_is_asked_twice_and_others_still_are():
    first = queue()[0]
    answered = [review.answer(first, "skip", "ada", "2026-03-14T10:00:00+00:00", "")]
    assert first.item_id not in {item.item_id for item in queue(answered)}
    assert first.item_id in {item.item_id for item in queue(answered, who="grace")}


def test_some_signals_are_drawn_by_chance():
    whys = [item.why for item in queue(settings=SETTINGS | {"audit_share": 0.5}) if item.kind == "signal"]
    assert {"audit", "uncertain"} == set(whys)


def test_a_rejection_needs_a_reason():
    with pytest.raises(ValueError, match="say why"):
        review.answer(queue()[0], "reject", "ada", "2026-03-14T10:00:00+00:00", " ")


def test_a_rejected_ticket_is_ignored_for_a_while():
    item = next(item for item in queue() if item.kind == "ticket")
    said = review.answer(item, "reject", "ada", "2026-03-14T10:00:00+00:00", "known, planned for May")
    [event] = review.ticket_events([said], world.TODAY)
    opened = life.Event("tkt_1", world.CLUSTER, world.TODAY, "opened", "codex-loop", "", {"cluster_id": world.CLUSTER})
    state = life.fold([opened, event])["tkt_1"]
    assert state.status == "ignored" and str(state.ignored_until) == "2026-04-13"


def test_the_majority_labels_and_a_tie_labels_nothing():
    given_verdicts = [
        verdict("sig_1", "accept", "ada"), verdict("sig_1", "accept", "grace"), verdict("sig_1", "reject", "joan"),
        verdict("sig_2", "accept", "ada"), verdict("sig_2", "reject", "grace"),
    ]  # fmt: skip
    found = labels.gold_labels(given_verdicts)
    assert found["accepted"].to_list() == [True, None] and found["agreed"].to_list() == [False, False]


def test_the_newest_answer_of_a_person_counts():
    changed = [verdict("sig_1", "accept"), verdict("sig_1", "reject", at="2026-03-15T10:00:00+00:00")]
    assert labels.gold_labels(changed)["accepted"].to_list() == [False]


def test_agreement_between_people_is_shown_beyond_chance():
    votes = [verdict(f"sig_{n}", "accept" if n % 2 else "reject", who) for n in range(10) for who in ("ada", "grace")]
    [pair] = labels.agreement(votes)
    assert pair["same"] == 1 and pair["kappa"] == 1 and pair["items"] == 10
    always = [verdict(f"sig_{n}", "accept", who) for n in range(3) for who in ("ada", "grace")]
    assert labels.agreement(always)[0]["kappa"] is None


def test_precision_counts_chance_draws_only_and_claims_no_recall():
    votes = [verdict(f"sig_{n}", "accept" if n < 8 else "reject") for n in range(10)]
    votes += [verdict(f"sig_x{n}", "reject", why="uncertain") for n in range(10)]
    [row] = labels.scorecard_rows(votes, world.frames()["signals"], bar=0.7).to_dicts()
    assert row["precision"] == 0.8 and row["recall"] is None and row["above_bar"] and row["precision_low"] < 0.8


def test_a_detector_that_promises_more_than_people_accept_is_shown_beside_its_promise():
    votes = [verdict(f"sig_{n}", "accept" if n < 2 else "reject", confidence=0.9) for n in range(20)]
    votes += [verdict(f"sig_x{n}", "accept", why="uncertain", confidence=0.1) for n in range(20)]
    [row] = labels.agreement_with_people(votes)
    assert (row["detector"], row["items"], row["accepted"]) == ("mechanical", 20, 2)
    assert row["expected"] == pytest.approx(0.9) and row["low"] < row["share"] < row["high"] < row["expected"]
    before = [verdict("sig_1", "accept")]
    assert labels.agreement_with_people(before)[0]["expected"] is None


def test_verdicts_survive_their_log(tmp_path):
    path = tmp_path / "review.jsonl"
    said = verdict("sig_1")
    assert append_log.append(path, [said.as_dict()], "verdict_id") == 1
    assert append_log.append(path, [said.as_dict()], "verdict_id") == 0
    assert [review.Verdict.from_dict(line) for line in append_log.read(path)] == [said]


@given(st.lists(st.sampled_from(["accept", "reject", "skip"]), max_size=8))
def test_skips_never_change_a_label(answers):
    votes = [verdict("sig_1", reply, who=f"person {n}") for n, reply in enumerate(answers)]
    without = [vote for vote in votes if vote.answer != "skip"]
    assert labels.gold_labels(votes).equals(labels.gold_labels(without))


def test_many_tickets_do_not_keep_moments_from_being_asked():
    frames = world.frames()
    ticket = tickets.build(world.CLUSTER, frames, [], world.TODAY).frame
    many = pl.concat([ticket.with_columns(ticket_id=pl.lit(f"tkt_{number}")) for number in range(60)])
    asked = review.queue(frames | {"tickets": many}, [], "ada")
    first = [item.kind for item in asked[:6]]
    assert "signal" in first and "ticket" in first and len(asked) <= 40
