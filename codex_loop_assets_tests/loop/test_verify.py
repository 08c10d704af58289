"""Laws of the verdict: only a significant improvement of the ticket's own dataset closes it, and harm never does."""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl
import pytest

from codex_loop_assets.loop import life, verify
from codex_loop_assets.measure.set_comparison import compare_sets
from codex_loop_assets.measure.statistics import Comparison, compare
from codex_loop_assets.settings import section
from codex_loop_assets.tables import TABLES
from codex_loop_assets_tests.loop import world

DAY = date(2026, 3, 20)
CATEGORY = "exec_failure"


def state(status="fixing"):
    return life.State("tkt_1", "clu_1", "clu_1", status, "", DAY, DAY)


def row(endpoint="reward", verdict="improved", difference=0.5, low=0.2, high=0.8, p=0.01, tasks=8, **more):
    return {
        "cluster_id": "clu_1", "dataset": "d", "baseline_arm": "old", "candidate_arm": "new", "endpoint": endpoint,
        "verdict": verdict, "reason": "", "difference": difference, "interval_low": low, "interval_high": high,
        "p_value": p,
        "p_adjusted": p, "minimum_detectable_effect": 0.3, "tasks": tasks, "repeats": 3.0, "excluded_infrastructure": 1,
        "quarantined_flaky": 0, **more,
    }  # fmt: skip


FRICTION_GONE = row(CATEGORY, "improved", -0.6, -0.9, -0.3)
FRICTION_SAME = row(CATEGORY, "no_change_shown", 0.0, -0.3, 0.3, 0.9)
REWARD_SAME = row("reward", "no_change_shown", 0.0, -0.2, 0.2, 0.8)
WORSE = row("reward", "regressed", -0.5, -0.8, -0.2)


def decide(status="fixing", production=None, shortfalls=None, **sets):
    frames = {role: TABLES["regressions"].frame(rows) for role, rows in sets.items()}
    return verify.decide(state(status), CATEGORY, frames, DAY, production, shortfalls=shortfalls)


def test_friction_gone_with_the_reward_kept_closes_the_ticket():
    verdict = decide(target=[FRICTION_GONE, REWARD_SAME], neighbour=[REWARD_SAME], delight_guard=[REWARD_SAME])
    assert verdict.outcome == "close" and verdict.event.kind == "verified"
    assert "-0.60" in verdict.reason and "adjusted p 0.01" in verdict.reason


def test_reward_alone_does_not_close_a_ticket_whose_friction_stays():
    assert decide(target=[FRICTION_SAME, row()]).outcome == "keep"


def test_reward_decides_where_no_trial_could_show_the_friction():
    assert decide(target=[row(CATEGORY, "not_enough_data", None, None, None, None), row()]).outcome == "close"


@pytest.mark.parametrize("role", ["neighbour", "delight_guard"])
def test_harm_to_neighbours_or_delight_keeps_the_ticket_open(role):
    verdict = decide(target=[FRICTION_GONE, row()], **{role: [WORSE]})
    assert verdict.outcome == "keep" and "got worse" in verdict.reason


def test_harm_reopens_a_verified_ticket():
    verdict = decide("verified", target=[WORSE])
    assert verdict.outcome == "reopen" and verdict.event.kind == "regressed"


def test_missing_proof_never_reopens():
    assert decide("verified", target=[REWARD_SAME]).outcome == "keep"
    assert decide("verified").outcome == "keep"


def test_no_change_says_what_could_have_been_seen():
    assert "a difference of 0.30 could have been seen" in decide(target=[FRICTION_SAME, REWARD_SAME]).reason


def test_an_insignificant_improvement_does_not_close():
    assert decide(target=[row(CATEGORY, "improved", -0.6, -0.9, -0.3, 0.2)]).outcome == "keep"


def test_two_tasks_prove_nothing():
    assert "only 2 paired tasks" in decide(target=[FRICTION_GONE | {"tasks": 2}]).reason


def test_a_verdict_that_its_interval_does_not_support_is_not_believed():
    swapped = FRICTION_GONE | {"difference": 0.6, "interval_low": 0.3, "interval_high": 0.9}
    verdict = decide(target=[swapped])
    assert verdict.outcome == "keep" and "does not follow from its interval" in verdict.reason


def test_the_event_moves_the_ticket():
    opened = life.Event("tkt_1", "clu_1", DAY, "opened", "codex-loop", "", {"cluster_id": "clu_1"})
    verdict = decide(target=[FRICTION_GONE])
    assert life.fold([opened, verdict.event])["tkt_1"].status == "verified"


