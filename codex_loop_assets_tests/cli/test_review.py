"""Laws of `review`: an answer is saved at once and acted on, a rejection says why, and Dagster's jobs do the same."""

from __future__ import annotations

import io

import dagster as dg
import polars as pl
import pytest
from click.testing import CliRunner
from rich.console import Console

from codex_loop_assets import decisions
from codex_loop_assets.cli import main
from codex_loop_assets.cli.review import agreement_lines, panel, summary
from codex_loop_assets.discovery import governance
from codex_loop_assets.loop import life, ticket_log
from codex_loop_assets.loop.review import Item
from codex_loop_assets.resources import evaluation_sets, proofs, reviews
from codex_loop_assets.resources.homes import HomeResource
from codex_loop_assets.resources.schema import current_schema
from codex_loop_assets_tests.cli.conftest import ticket_of
from codex_loop_assets_tests.loop import world


def run(*arguments: str, keys: str = ""):
    result = CliRunner().invoke(main, ["review", "--who", "ada", *arguments], input=keys)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def answers(home) -> list[tuple[str, str, str]]:
    return [(verdict.kind, verdict.answer, verdict.reason) for verdict in reviews.verdicts(home)]


def item_of(home, kind: str) -> Item:
    return next(item for item in reviews.queue(home, "ada") if item.kind == kind)


def decided(home) -> list[dict]:
    return governance.read_decisions(home.decisions_path)


def executed(home, job: dg.JobDefinition, config: dict) -> dg.ExecuteInProcessResult:
    operation = job.nodes[0].name
    resources = {"home": HomeResource(root=str(home.root))}
    return job.execute_in_process({"ops": {operation: {"config": config}}}, resources=resources, raise_on_error=False)


def test_a_rejected_ticket_is_ignored_and_written_anew(planted):
    result = run("--limit", "3", keys="rplanned for May\nxsq")
    assert result.exit_code == 0, result.output
    assert "Is this worth fixing?" in result.output and "0 accepted, 1 rejected, 1 skipped; 1 left" in result.output
    assert [answer for _, answer, _ in answers(planted)] == ["reject", "skip"]
    assert answers(planted)[0] == ("ticket", "reject", "planned for May")
    assert planted.lake.read("tickets", world.CLUSTER)["status"].item() == "ignored"
    assert "ticket" not in {item.kind for item in reviews.queue(planted, "grace")}


def test_what_was_answered_before_an_interruption_is_kept(planted):
    result = run("--limit", "3", keys="sr")
    assert len(answers(planted)) == 1 and "1 skipped; 2 left" in result.output
    assert len(reviews.queue(planted, "ada")) == len(reviews.queue(planted, "grace")) - 1


def test_an_accepted_proposal_becomes_a_category(planted):
    reviews.record(planted, item_of(planted, "proposal"), "accept", "ada", "")
    assert "missing_test_plugin" in current_schema(planted).categories
    assert decided(planted)[0]["who"] == "ada" and answers(planted) == [("proposal", "accept", "")]
    assert "proposal" not in {item.kind for item in reviews.queue(planted, "grace")}


def test_whoever_comes_second_on_a_proposal_is_told_and_not_recorded(planted):
    item = item_of(planted, "proposal")
    reviews.record(planted, item, "reject", "ada", "too narrow")
    with pytest.raises(governance.DecisionError, match="reject by ada"):
        reviews.record(planted, item, "accept", "grace", "")
    assert answers(planted) == [("proposal", "reject", "too narrow")] and len(decided(planted)) == 1


def test_skipping_decides_nothing(planted):
    for kind in ("proposal", "ticket"):
        reviews.record(planted, item_of(planted, kind), "skip", "ada", "")
    assert decided(planted) == []
    assert [event.kind for event in ticket_log.read(planted.root / "tickets" / "log.jsonl")] == ["opened"]


def test_the_launchpad_answers_like_the_terminal(planted):
    ticket = ticket_of(planted)
    config = {"item_id": ticket, "answer": "reject", "who": "grace", "reason": "known"}
    assert executed(planted, decisions.review_decision, config).success
    assert answers(planted) == [("ticket", "reject", "known")]
    states = life.fold(ticket_log.read(planted.root / "tickets" / "log.jsonl"))
    assert states[ticket].status == "ignored"


