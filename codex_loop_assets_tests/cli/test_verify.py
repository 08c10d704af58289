"""Laws of `verify`: measured trials close a ticket, swapped ones do not, and the verdict is in its history."""

from __future__ import annotations

import json
from datetime import date

import polars as pl
import pytest
from click.testing import CliRunner

from codex_loop_assets.cli import main
from codex_loop_assets.cli.options import Problem
from codex_loop_assets.cli.verify import advice, find_ticket, has_task, judge, production, record, take_in
from codex_loop_assets.loop import life, ticket_log
from codex_loop_assets.tables import TABLES
from codex_loop_assets_tests.cli.conftest import ticket_of
from codex_loop_assets_tests.loop import world

TASKS, ATTEMPTS = 6, 3


@pytest.fixture
def planted(planted):
    """The planted home with six distilled tasks, of which the third is in doubt."""
    numbers = range(TASKS)
    validations = [world.verdict(number, "needs_review" if number == 2 else "validated") for number in numbers]
    planted.lake.write(
        "harbor_datasets", world.CLUSTER, TABLES["harbor_datasets"].frame([world.task(number) for number in numbers])
    )
    planted.lake.write("task_validations", world.CLUSTER, TABLES["task_validations"].frame(validations))
    return planted


def job(folder, reward: float, day: int):
    """A Harbor job folder: six tasks, three trials each, all with this reward."""
    for number in range(TASKS * ATTEMPTS):
        name = f"shop-{number % TASKS}__{number}"
        result = {
            "id": f"{folder.name}-{number}", "trial_name": name, "task_name": f"codex-loop/shop-{number % TASKS}",
            "started_at": f"2026-03-{day:02d}T10:{number:02d}:00Z", "finished_at": f"2026-03-{day:02d}T10:{number:02d}:30Z",
            "agent_info": {"name": "codex", "version": "1", "model_info": {"name": "gpt-5.2", "provider": "openai"}},
            "verifier_result": {"rewards": {"reward": reward}},
        }  # fmt: skip
        (folder / name).mkdir(parents=True)
        (folder / name / "result.json").write_text(json.dumps(result))
    return folder


def compared(home, verdict: str, difference: float):
    """One comparison by reward among the regressions of the planted cluster."""
    low, high = (difference - 0.1, difference + 0.1)
    row = {
        "cluster_id": world.CLUSTER, "dataset": world.CLUSTER, "baseline_arm": "old", "candidate_arm": "new",
        "endpoint": "reward", "verdict": verdict, "reason": "", "difference": difference, "interval_low": low,
        "interval_high": high, "p_value": 0.01, "p_adjusted": 0.01, "minimum_detectable_effect": 0.2, "tasks": 6,
        "repeats": 3.0, "excluded_infrastructure": 0, "quarantined_flaky": 0,
    }  # fmt: skip
    home.lake.write("regressions", world.CLUSTER, TABLES["regressions"].frame([row]))


