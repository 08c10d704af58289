"""Jobs that take one decision each, typed into the launchpad: the review's answers and the schema's, for those who work in
the Dagster UI. They do what `codex-loop review` and `codex-loop schema-…` do, through the same functions."""

from enum import Enum
from pathlib import Path

import dagster as dg

from codex_loop_assets.assets.guard import guarded
from codex_loop_assets.resources import proposals, reviews
from codex_loop_assets.resources.homes import HomeResource


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


class PromotionConfig(dg.Config):
    """The bar of promotion by rule; what is left out is taken from the table `discovery.governance` of the configuration."""

    confidence: float | None = None
    minimum_samples: int | None = None
    minimum_sessions: int | None = None


class RetirementConfig(dg.Config):
    """An active category, who takes it out of use, and why."""

    category_name: str
    who: str
    reason: str


class ExportConfig(dg.Config):
    """The file to write."""

    output: str


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
        entry = proposals.decide(home.home, config.proposal_id, approve=approve, who=config.who, reason=config.reason)
    except ValueError as error:
        raise dg.Failure(str(error), allow_retries=False) from error
    context.add_output_metadata(
        {name: entry[name] for name in ("decision_id", "kind", "category_name", "who", "reason")}
    )


@dg.op(description="Promote the open proposals that are confident, large and widespread enough.")
@guarded
def promote_proposals(context: dg.OpExecutionContext, config: PromotionConfig, home: HomeResource) -> None:
    given = {name: value for name, value in config.model_dump().items() if value is not None}
    bar = home.home.section("discovery")["governance"] | given
    entries = proposals.promote_by_rule(home.home, **bar)
    context.add_output_metadata(bar | {"promoted": [entry["proposal_id"] for entry in entries]})


@dg.op(description="Take one category out of use.")
@guarded
def retire_category(context: dg.OpExecutionContext, config: RetirementConfig, home: HomeResource) -> None:
    try:
        entry = proposals.retire(home.home, config.category_name, who=config.who, reason=config.reason)
    except ValueError as error:
        raise dg.Failure(str(error), allow_retries=False) from error
    context.add_output_metadata({name: entry[name] for name in ("decision_id", "category_name", "who", "reason")})


@dg.op(description="Write all categories as JSON.")
@guarded
def export_categories(context: dg.OpExecutionContext, config: ExportConfig, home: HomeResource) -> None:
    context.add_output_metadata(
        {"categories": proposals.export(home.home, Path(config.output)), "output": config.output}
    )


@dg.job(description="Answer one question of the review (the launchpad asks which, what, who and why). Costs nothing.")
def review_decision() -> None:
    review_item()


@dg.job(description="Approve or reject a proposed category; it is looked for from the next day on. Costs nothing.")
def schema_decision() -> None:
    decide_proposal()


@dg.job(description="Promote by rule: confidence, signals and sessions must all reach the bar. Costs nothing.")
def schema_promotion() -> None:
    promote_proposals()


@dg.job(description="Stop looking for a category; what it found stays readable. Costs nothing.")
def schema_retirement() -> None:
    retire_category()


@dg.job(description="Write the categories that are looked for as JSON, for version control. Costs nothing.")
def schema_export() -> None:
    export_categories()


JOBS = [review_decision, schema_decision, schema_promotion, schema_retirement, schema_export]