def test_the_launchpad_decides_about_a_category(planted):
    config = {"proposal_id": "proposal_1", "decision": "approve", "who": "grace"}
    assert executed(planted, decisions.schema_decision, config).success
    assert [(entry["kind"], entry["who"]) for entry in decided(planted)] == [("approve", "grace")]
    assert not executed(planted, decisions.schema_decision, config).success and len(decided(planted)) == 1


@pytest.mark.parametrize(
    "config", [{"item_id": "sig_none", "answer": "accept"}, {"item_id": "proposal_1", "answer": "reject"}]
)
def test_an_answer_that_cannot_be_taken_fails_the_run_and_records_nothing(planted, config):
    assert not executed(planted, decisions.review_decision, config | {"who": "grace"}).success
    assert answers(planted) == [] and decided(planted) == []


def test_every_item_of_the_queue_can_be_found_by_its_listed_id(planted):
    listed = run("--list").output.splitlines()
    assert len(listed) == len(reviews.queue(planted, "ada")) > 4
    assert all(reviews.find(planted, text.split()[0]).kind == text.split()[1] for text in listed)


def test_text_from_sessions_is_no_markup():
    item = Item("signal", "sig_1", "title [red]", "Is this so?", ("[bold]quote[/bold]",), 1.0, 1.0, "audit")
    console = Console(file=io.StringIO(), width=100)
    console.print(panel(item, 1, 2))
    assert "[bold]quote[/bold]" in console.file.getvalue() and "1 of 2" in console.file.getvalue()


def test_answers_about_a_forgotten_thread_go_and_the_others_stay(planted):
    item = item_of(planted, "signal")
    for answered in (item, item_of(planted, "ticket")):
        reviews.record(planted, answered, "accept", "ada", "")
    assert reviews.forget(planted, {item.about["thread_id"]}) == 1
    assert [kind for kind, _, _ in answers(planted)] == ["ticket"]
    assert item.about["thread_id"] not in reviews.reviews_path(planted).read_text("utf-8")


def test_an_empty_queue_says_so():
    assert summary([], 0) == "nothing to review: everything has your answer"


def test_agreement_is_shown_once_two_people_judged_the_same(planted):
    item = item_of(planted, "signal")
    reviews.record(planted, item, "accept", "ada", "")
    between_people = [text for text in agreement_lines(reviews.verdicts(planted)) if " agree on " in text]
    assert between_people == []
    reviews.record(planted, item, "accept", "grace", "")
    of_detector, between_people = agreement_lines(reviews.verdicts(planted))
    assert between_people == "ada and grace agree on 100% of 1 moments"
    assert of_detector.startswith(
        f"people accepted 1 of 1 moments of {item.about['detector']} that were drawn by chance"
    )


def test_a_rejected_task_leaves_tables_and_sets_at_once_and_may_be_accepted_again(planted):
    item = item_of(planted, "task")
    reviews.record(planted, item, "reject", "ada", "nobody could know that")
    rows = planted.lake.read("harbor_datasets", world.CLUSTER)
    (told,) = rows.filter(pl.col("candidate_id") == item.item_id).to_dicts()
    assert (told["stage"], told["reason"]) == ("candidate", "rejected by ada: nobody could know that")
    assert item.item_id not in planted.lake.read("task_validations", world.CLUSTER)["candidate_id"].to_list()
    assert "task" not in {other.kind for other in reviews.queue(planted, "grace")}
    assert reviews.find(planted, item.item_id).about == item.about


def test_a_task_in_doubt_that_is_accepted_may_be_measured_until_somebody_rejects_it(planted):
    item = item_of(planted, "task")
    assert item.item_id not in proofs.proven(planted)["candidate_id"].to_list()
    reviews.record(planted, item, "accept", "ada", "")
    assert item.item_id in proofs.proven(planted)["candidate_id"].to_list()
    assert "task" not in {other.kind for other in reviews.queue(planted, "grace")}
    assert len(evaluation_sets.sets_of(planted, world.CLUSTER)) == 2
    reviews.record(planted, reviews.find(planted, item.item_id), "reject", "grace", "no")
    assert item.item_id not in proofs.proven(planted)["candidate_id"].to_list()


def test_answers_about_tasks_reach_the_ticket_in_the_terminal(planted):
    position = [item.kind for item in reviews.queue(planted, "ada")].index("task")
    result = run("--limit", str(position + 1), keys="s" * position + "runfair\n")
    assert result.exit_code == 0 and "1 rejected" in result.output, result.output
    assert "rejected by ada: unfair" in planted.lake.read("harbor_datasets", world.CLUSTER)["reason"].to_list()