def run(*arguments: str):
    result = CliRunner().invoke(main, ["verify", *arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def status(home) -> str:
    return find_ticket(home, ticket_of(home)).status


def test_job_folders_close_the_ticket_and_the_statistics_are_shown(planted, tmp_path):
    before, after = job(tmp_path / "before", 0.0, 10), job(tmp_path / "after", 1.0, 12)
    ticket = ticket_of(planted)
    result = run(
        ticket, "--job", str(before), "--arm", "old", "--job", str(after), "--arm", "new", "--since", "2026-03-08"
    )
    assert result.exit_code == 0, result.output
    # The third task is in doubt: its trials prove nothing.
    assert "# Verdict: close" in result.output and "`old` → `new`" in result.output and "5 × 3" in result.output
    assert "## In production, since 2026-03-08" in result.output
    assert planted.lake.read("tickets", world.CLUSTER)["status"].item() == "verified"
    assert ticket_log.read(planted.root / "tickets" / "log.jsonl")[-1].kind == "verified"


@pytest.mark.parametrize(
    ("rewards", "outcome", "status_now"), [((0.0, 1.0), "close", "verified"), ((1.0, 0.0), "keep", "fixing")]
)
def test_exchanging_what_the_job_folders_hold_changes_the_verdict_and_the_ticket(
    planted, tmp_path, rewards, outcome, status_now
):
    folders = [
        job(tmp_path / name, reward, day)
        for name, reward, day in zip(("before", "after"), rewards, (10, 12), strict=True)
    ]
    ticket = ticket_of(planted)
    result = run(ticket, "--job", str(folders[0]), "--arm", "old", "--job", str(folders[1]), "--arm", "new")
    assert f"# Verdict: {outcome}" in result.output and status(planted) == status_now
    (row,) = planted.lake.read("tickets", world.CLUSTER).to_dicts()
    assert row["status"] == status_now
    assert ("got worse" in (planted.root / row["path"]).read_text("utf-8")) is (outcome == "keep")


def test_naming_the_folders_the_other_way_round_makes_no_fix_of_what_came_first(planted, tmp_path):
    before, after = job(tmp_path / "before", 0.0, 10), job(tmp_path / "after", 1.0, 12)
    run(ticket_of(planted), "--job", str(after), "--arm", "old", "--job", str(before), "--arm", "new")
    (row,) = planted.lake.read("regressions", world.CLUSTER).filter(pl.col("endpoint") == "reward").to_dicts()
    # What ran first is what the other is compared with, whatever the arms are called.
    assert (row["baseline_arm"], row["candidate_arm"], row["difference"]) == ("new", "old", 1.0)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--job", "{folder}"], "name one of both"),
        (["--arm", "a", "--arm", "b"], "name one of both"),
        ([], "uv tool install"),
    ],
)
def test_an_agent_is_run_alone_and_only_where_harbor_is(planted, tmp_path, monkeypatch, options, expected):
    monkeypatch.setenv("CODEX_LOOP_HARBOR", str(tmp_path / "none"))
    result = run(ticket_of(planted), "--agent", "codex", *(text.format(folder=tmp_path) for text in options))
    assert result.exit_code == 1 and expected in result.output and status(planted) == "new"


def test_a_worse_arm_that_ran_later_is_judged_when_nobody_says_otherwise(planted, tmp_path):
    ticket, options = ticket_of(planted), []
    for name, reward, day in (("before", 0.3, 10), ("fix", 1.0, 11), ("weak", 0.0, 12)):
        options += ["--job", str(job(tmp_path / name, reward, day)), "--arm", name]
    assert "# Verdict: keep" in run(ticket, *options).output and status(planted) == "fixing"
    assert "# Verdict: close" in run(ticket, "--candidate", "fix").output and status(planted) == "verified"
    assert run(ticket, "--candidate", "weak").exit_code == 2 and status(planted) == "regressed"
    unknown = run(ticket, "--candidate", "nobody")
    assert unknown.exit_code == 1 and "arms that were: fix, weak" in unknown.output


def test_too_few_proven_tasks_close_nothing_and_the_verdict_names_every_set_that_is_too_small(planted):
    ticket = ticket_of(planted)
    compared(planted, "improved", 0.6)
    few = planted.lake.read("task_validations", world.CLUSTER).with_columns(
        status=pl.when(pl.col("candidate_id") < "cand_2").then("status").otherwise(pl.lit("needs_review"))
    )
    planted.lake.write("task_validations", world.CLUSTER, few)
    verdict = record(planted, ticket, world.TODAY, None)
    assert verdict.outcome == "keep" and "2 validated tasks in the target set, 3 are needed" in verdict.reason
    assert [text.split(" set,")[0].split("the ")[1] for text in verdict.shortfalls] == [
        "target",
        "neighbour",
        "delight guard",
    ]


def test_a_change_for_the_worse_reopens_a_verified_ticket_and_keeps_an_open_one(planted):
    ticket = ticket_of(planted)
    compared(planted, "regressed", -0.6)
    assert record(planted, ticket, world.TODAY, None).outcome == "keep" and status(planted) == "new"
    compared(planted, "improved", 0.6)
    assert record(planted, ticket, world.TODAY, None).outcome == "close" and status(planted) == "verified"
    compared(planted, "regressed", -0.6)
    assert record(planted, ticket, world.TODAY, None).outcome == "reopen" and status(planted) == "regressed"


