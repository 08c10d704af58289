"""Laws of ticket life: one problem, one ticket; recurrence reopens; a fold gives the same state in any process."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_loop_assets.loop import append_log, life, ticket_log
from codex_loop_assets.settings import section
from codex_loop_assets.tables import TABLES

DAY = date(2026, 3, 1)
SETTINGS = section("tickets")


def days(count, per_day=1, start=DAY):
    return tuple((start + timedelta(days=n), f"t{n}-{k}") for n in range(count) for k in range(per_day))


def replay(moments, last, log=(), first=DAY):
    """Advance a ticket day by day over what had occurred by then."""
    log = list(log)
    for n in range((last - first).days + 1):
        day = first + timedelta(days=n)
        seen = life.Observation("clu", day, tuple(moment for moment in moments if moment[0] <= day))
        log += life.advance(life.fold(log).get(life.ticket_id("clu")), "clu", seen, "frequent", SETTINGS)
    return log


def state(log):
    return life.fold(log)[life.ticket_id("clu")]


def event(kind, day, **data):
    return life.Event(life.ticket_id("clu"), "clu", day, kind, "ada", "because", data)


def test_thirty_days_of_the_same_problem_make_one_ticket():
    log = replay(days(30), DAY + timedelta(days=29))
    assert [e.kind for e in log] == ["opened"] and state(log).status == "new"


def test_a_growing_problem_escalates_and_calms_again():
    moments = days(10) + days(5, per_day=5, start=DAY + timedelta(days=10))
    log = replay(moments, DAY + timedelta(days=40))
    assert [e.kind for e in log] == ["opened", "escalated", "calmed"]


def test_news_is_not_an_escalation():
    assert [e.kind for e in replay(days(5, per_day=4), DAY + timedelta(days=4))] == ["opened"]


def test_a_problem_that_returns_after_its_proof_reopens():
    proof = DAY + timedelta(days=10)
    log = [*replay(days(10), proof), event("verified", proof)]
    back = (*days(10), (proof + timedelta(days=5), "late"))
    log = replay(back, proof + timedelta(days=6), log, first=proof + timedelta(days=1))
    assert state(log).status == "regressed" and "1 session(s)" in state(log).reason


def test_silence_after_the_proof_keeps_it_verified():
    proof = DAY + timedelta(days=10)
    log = [*replay(days(10), proof), event("verified", proof)]
    log = replay(days(10), proof + timedelta(days=30), log, first=proof + timedelta(days=1))
    assert state(log).status == "verified"


def test_growth_does_not_wake_an_ignored_ticket_but_its_day_does():
    log = [event("opened", DAY, cluster_id="clu"), event("ignored", DAY, until=(DAY + timedelta(days=20)).isoformat())]
    moments = days(10) + days(9, per_day=9, start=DAY + timedelta(days=10))
    asleep = replay(moments, DAY + timedelta(days=19), log, first=DAY + timedelta(days=1))
    assert state(asleep).status == "ignored"
    awake = replay(moments, DAY + timedelta(days=20), asleep, first=DAY + timedelta(days=20))
    assert state(awake).status == "new"


def test_growth_does_not_overrule_a_fix_in_progress():
    log = [event("opened", DAY, cluster_id="clu"), event("fixing", DAY)]
    moments = days(10) + days(5, per_day=9, start=DAY + timedelta(days=10))
    assert state(replay(moments, DAY + timedelta(days=15), log, first=DAY + timedelta(days=1))).status == "fixing"


def test_an_older_day_replayed_changes_nothing():
    log = replay(days(20), DAY + timedelta(days=19))
    log.append(event("fixing", DAY + timedelta(days=19)))
    assert replay(days(20), DAY + timedelta(days=5), log) == log


def registry(*rows):
    full = [
        {
            "cluster_id": name, "heir_id": heir, "lineage_root": root, "type": "friction", "label": "",
            "status": status,
            "size": size, "action": "", "fingerprint": "", "as_of": DAY,
        }
        for name, heir, root, status, size in rows
    ]  # fmt: skip
    return TABLES["cluster_registry"].frame(full)


def test_a_merge_keeps_the_lineages_ticket():
    merged = registry(("a", "b", "a", "merged", 3), ("b", "b", "a", "live", 9))
    assert life.fingerprint("b", merged, {}) == life.fingerprint("a", merged, {}) == "a"


def test_after_a_split_one_part_keeps_the_ticket_and_the_other_gets_its_own():
    split = registry(("a", "a", "a", "dissolved", 0), ("b", "b", "a", "live", 9), ("c", "c", "a", "live", 4))
    assert {name: life.fingerprint(name, split, {}) for name in "bc"} == {"b": "a", "c": "c"}


def test_the_part_that_holds_the_ticket_keeps_it_when_the_other_outgrows_it():
    split = registry(("a", "a", "a", "dissolved", 0), ("b", "b", "a", "live", 4), ("c", "c", "a", "live", 9))
    held = life.fold([life.Event(life.ticket_id("a"), "a", DAY, "opened", "x", "", {"cluster_id": "b"})])
    assert life.fingerprint("b", split, held) == "a" and life.fingerprint("c", split, held) == "c"


def test_what_got_a_ticket_of_its_own_keeps_it_when_it_is_left_alone():
    alone = registry(("a", "a", "a", "dissolved", 0), ("b", "b", "a", "dissolved", 4), ("c", "c", "a", "live", 9))
    own = life.fold([life.Event(life.ticket_id("c"), "c", DAY, "opened", "x", "", {"cluster_id": "c"})])
    assert life.fingerprint("c", alone, own) == "c" and life.fingerprint("c", alone, {}) == "a"


def test_one_cluster_holds_a_lineages_ticket_also_when_none_lives():
    gone = registry(("a", "a", "a", "dissolved", 0), ("b", "b", "a", "dissolved", 4))
    assert life.holder("a", gone, {}) == "a" and life.holder("x", gone, {}) is None


KINDS = st.sampled_from(
    ["opened", "escalated", "calmed", "fixing", "verified", "regressed", "ignored", "merged", "noted"]
)


@given(st.lists(st.tuples(KINDS, st.integers(0, 30)), max_size=20), st.randoms())
def test_repeated_and_reloaded_events_fold_to_the_same_state(kinds, random):
    log = [event(kind, DAY + timedelta(days=n), cluster_id="clu", into="tkt_x") for kind, n in kinds]
    doubled = [copy for e in log for copy in (e, life.Event.from_dict(e.as_dict()))]
    assert life.fold(doubled) == life.fold(log)
    late = [random.choice(log)] if log else []
    assert life.fold(log + late) == life.fold(log)


def test_the_log_is_appended_once_and_survives_a_torn_line(tmp_path):
    path = tmp_path / "tickets" / "log.jsonl"
    first, second = event("opened", DAY, cluster_id="clu"), event("fixing", DAY)
    assert ticket_log.append(path, [first]) == 1
    assert ticket_log.append(path, [first]) == 0
    with path.open("ab") as handle:
        handle.write(b'{"half')
    assert ticket_log.read(path) == [first]
    assert ticket_log.append(path, [second]) == 1
    assert ticket_log.read(path) == [first, second]


def test_a_broken_line_in_the_middle_is_an_error(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_bytes(b"{broken\n{}\n")
    with pytest.raises(ValueError, match="line 1"):
        append_log.read(path)
    path.write_bytes(b"{}\n{}\n")
    with pytest.raises(ValueError, match="entry 1 is no ticket event"):
        ticket_log.read(path)
