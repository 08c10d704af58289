"""Thirty days of fixtures, lived day by day with the product's own detection and clustering: one ticket per planted
problem and none for noise; a fix is verified, a non-fix is not, and what comes back reopens its own ticket."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta

import polars as pl
import pytest

from codex_loop_assets.loop import life, tickets, verify
from codex_loop_assets.loop.cause import having
from codex_loop_assets.loop.evidence import gather
from codex_loop_assets.settings import section
from codex_loop_assets.tables import TABLES
from codex_loop_assets_tests.loop import replay
from codex_loop_assets_tests.loop.test_verify import CATEGORY, FRICTION_GONE, FRICTION_SAME, REWARD_SAME

SETTINGS = section("tickets")
# Besides the themes, two families of scenarios repeat one trouble; every other session is one of a kind.
SCENARIOS = {
    "mechanical/denial-exec": "publishing is refused",
    "mechanical/repeated-denial": "publishing is refused",
    "mechanical/oscillation": "the first line of a README",
    "mechanical/file-churn": "the first line of a README",
    "mechanical/denial-patch": "the first line of a README",
}


@pytest.fixture(scope="module")
def lived():
    return replay.lived()


@pytest.fixture(scope="module")
def problem_of():
    """thread_id -> the planted problem that its session shows; sessions without one are noise."""
    truth = replay.truth()
    final = {theme["name"]: theme["final"] or theme["name"] for theme in truth["themes"]}
    # What a merge or a split leads to is the same problem.
    final |= {theme["name"]: "leftover-server" for theme in truth["themes"] if theme["life"] == "merges"}
    named = {}
    for session in truth["sessions"]:
        family = "/".join(session["key"].split("/")[:2])
        problem = final.get(family.removeprefix("theme/")) or SCENARIOS.get(family)
        if problem:
            named[session["thread_id"]] = problem
    for theme in truth["themes"]:
        for member in theme["members"]:
            named.setdefault(member["thread_id"], final[theme["name"]])
    return named


def share_of_main_problem(threads, problem_of):
    counts = Counter(problem_of.get(thread, "noise") for thread in threads)
    name, count = counts.most_common(1)[0]
    return name, count / counts.total()


def test_each_ticket_is_about_one_planted_problem_and_none_about_noise(lived, problem_of):
    about = {
        state.title: share_of_main_problem(lived.threads_of(state.cluster_id), problem_of)
        for state in lived.open().values()
    }
    assert len(about) >= 8, about
    assert all(name != "noise" and share > 0.5 for name, share in about.values()), about


def test_no_planted_problem_has_two_tickets(lived, problem_of):
    names = Counter(
        share_of_main_problem(lived.threads_of(state.cluster_id), problem_of)[0] for state in lived.open().values()
    )
    assert max(names.values()) == 1, names


def test_no_two_tickets_have_one_title_and_every_title_names_something(lived):
    titles = [state.title for state in lived.open().values()]
    assert len(set(titles)) == len(titles)
    labels = set(lived.states[-1].clusters["label"])
    assert not labels & {title.lower() for title in titles} and not any("·" in title for title in titles)


def test_every_ticket_holds_its_claims_at_the_end(lived):
    frames = lived.frames()
    for state in list(lived.open().values())[:4]:
        ticket = tickets.build(state.cluster_id, frames, lived.log, lived.states[-1].day)
        assert ticket.findings == () and ticket.claims, ticket.title


def test_living_the_last_day_again_adds_no_event(lived):
    frames, today = lived.frames(), lived.states[-1].day
    again = [
        event
        for state in lived.open().values()
        for event in tickets.decide(state.cluster_id, frames, lived.log, today).events
    ]
    assert life.fold([*lived.log, *again]) == life.fold(lived.log)


def cluster_about(lived, theme):
    """The live cluster with most of the signals of a theme's sessions."""
    threads = {
        member["thread_id"] for row in replay.truth()["themes"] if row["name"] == theme for member in row["members"]
    }
    signals = lived.detected.signals.filter(pl.col("thread_id").is_in(threads))
    members = lived.states[-1].members.join(signals.select("signal_id"), on="signal_id", how="semi")
    return members.drop_nulls("cluster_id")["cluster_id"].value_counts(sort=True)["cluster_id"][0]