def production(hits_before, hits_after, per_side=20):
    since = world.FIRST + timedelta(days=7)
    days = [since - timedelta(days=1)] * per_side + [since + timedelta(days=1)] * per_side
    sessions = TABLES["sessions"].frame([world.session(n, day, False) for n, day in enumerate(days)])
    threads = sessions.sort("started_at", "thread_id")["thread_id"]
    affected = pl.concat([threads[:hits_before], threads[per_side : per_side + hits_after]])
    return verify.production_change(affected, sessions, threads, since)


def test_production_compares_shares_of_exposed_sessions_before_and_after():
    change = production(15, 2)
    assert (change.before.affected, change.before.exposed, change.after.affected) == (15, 20, 2)
    assert change.difference == pytest.approx(-0.65) and change.high < 0
    assert [period.name for period in change.releases] == ["0.60.1"]


def test_production_that_gets_worse_keeps_the_ticket_open():
    assert decide(target=[FRICTION_GONE], production=production(1, 15)).outcome == "keep"
    assert decide(target=[FRICTION_GONE], production=production(15, 1)).outcome == "close"


def test_few_sessions_in_production_say_nothing():
    assert production(1, 4, per_side=5).difference is None


def test_the_verdict_shows_every_comparison():
    text = decide(target=[FRICTION_GONE, REWARD_SAME], delight_guard=[WORSE], production=production(15, 2)).markdown()
    assert text.startswith("# Verdict: keep")
    assert "| delight guard | `d` | `reward` | `old` → `new` | regressed | -0.50 | -0.80 to -0.20 | 0.01 |" in text
    assert "| `before` | 15 | 20 | 75.0 % |" in text


def test_without_a_task_only_a_drop_in_production_beyond_chance_closes():
    def judged(hits_before, hits_after, provable):
        change = production(hits_before, hits_after)
        return verify.decide(state(), CATEGORY, {}, DAY, change, provable=provable).outcome

    assert judged(15, 1, provable=False) == "close"
    assert judged(5, 4, provable=False) == "keep"
    assert judged(15, 1, provable=True) == "keep"


def trials(cluster, before, after):
    """Six tasks, three trials per arm: (reward, friction seen) of the arms `old` and `new`."""
    runs, seen = [], []
    for arm, (reward, friction) in {"old": before, "new": after}.items():
        for number in range(18):
            name = f"{cluster}-{arm}-{number}"
            runs.append(
                {
                    "eval_id": name, "cluster_id": cluster, "dataset": cluster, "task": f"t{number % 6}",
                    "agent": "codex",
                    "arm": arm, "attempt": number // 6, "reward": reward, "job_dir": "jobs", "trial": name,
                }
            )  # fmt: skip
            seen.append(
                {"eval_id": name, "cluster_id": cluster, "category": CATEGORY, "observable": True, "count": friction}
            )
    return TABLES["eval_runs"].frame(runs), TABLES["trial_signals"].frame(seen)


def compared(cluster, before, after, arms=("old", "new")):
    runs, seen = trials(cluster, before, after)
    return compare(runs, [Comparison(cluster, cluster, *arms, endpoint) for endpoint in ("reward", CATEGORY)], seen)


SETS = {"neighbour": ["clu_2", "clu_4"], "delight_guard": ["clu_3"]}


def judged(target, **others):
    """The verdict on the target's comparisons and on the trials of other clusters, six tasks of each of which are in its set."""
    sets = pl.DataFrame(
        [
            {"cluster_id": name, "task_name": f"t{number}", "digest": "sha256:0", "set_kind": kind}
            for kind, names in SETS.items()
            for name in names
            for number in range(6)
        ]
    )
    measured = [trials(name, *values) for name, values in others.items()]
    runs = pl.concat([TABLES["eval_runs"].empty(), *(runs for runs, _ in measured)])
    seen = pl.concat([TABLES["trial_signals"].empty(), *(seen for _, seen in measured)])
    least = {"neighbour": 3, "delight_guard": 3}
    arms = target.select("baseline_arm", "candidate_arm").unique().rows()
    around = compare_sets("clu_1", sets, runs, seen, arms, CATEGORY, least)
    return verify.decide(state(), CATEGORY, {"target": target, **around}, DAY)


def test_measured_trials_close_the_ticket_and_swapped_arms_do_not():
    fixed = judged(compared("clu_1", (0.0, 2), (1.0, 0)))
    assert fixed.outcome == "close" and [check.effect for check in fixed.checks] == ["helps", "helps"]
    swapped = judged(compared("clu_1", (0.0, 2), (1.0, 0), arms=("new", "old")))
    assert swapped.outcome == "keep" and {check.effect for check in swapped.checks} == {"harms"}
    assert judged(compared("clu_1", (1.0, 1), (1.0, 1))).outcome == "keep"


