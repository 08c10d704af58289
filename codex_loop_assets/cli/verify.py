"""`verify`: does a ticket close, stay open or open again, by measured trials and by production.

What belongs here: gathering what the rule needs from a home and recording what it says. What does not: the rule
(`loop.verify`), the statistics of trials (`measure.statistics`).
"""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import click
import polars as pl
from rich.markdown import Markdown

from codex_loop_assets.cli.console import open_console
from codex_loop_assets.cli.options import Problem, home_options, parse_day, today
from codex_loop_assets.cli.runner import Runner, free_arm, set_parts
from codex_loop_assets.cli.runs import materialise
from codex_loop_assets.cli.tasks import partition
from codex_loop_assets.distill.sets import KINDS, shortfalls
from codex_loop_assets.loop import life
from codex_loop_assets.loop import verify as rule
from codex_loop_assets.loop.cause import having
from codex_loop_assets.loop.evidence import gather
from codex_loop_assets.loop.tickets import newest_state
from codex_loop_assets.measure.eval_runs import arm_name
from codex_loop_assets.resources import evaluation_sets, harbor, jobs, ticket_history
from codex_loop_assets.resources.homes import Home
from codex_loop_assets.resources.registry import members_of
from codex_loop_assets.resources.report_inputs import exposure
from codex_loop_assets.resources.schema import current_schema
from codex_loop_assets.stages import MEASURE

EXIT_CODES = {"close": 0, "keep": 1, "reopen": 2}


@click.command()
@click.argument("ticket_id", metavar="TICKET")
@click.option(
    "--job",
    "folders",
    multiple=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Harbor job folder on the ticket's dataset; may be repeated. Without one, the trials already taken in decide.",
)
@click.option(
    "--arm",
    "arms",
    multiple=True,
    help="Name of what each --job measured, in the order of the --job options; with --agent, of what it measures.",
)
@click.option(
    "--agent", help="Run this Harbor agent now, on the proven tasks of the ticket's dataset and of the sets around it."
)
@click.option("--model", help="Model of that agent, as Harbor takes it.")
@click.option(
    "--ak", "arguments", multiple=True, metavar="KEY=VALUE", help="Argument of that agent, as Harbor takes it."
)
@click.option("-k", "attempts", default=3, show_default=True, type=click.IntRange(min=1), help="Its trials per task.")
@click.option("--candidate", metavar="ARM", help="The arm that is judged (default: the one whose trials began last).")
@click.option(
    "--since", callback=parse_day, help="Day the change reached people: production before and after it is compared."
)
@home_options()
def verify(
    home: Home,
    ticket_id: str,
    folders: tuple[Path, ...],
    arms: tuple[str, ...],
    agent: str | None,
    model: str | None,
    arguments: tuple[str, ...],
    attempts: int,
    candidate: str | None,
    since: str | None,
) -> None:
    """Close, keep or reopen a ticket by measured proof, with the statistics shown.

    The arm whose trials started first is the baseline: measure before the change, and again after it. One arm is judged; what
    others did is shown. Trials come from job
    folders (--job), from a run made here (--agent), or are those already taken in. The neighbours' tasks and the delight
    guard's count as far as they were measured with the same arms (`codex-loop ingest-job DIR --cluster-id CLUSTER --arm
    NAME`). The verdict goes to the ticket's history.

    Exit 0: closed. 1: kept as it is (also when nothing could be decided because of an error). 2: reopened.
    """
    if agent and (folders or len(arms) > 1):
        raise Problem("--agent runs trials of one arm, --job takes in such that were run: name one of both")
    if not agent and arms and len(arms) != len(folders):
        raise Problem(
            f"{len(folders)} --job but {len(arms)} --arm; name one arm for each job, in the same order, or none"
        )
    cluster_id = find_ticket(home, ticket_id).cluster_id
    partition(home, None, cluster_id)
    if agent:
        run_agent(home, cluster_id, agent, model, arguments, attempts, arms[0] if arms else None)
    take_in(home, cluster_id, folders, () if agent else arms)
    measured = home.lake.has("regressions", cluster_id) or not jobs.jobs_folder(home, cluster_id).is_dir()
    if folders or not measured:
        materialise(home, MEASURE, clusters=[cluster_id])
    verdict = record(home, ticket_id, today(), date.fromisoformat(since) if since else None, candidate)
    materialise(home, ["tickets"], clusters=[cluster_id])
    _print(verdict, home.lake.read("eval_runs", cluster_id)["arm"].unique().sort().to_list())
    raise SystemExit(EXIT_CODES[verdict.outcome])


def find_ticket(home: Home, ticket_id: str) -> life.State:
    """The ticket as of its newest event. Raises Problem for one that was never opened or is part of another."""
    state = ticket_history.states(home).get(ticket_id)
    if state is None:
        raise Problem(f"no ticket {ticket_id!r}; list them with: SELECT ticket_id, status, title FROM tickets")
    if state.status == "merged":
        raise Problem(f"{ticket_id} became part of {state.merged_into}; verify that one")
    return state


def run_agent(
    home: Home,
    cluster_id: str,
    agent: str,
    model: str | None,
    arguments: tuple[str, ...],
    attempts: int,
    arm: str | None,
) -> None:
    """Run an agent on the proven tasks of the ticket and of the sets around it, and compare. Without a name the arm is called
    after agent and model, with a number where such trials are there already. Raises Problem."""
    found = harbor.find()
    if found is None:
        raise Problem(harbor.HOW_TO_INSTALL)
    parts = set_parts(home, cluster_id, KINDS)
    if not any(part.cluster_id == cluster_id for part in parts):
        raise Problem(
            f"no task of this ticket is proven by real runs; prove them with: codex-loop validate --cluster-id {cluster_id}"
        )
    if problem := harbor.engine_problem():
        raise Problem(problem)
    name = arm or free_arm(home, cluster_id, arm_name(agent, model))
    Runner(found, agent, model, attempts, name, arguments).run(home, parts)
    materialise(home, MEASURE, clusters=list(dict.fromkeys(part.cluster_id for part in parts)))