def intervention(kind, recurs=False):
    rows = [
        row for row in replay.truth()["interventions"] if row["kind"] == kind and bool(row["recurs_from"]) == recurs
    ]
    return rows[0]["theme"], date.fromisoformat(rows[0]["day"])


def judged(lived, theme, since, measured):
    """What `verify` says at the end of the days about the ticket of a theme's cluster (a person opened it where the rule had
    not), given comparisons on its dataset."""
    frames, today = lived.frames(), lived.states[-1].day
    cluster_id = cluster_about(lived, theme)
    log = [*lived.log, *tickets.decide(cluster_id, frames, lived.log, today, force=True).events]
    [state] = [state for state in life.fold(log).values() if state.cluster_id == cluster_id]
    categories = lived.detected.signals.filter(pl.col("thread_id").is_in(lived.threads_of(cluster_id)))["category"]
    exposed = lived.detected.exposure.filter(pl.col("category").is_in(categories.unique().implode()))["thread_id"]
    affected = having(gather(cluster_id, today, frames), *state.cause.values())
    change = verify.production_change(affected, frames["sessions"], exposed, since)
    comparisons = {"target": TABLES["regressions"].frame(measured)} if measured else {}
    return verify.decide(state, CATEGORY, comparisons, today, change), log


def test_a_planted_fix_is_verified_and_its_ticket_stays_closed(lived):
    theme, since = intervention("fix")
    verdict, log = judged(lived, theme, since, [FRICTION_GONE, REWARD_SAME])
    assert verdict.production.after.affected == 0 and verdict.production.before.affected >= 5
    assert verdict.outcome == "close"
    log.append(verdict.event)
    seen = life.Observation(verdict.event.fingerprint, lived.states[-1].day + timedelta(days=7), ())
    state = life.fold(log)[verdict.event.ticket_id]
    assert state.status == "verified" and life.advance(state, state.fingerprint, seen, "", SETTINGS) == []


def test_a_planted_fix_that_nobody_measured_stays_open(lived):
    assert judged(lived, *intervention("fix"), [])[0].outcome == "keep"


def test_a_planted_non_fix_is_not_verified(lived):
    theme, since = intervention("non_fix")
    verdict, _ = judged(lived, theme, since, [FRICTION_SAME, REWARD_SAME])
    assert verdict.outcome == "keep" and verdict.production.after.affected > 0


def test_a_planted_recurrence_reopens_its_ticket(lived, problem_of):
    theme, fixed_on = intervention("fix", recurs=True)
    [row] = [row for row in replay.truth()["interventions"] if row["theme"] == theme]
    proven_on, back = fixed_on + timedelta(days=2), date.fromisoformat(row["recurs_from"])
    cluster_id = cluster_about(lived, theme)
    assert share_of_main_problem(lived.threads_of(cluster_id), problem_of) == (theme, 1.0)
    states = {state.day: state for state in lived.states}
    # A person opens it: so early the pattern is too small for the rule.
    log = [*tickets.decide(cluster_id, lived.frames(states[fixed_on]), [], fixed_on, force=True).events]
    [ticket] = life.fold(log).values()
    log += [life.Event(ticket.ticket_id, ticket.fingerprint, proven_on, "verified", "ada", "its dataset", {})]
    statuses = {}
    for day, state in states.items():
        if day > proven_on:
            log += tickets.decide(cluster_id, lived.frames(state), log, day).events
            statuses[day] = life.fold(log)[ticket.ticket_id].status
    assert {status for day, status in statuses.items() if day < back} == {"verified"}
    assert statuses[max(statuses)] == "regressed"
    # The same ticket, and the one that the rule opens where nobody did.
    assert set(life.fold(log)) == {ticket.ticket_id} and ticket.ticket_id in lived.open()


def test_a_ticket_closed_by_mistake_reopens_under_its_own_id(lived):
    [state] = [state for state in lived.open().values() if "People refuse git push" in state.title]
    before = next(event.day for event in lived.log if event.ticket_id == state.ticket_id)
    log = [event for event in lived.log if event.ticket_id == state.ticket_id and event.day <= before]
    log += [life.Event(state.ticket_id, state.fingerprint, before, "verified", "ada", "looked fine", {})]
    for known in lived.states:
        if known.day > before:
            log += tickets.decide(state.cluster_id, lived.frames(known), log, known.day).events
    assert life.fold(log)[state.ticket_id].status == "regressed"
    assert set(life.fold(log)) == {state.ticket_id}
