"""`review`: one queue for moments, proposed categories, tasks and tickets, in the terminal.

What belongs here: showing an item and taking a key. What does not: the order of the queue and the worth of answers
(`loop.review`, `loop.labels`), what an answer does (`resources.reviews`).
"""

from __future__ import annotations

import getpass
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress

import click
from rich.console import Console, Group
from rich.panel import Panel
from rich.text import Text

from codex_loop_assets.cli.console import open_console
from codex_loop_assets.cli.options import Problem, home_options
from codex_loop_assets.cli.runs import materialise
from codex_loop_assets.cli.tasks import partition
from codex_loop_assets.loop.labels import agreement, agreement_with_people
from codex_loop_assets.loop.review import Answer, Item, Verdict
from codex_loop_assets.resources import reviews
from codex_loop_assets.resources.homes import Home
from codex_loop_assets.stages import MEASURE

KEYS: dict[str, Answer] = {"a": "accept", "r": "reject", "s": "skip"}
QUIT = frozenset("q\x03\x04")
HELP = "[a]ccept  [r]eject  [s]kip  [q]uit"


@click.command()
@click.option("--who", default=getpass.getuser, help="Who answers (default: your user name).")
@click.option(
    "--limit", type=click.IntRange(min=1), help="How many questions at most (default: 40, from the settings)."
)
@click.option("--list", "only_list", is_flag=True, help="List the queue with ids and ask nothing.")
@home_options()
def review(home: Home, who: str, limit: int | None, only_list: bool) -> None:
    """Answer what the system is unsure of: accept, reject (with a reason) or skip, best questions first.

    Each answer is saved at once. Accepted and rejected moments become labels and measure the detectors, an accepted
    proposal becomes a category, a rejected ticket is ignored for a while, a rejected task leaves its dataset, and a task in doubt
    that is accepted may be measured.
    """
    console = open_console()
    items = reviews.queue(home, who, limit)
    if only_list:
        for item in items:
            console.print(line(item), soft_wrap=True)
        return
    given: list[Verdict] = []
    # Ctrl-C while a reason is typed: that answer is not given, and those before it are.
    with suppress(click.Abort):
        for number, item in enumerate(items, start=1):
            console.print(panel(item, number, len(items)))
            reply = _reply()
            if reply is None:
                break
            verdict = _record(home, console, item, reply, who)
            given += [verdict] if verdict else []
    _refresh(home, given)
    click.echo(summary(given, len(items)))
    for text in agreement_lines(reviews.verdicts(home)):
        click.echo(text)


def panel(item: Item, number: int, total: int) -> Panel:
    """An item with its question and evidence. Text from sessions is shown as it is, never read as markup."""
    lines = [Text(item.question, style="bold"), *(Text(f"  {words}") for words in item.lines)]
    heading = Text(f"{number} of {total}  {item.kind}: {item.title}")
    return Panel(Group(*lines), title=heading, title_align="left", subtitle=Text(HELP), subtitle_align="left")


def line(item: Item) -> Text:
    """An item in one line, its id first: what the job `review_decision` wants to know."""
    return Text(f"{item.item_id}  {item.kind}  {item.title}  ({item.why})")


def summary(given: Iterable[Verdict], asked: int) -> str:
    """What was answered of what was in the queue."""
    counts = Counter(verdict.answer for verdict in given)
    if not asked:
        return "nothing to review: everything has your answer"
    said = ", ".join(
        f"{counts[name]} {word}" for name, word in (("accept", "accepted"), ("reject", "rejected"), ("skip", "skipped"))
    )
    return f"{said}; {asked - counts.total()} left in this queue"


def agreement_lines(verdicts: Iterable[Verdict]) -> list[str]:
    """How far every two people who judged the same moments agree, and how far each detector agrees with people."""
    detectors = [
        f"people accepted {row['accepted']} of {row['items']} moments of {row['detector']} that were drawn by chance: "
        f"{row['share']:.0%} [{row['low']:.0%} to {row['high']:.0%}]"
        + (f"; it expected {row['expected']:.0%}" if row["expected"] is not None else "")
        for row in agreement_with_people(verdicts)
    ]
    return detectors + [
        f"{pair['first']} and {pair['second']} agree on {pair['same']:.0%} of {pair['items']} moments"
        + (f" (kappa {pair['kappa']:.2f})" if pair["kappa"] is not None else "")
        for pair in agreement(verdicts)
    ]


def _reply() -> Answer | None:
    """The next key that is an answer; None to stop."""
    while True:
        try:
            key = click.getchar().lower()
        except (KeyboardInterrupt, EOFError):
            return None
        except OSError as error:
            raise Problem(
                "answers need a terminal; see the queue with --list, and answer with the job review_decision"
            ) from error
        if not key or key in QUIT:
            return None
        if key in KEYS:
            return KEYS[key]


def _record(home: Home, console: Console, item: Item, reply: Answer, who: str) -> Verdict | None:
    """Save the answer; None (and a message) where somebody has decided before."""
    reason = click.prompt("Why") if reply == "reject" else ""
    try:
        return reviews.record(home, item, reply, who, reason)
    except ValueError as error:
        console.print(Text(f"not saved: {error}"))
        return None


def _refresh(home: Home, given: Iterable[Verdict]) -> None:
    """Write the tickets anew whose history has got an answer, and comparisons and tickets of clusters whose tasks did."""
    answered = [verdict for verdict in given if verdict.answer != "skip"]
    decided = {verdict.about["cluster_id"] for verdict in answered if verdict.kind == "ticket"}
    tasks = [verdict.item_id for verdict in answered if verdict.kind == "task"]
    changed = {cluster_id for task in tasks for cluster_id in reviews.clusters_of(home, task)}
    for cluster_id in sorted(decided | changed):
        partition(home, None, cluster_id)
        if cluster_id in changed and home.lake.has("eval_runs", cluster_id):
            materialise(home, MEASURE, clusters=[cluster_id])
        if cluster_id in decided or home.lake.has("tickets", cluster_id):
            materialise(home, ["tickets"], clusters=[cluster_id])
