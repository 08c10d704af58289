"""The planted problems of the fixtures, lived day by day: one ticket each, the fix holds, the non-fix does not, the
recurrence reopens. The truth file stands in for detection and clustering, which have their own tests."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest

from codex_loop_assets.loop import life, verify
from codex_loop_assets.settings import section
from codex_loop_assets_tests.loop import world

PATH = Path(__file__).parents[2] / "fixtures" / "truth.json"
SETTINGS = section("tickets")


@pytest.fixture(scope="module")
def truth():
    if not PATH.is_file():
        pytest.skip("fixtures/truth.json is not there; make it with python -m fixtures.generator")
    return json.loads(PATH.read_text("utf-8"))


def days_of(truth):
    return {row["thread_id"]: date.fromisoformat(row["day"]) for row in truth["sessions"]}


def moments(truth, name):
    days = days_of(truth)
    [theme] = [theme for theme in truth["themes"] if theme["name"] == name]
    return tuple(sorted((days[member["thread_id"]], member["thread_id"]) for member in theme["members"]))


def sessions(truth):
    rows = []
    for number, (thread, day) in enumerate(sorted(days_of(truth).items())):
        rows.append(world.session(number, day, False) | {"thread_id": thread})
    return world.TABLES["sessions"].frame(rows)


def production(truth, name, since):
    frame = sessions(truth)
    affected = pl.Series([thread for _, thread in moments(truth, name)])
    settings = SETTINGS | {"verify": SETTINGS["verify"] | {"production_days": 16}}
    return verify.production_change(affected, frame, frame["thread_id"], since, settings)


def lived(truth, name, log=(), first=None, last=None):
    """The log after each day's evidence up to `last`; a problem opens its ticket at its third session."""
    log, all_moments = list(log), moments(truth, name)
    first = first or all_moments[0][0]
    last = last or date.fromisoformat(truth["clock"])
    for offset in range((last - first).days + 1):
        day = first + timedelta(days=offset)
        seen = life.Observation(name, day, tuple(moment for moment in all_moments if moment[0] <= day))
        state = life.fold(log).get(life.ticket_id(name))
        if state or len({thread for _, thread in seen.moments}) >= SETTINGS["open"]["minimum_sessions"]:
            log += life.advance(state, name, seen, "recurs", SETTINGS)
    return log


def intervention(truth, kind, recurs):
    chosen = [row for row in truth["interventions"] if row["kind"] == kind and bool(row["recurs_from"]) == recurs]
    return chosen[0]["theme"], date.fromisoformat(chosen[0]["day"]), chosen[0]["recurs_from"]


def test_each_planted_problem_lives_in_one_ticket(truth):
    for theme in truth["themes"]:
        log = lived(truth, theme["name"])
        assert [event.kind for event in log].count("opened") == 1, theme["name"]
        assert len(life.fold(log)) == 1


def judged(truth, theme, since, today):
    state = life.fold(lived(truth, theme, last=since))[life.ticket_id(theme)]
    return verify.decide(state, None, {}, today, production(truth, theme, since), provable=False)


def test_a_planted_fix_is_verified_and_stays_verified(truth):
    theme, day, _ = intervention(truth, "fix", recurs=False)
    verdict = judged(truth, theme, day, day + timedelta(days=16))
    assert verdict.outcome == "close" and verdict.production.after.affected == 0
    log = lived(truth, theme, [*lived(truth, theme, last=day), verdict.event], first=day + timedelta(days=17))
    assert life.fold(log)[life.ticket_id(theme)].status == "verified"


def test_a_planted_recurrence_reopens_its_ticket(truth):
    theme, day, recurs = intervention(truth, "fix", recurs=True)
    back = date.fromisoformat(recurs)
    proof = life.Event(life.ticket_id(theme), theme, back - timedelta(days=2), "verified", "ada", "its dataset", {})
    eve = back - timedelta(days=1)
    quiet = lived(truth, theme, [*lived(truth, theme, last=day), proof], first=eve, last=eve)
    assert life.fold(quiet)[life.ticket_id(theme)].status == "verified"
    again = lived(truth, theme, quiet, first=back)
    assert life.fold(again)[life.ticket_id(theme)].status == "regressed"
    assert len(life.fold(again)) == 1


def test_three_of_many_sessions_are_too_few_to_close_on(truth):
    theme, day, recurs = intervention(truth, "fix", recurs=True)
    verdict = judged(truth, theme, day, date.fromisoformat(recurs) - timedelta(days=2))
    assert verdict.production.after.affected == 0 and verdict.outcome == "keep"


def test_a_planted_non_fix_is_not_verified(truth):
    theme, day, _ = intervention(truth, "non_fix", recurs=False)
    verdict = judged(truth, theme, day, day + timedelta(days=16))
    assert verdict.production.after.affected > 0 and verdict.outcome == "keep"