def test_a_second_proof_does_not_move_the_day_of_the_first(planted):
    ticket = ticket_of(planted)
    compared(planted, "improved", 0.6)
    for day in (world.TODAY, date(2026, 3, 20)):
        assert record(planted, ticket, day, None).outcome == "close"
    assert find_ticket(planted, ticket).verified_on == world.TODAY


def test_the_same_verdict_on_one_day_is_one_line_of_the_history(planted):
    ticket = ticket_of(planted)
    compared(planted, "no_change_shown", 0.0)
    for _ in range(2):
        record(planted, ticket, world.TODAY, None)
    assert [event.kind for event in ticket_log.read(planted.root / "tickets" / "log.jsonl")] == [
        "opened",
        "proof_kept_open",
    ]


def test_production_counts_sessions_that_could_show_the_problem(planted):
    state = find_ticket(planted, ticket_of(planted))
    change = production(planted, state, date(2026, 3, 8))
    # Ten failing sessions on the days 1 to 10; the day of the change counts on neither side. The other sessions are in a
    # repository where it never happened.
    assert (change.before.affected, change.after.affected) == (7, 2)
    assert (change.before.exposed, change.after.exposed) == (7, 2)
    nobody = production(planted, state, date(2027, 1, 1))
    assert (nobody.before.exposed, nobody.after.exposed, nobody.difference) == (0, 0, None)


def test_a_job_is_never_taken_for_another_of_the_same_name(planted, tmp_path):
    first, second = job(tmp_path / "one" / "after", 1.0, 12), job(tmp_path / "two" / "after", 0.0, 12)
    with pytest.raises(Problem, match="one name"):
        take_in(planted, world.CLUSTER, (first, second), ())
    take_in(planted, world.CLUSTER, (first,), ())
    take_in(planted, world.CLUSTER, (first,), ())
    with pytest.raises(Problem, match="another job named after"):
        take_in(planted, world.CLUSTER, (second,), ())


def test_the_same_trials_under_another_name_count_once_and_leave_the_home_as_it_was(planted, tmp_path):
    first = job(tmp_path / "after", 1.0, 12)
    take_in(planted, world.CLUSTER, (first,), ())
    with pytest.raises(Problem, match="taken in before, as the job after"):
        take_in(planted, world.CLUSTER, (first.rename(tmp_path / "copied"),), ())
    assert [path.name for path in (planted.root / "harbor" / "jobs" / world.CLUSTER).glob("*/")] == ["after"]


def test_what_is_missing_for_a_verdict_is_said(planted):
    verdict = judge(planted, find_ticket(planted, ticket_of(planted)), world.TODAY, None)
    assert verdict.outcome == "keep" and "own dataset was not compared" in verdict.reason
    assert ["no trials yet" in line or "--since" in line for line in advice(verdict, [])] == [True, True]
    assert "belong to the arm old" in advice(verdict, ["old"])[0] and len(advice(verdict, ["new", "old"])) == 1


def test_a_rejected_task_proves_nothing():
    built, lost = world.task(1), world.lost_candidate()
    datasets = TABLES["harbor_datasets"].frame([built, lost])
    validations = TABLES["task_validations"]
    assert has_task(datasets, validations.empty())
    assert not has_task(datasets, validations.frame([world.verdict(1, "rejected")]))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["tkt_none"], "SELECT ticket_id"),
        (["{ticket}", "--job", "{folder}"], "holds no trial"),
        (["{ticket}", "--arm", "new"], "0 --job but 1 --arm"),
    ],
)
def test_wrong_input_is_a_message_that_says_what_to_do(planted, tmp_path, arguments, expected):
    result = run(*(text.format(ticket=ticket_of(planted), folder=tmp_path) for text in arguments))
    assert result.exit_code == 1 and expected in " ".join(result.output.split()) and status(planted) == "new"


def test_a_merged_ticket_names_the_one_to_verify(planted):
    ticket = ticket_of(planted)
    state = find_ticket(planted, ticket)
    ticket_log.append(
        planted.root / "tickets" / "log.jsonl",
        life.merge(state, "tkt_other", world.TODAY, "its cluster became part of"),
    )
    result = run(ticket)
    assert result.exit_code == 1 and "tkt_other" in result.output