GOOD = ((0.0, 2), (1.0, 0))


def test_a_fix_that_spoils_a_delight_guard_does_not_close():
    verdict = judged(compared("clu_1", *GOOD), clu_3=((1.0, 0), (0.0, 0)))
    assert verdict.outcome == "keep" and "delight guard, reward got worse" in verdict.reason


def test_neighbours_are_one_set_and_a_cluster_outside_the_sets_is_none():
    spoiled = ((1.0, 0), (0.0, 0))
    assert judged(compared("clu_1", *GOOD), clu_5=spoiled).outcome == "close"
    verdict = judged(compared("clu_1", *GOOD), clu_2=spoiled, clu_4=((1.0, 0), (1.0, 0)))
    (reward,) = [
        check.row for check in verdict.checks if check.role == "neighbour" and check.row["endpoint"] == "reward"
    ]
    assert (reward["tasks"], reward["difference"]) == (12, -0.5) and verdict.outcome == "keep"


def test_a_set_tells_about_the_friction_of_the_ticket_too():
    verdict = judged(compared("clu_1", *GOOD), clu_2=((1.0, 0), (1.0, 3)))
    assert verdict.outcome == "keep" and "neighbour, exec_failure got worse" in verdict.reason


def test_neighbours_count_only_where_they_compare_the_same_arms():
    target = compared("clu_1", *GOOD).with_columns(candidate_arm=pl.lit("something else"))
    verdict = judged(target, clu_2=((1.0, 0), (0.0, 0)))
    assert verdict.outcome == "close" and {check.role for check in verdict.checks} == {"target"}


def test_trials_on_a_task_as_it_was_before_are_not_of_the_set():
    sets = pl.DataFrame([{"cluster_id": "clu_2", "task_name": "t0", "digest": "sha256:1", "set_kind": "neighbour"}])
    runs, seen = trials("clu_2", *GOOD)
    old = runs.with_columns(task_digest=pl.lit("sha256:0"))
    least = {"neighbour": 1, "delight_guard": 1}
    found = [compare_sets("c", sets, frame, seen, [("old", "new")], None, least) for frame in (runs, old)]
    assert [around["neighbour"].height for around in found] == [1, 0]


@pytest.mark.parametrize("worse", [False, True])
def test_a_set_below_its_minimum_decides_nothing_whatever_was_measured_on_it(worse):
    short = {"target": "not enough data: 1 validated tasks in the target set, 3 are needed"}
    measured = {"target": [WORSE]} if worse else {"target": [FRICTION_GONE, row()]}
    verdict = decide("verified", shortfalls=short, **measured)
    assert verdict.outcome == "keep" and "3 are needed" in verdict.reason
    assert {check.effect for check in verdict.checks} == {"undecided"}


def test_a_close_says_which_sets_were_too_small_to_guard_it():
    short = {"delight_guard": "not enough data: 0 validated tasks in the delight guard set, 3 are needed"}
    verdict = decide(target=[FRICTION_GONE, row()], delight_guard=[WORSE], shortfalls=short)
    assert verdict.outcome == "close" and verdict.reason.endswith(short["delight_guard"])
    assert f"- {short['delight_guard']}" in verdict.markdown()


def test_one_arm_is_judged_and_what_others_did_is_shown_only():
    other = WORSE | {"candidate_arm": "a weak model"}
    frames = {"target": [FRICTION_GONE, row(), other], "delight_guard": [other]}
    comparisons = {role: TABLES["regressions"].frame(rows) for role, rows in frames.items()}
    verdict = verify.decide(state("verified"), CATEGORY, comparisons, DAY, candidate="new")
    assert verdict.outcome == "close" and len(verdict.checks) == 4
    assert "`old` → `a weak model` (not judged) | regressed" in verdict.markdown()
    assert {item["candidate_arm"] for item in verdict.event.data["comparisons"]} == {"new"}
    assert verify.decide(state("verified"), CATEGORY, comparisons, DAY, candidate="a weak model").outcome == "reopen"


@pytest.mark.parametrize("shortfalls", [None, {"neighbour": "not enough data: 0 of 3"}])
def test_a_required_set_that_says_nothing_keeps_the_ticket_open(shortfalls):
    strict = section("tickets", {"tickets": {"verify": {"require_neighbours": True}}})
    frames = {"target": TABLES["regressions"].frame([FRICTION_GONE, row()])}
    verdict = verify.decide(state(), CATEGORY, frames, DAY, settings=strict, shortfalls=shortfalls)
    assert (
        verdict.outcome == "keep" and (shortfalls or {"neighbour": "was not compared"})["neighbour"] in verdict.reason
    )
