"""Jobs that take one decision each, typed into the launchpad: the review's answers and the schema's, for those who work in
the Dagster UI. They do what `codex-loop review` and `codex-loop schema-approve` do, through the same functions."""

from enum import Enum

import dagster as dg

from codex_loop_assets.assets.guard import guarded
from codex_loop_assets.resources import reviews
from codex_loop_assets.resources.homes import HomeResource
from codex_loop_assets.resources.proposals import decide


class Reply(Enum):
    """What a person can say about an item of the review."""

    accept = "accept"
    reject = "reject"
    skip = "skip"


class SchemaReply(Enum):
    """What a person can say about a proposed category."""

    approve = "approve"
    reject = "reject"


class ReviewConfig(dg.Config):
    """`item_id` as `codex-loop review --list` shows it: a signal, proposal, candidate task or ticket. A rejection needs a
    reason."""

    item_id: str
    answer: Reply
    who: str
    reason: str = ""


class SchemaConfig(dg.Config):
    """`proposal_id` as `schema_proposals` has it. A rejection needs a reason."""

    proposal_id: str
    decision: SchemaReply
    who: str
    reason: str = ""


@dg.op(description="Record a person's answer about one item of the review queue, and act on it.")
@guarded
def review_item(context: dg.OpExecutionContext, config: ReviewConfig, home: HomeResource) -> None:
    codex = home.home
    try:
        item = reviews.find(codex, config.item_id)
        verdict = reviews.record(codex, item, config.answer.value, config.who, config.reason)
    except KeyError as error:
        listed = "the review knows no such item; list them with: codex-loop review --list"
        raise dg.Failure(f"{config.item_id}: {listed}", allow_retries=False) from error
    except ValueError as error:
        raise dg.Failure(str(error), allow_retries=False) from error
    context.add_output_metadata(
        {"item": item.title, "kind": item.kind, "answer": verdict.answer, "who": verdict.who, "reason": verdict.reason}
    )


@dg.op(description="Approve or reject one proposed category.")
@guarded
def decide_proposal(context: dg.OpExecutionContext, config: SchemaConfig, home: HomeResource) -> None:
    approve = config.decision is SchemaReply.approve
    try:
        entry = decide(home.home, config.proposal_id, approve=approve, who=config.who, reason=config.reason)
    except ValueError as error:
        raise dg.Failure(str(error), allow_retries=False) from error
    context.add_output_metadata(
        {name: entry[name] for name in ("decision_id", "kind", "category_name", "who", "reason")}
    )


@dg.job(description="Answer one question of the review (the launchpad asks which, what, who and why). Costs nothing.")
def review_decision() -> None:
    review_item()


@dg.job(description="Approve or reject a proposed category; it is looked for from the next day on. Costs nothing.")
def schema_decision() -> None:
    decide_proposal()


JOBS = [review_decision, schema_decision]
