"""`judge-estimate`: what having a model judge the sessions would take, before anything is bought. Asks no model, needs no key."""

from __future__ import annotations

import math

import click
from rich.table import Table

from codex_loop_assets import clock
from codex_loop_assets.cli import days as which
from codex_loop_assets.cli.console import open_console
from codex_loop_assets.cli.options import Problem, home_options, parse_day, today
from codex_loop_assets.cli.summaries import not_looked_for
from codex_loop_assets.resources.canonical_tables import canon_tables
from codex_loop_assets.resources.homes import Home
from codex_loop_assets.resources.judges import model_judge
from codex_loop_assets.resources.schema import current_schema
from codex_loop_assets.signals.judges.base import Transcript
from codex_loop_assets.signals.judges.llm import Estimate
from codex_loop_assets.signals.judges.llm.prices import UnknownPrice, outdated
from codex_loop_assets.signals.judges.run import to_be_judged


@click.command()
@click.option(
    "--model", "models", multiple=True, help="Model to price (repeatable; default: all that answer and have a price)."
)
@click.option("--from", "first", callback=parse_day, help="First day of a range (default: all days).")
@click.option("--to", "last", callback=parse_day, help="Last day of a range.")
@home_options()
def judge_estimate(home: Home, models: tuple[str, ...], first: str | None, last: str | None) -> None:
    """Sessions, calls, tokens and dollars that judging by a model would take, by model, and what is left of the budget.

    Sessions that a model has answered about already cost nothing. At worst: every text is as many tokens as bytes and every
    answer as long as allowed; so much is reserved before a call.
    """
    console, prices, settings = open_console(), home.section("prices"), home.section("llm_judge")
    days = which.between(home, first, last) or home.lake.keys("sessions")
    sessions = [transcript for day in days for transcript in _sessions(home, day)]
    schema = current_schema(home)
    table = Table(title=f"Judging {len(sessions):,} sessions of {len(days):,} days by a model", title_justify="left")
    for heading in ("model", "calls", "tokens in", "tokens out", "usual", "at worst", "days"):
        table.add_column(heading, justify="left" if heading == "model" else "right", no_wrap=True)
    answering = (name for name, price in prices["models"].items() if price.get("kind") != "embedding")
    for model in models or answering:
        try:
            found = model_judge(home, model).estimate(sessions, schema)
        except UnknownPrice as error:
            raise Problem(str(error)) from error
        table.add_row(f"{model}{' *' * (model == settings['model'])}", *_cells(found, settings["daily_budget_usd"]))
    console.print(table)
    console.print(
        "* configured. Calls: for sessions that the model has not answered about. Days: how many daily budgets it takes.",
        highlight=False,
        soft_wrap=True,
    )
    batch = ", half price by batch" if settings["mode"] == "batch" else ""
    left = model_judge(home).budget_left()
    console.print(
        f"Budget: ${settings['daily_budget_usd']:.2f} a day (UTC), ${left:.2f} left today; mode {settings['mode']}{batch}.",
        highlight=False,
    )
    console.print(f"Prices: {prices['source']}, read {prices['read']}.", highlight=False, markup=False, soft_wrap=True)
    if warning := outdated(prices, today()):
        console.print(f"Warning: {warning}.", highlight=False, markup=False, soft_wrap=True)
    console.print(not_looked_for(home), highlight=False, soft_wrap=True)


def _sessions(home: Home, day: str) -> list[Transcript]:
    return to_be_judged(canon_tables(home, day), clock.now(), home.section("judges"))


def _cells(found: Estimate, budget: float) -> list[str]:
    days = (
        f"{max(1, math.ceil(found.typical_usd / budget)):,}" if found.calls and budget else "0" if budget else "never"
    )
    tokens = [f"{found.input_tokens:,}", f"{found.output_tokens:,}"]
    money = [f"${found.typical_usd:.2f}", f"${found.worst_usd:.2f}"]
    return [f"{found.calls:,}", *tokens, *money, days]