def take_in(home: Home, cluster_id: str, folders: tuple[Path, ...], arms: tuple[str, ...]) -> None:
    """Copy job folders into the home. Raises Problem for a folder that is no job, for two folders of one name, and for one
    with the name of another job of this home, whose trials would be taken for its own."""
    paths = [folder.resolve() for folder in folders]
    if len({path.name for path in paths}) < len(paths):
        raise Problem(f"two job folders have one name ({', '.join(sorted(path.name for path in paths))}); rename one")
    for path, arm in zip(paths, arms or [None] * len(paths), strict=True):
        try:
            jobs.adopt_job(home, cluster_id, path, arm)
        except ValueError as error:
            raise Problem(str(error)) from error


def advice(verdict: rule.Verdict, arms: list[str]) -> list[str]:
    """What would let the next verdict say more. `arms`: those that the ticket's trials belong to."""
    found = []
    if len(arms) < 2:
        have = f"all trials of this ticket belong to the arm {arms[0]}" if arms else "this ticket has no trials yet"
        found.append(
            f"A comparison needs two arms, and {have}: --job BEFORE --arm before --job AFTER --arm after, "
            "or --agent AGENT --model MODEL before the change and again after it"
        )
    if verdict.production is None:
        found.append("Production was not compared: name the day that the change reached people with --since.")
    return found


def record(home: Home, ticket_id: str, day: date, since: date | None, candidate: str | None = None) -> rule.Verdict:
    """Decide about a ticket and append the event to its history; the same verdict on the same day is one event."""
    state = find_ticket(home, ticket_id)
    ticket_history.being_measured(home, state.cluster_id)
    verdict = judge(home, state, day, since, candidate)
    # A second proof must not move the day from which on a recurrence counts.
    if not (state.status == "verified" and verdict.outcome == "close"):
        ticket_history.append(home, [verdict.event])
    return verdict


def judge(home: Home, state: life.State, day: date, since: date | None, candidate: str | None = None) -> rule.Verdict:
    """The verdict on a ticket from the home's comparisons of one arm (the named one, else the newest) and, where the day of the
    change is known (`since`, or as the ticket's history says), from production. Raises Problem for an arm that was not compared."""
    lake = home.lake
    regressions = lake.read("regressions", state.cluster_id)
    if candidate and candidate not in regressions["candidate_arm"]:
        have = ", ".join(regressions["candidate_arm"].unique().sort()) or "none"
        raise Problem(f"no trials of the arm {candidate!r} were compared with a baseline; arms that were: {have}")
    category = newest_state(state.cluster_id, lake.read("clusters"), day)["top_category"]
    found = evaluation_sets.sets_of(home, state.cluster_id)
    changed_on = since or state.fixing_since or state.verified_on
    return rule.decide(
        state,
        category,
        evaluation_sets.compared(home, state.cluster_id, found, regressions, category),
        day,
        production(home, state, changed_on) if changed_on else None,
        home.section("tickets"),
        candidate=candidate or evaluation_sets.newest_arm(home, state.cluster_id),
        shortfalls=shortfalls(found, home.section("distill")["sets"]),
        provable=has_task(
            lake.read("harbor_datasets", state.cluster_id), lake.read("task_validations", state.cluster_id)
        ),
    )


def has_task(datasets: pl.DataFrame, validations: pl.DataFrame) -> bool:
    """Whether a task was built for the cluster that its proof runs did not reject."""
    rejected = validations.filter((pl.col("check") == "verdict") & (pl.col("status") == "rejected"))
    built = datasets.filter(pl.col("stage") == "built")
    return built.join(rejected, on="candidate_id", how="anti").height > 0


def production(home: Home, state: life.State, since: date) -> rule.Production:
    """The share of sessions with the problem before and after `since`, of those in which one of its categories could be
    seen. Where the ticket is called after something that its sessions share, those that show it count: a cluster also
    holds moments that merely resemble them."""
    lake, settings = home.lake, home.section("tickets")
    window = timedelta(days=settings["verify"]["production_days"])
    days = [key for key in lake.keys("sessions") if since - window <= date.fromisoformat(key) <= since + window]
    seen = (
        exposure(home, days, current_schema(home))
        if days
        else pl.DataFrame(schema={"thread_id": pl.String, "category": pl.String})
    )
    members = members_of(lake, state.cluster_id)
    exposed = seen.filter(pl.col("category").is_in(members["category"].unique().implode()))["thread_id"]
    affected = members["thread_id"]
    if state.cause:
        frames = {name: lake.read(name) for name in ("cluster_members", "signals", "tool_calls", "turns", "sessions")}
        affected = having(gather(state.cluster_id, today(), frames), *state.cause.values())
    return rule.production_change(affected, lake.read("sessions", days), exposed, since, settings)


def _print(verdict: rule.Verdict, arms: list[str]) -> None:
    console = open_console()
    # A pipe or a file gets the Markdown as it is; a terminal gets it laid out.
    if console.is_terminal:
        console.print(Markdown(verdict.markdown()))
    else:
        click.echo(verdict.markdown())
    for line in advice(verdict, arms):
        click.echo(line)
