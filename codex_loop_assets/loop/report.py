"""The daily page: one self-contained HTML file and the day's row of `daily_report`.

What belongs here: which parts a day shows. What does not: the parts (`sections`), their HTML (`templates/`), the site
around the days (`site`).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

import polars as pl

from codex_loop_assets.discovery.waiting import proposals_waiting, types_waiting
from codex_loop_assets.loop import sections
from codex_loop_assets.loop.inputs import ReportInputs
from codex_loop_assets.loop.pages import environment

__all__ = ["ReportInputs", "day_page", "day_values", "page_path"]


def page_path(day: date) -> str:
    """Where the day's page lies, relative to the codex-loop home."""
    return f"reports/{day}.html"


def day_page(inputs: ReportInputs, day: date) -> tuple[str, dict]:
    """The day's page (needs no other file and no network) and its row of `daily_report`."""
    values = day_values(inputs, day)
    html = environment().get_template("day.html.j2").render(values, root=None, session_pages={}, pager=[])
    row = {
        "dt": day,
        "sessions": values["sessions"],
        "human_sessions": values["human"],
        "friction": values["friction"]["signals"],
        "delight": values["delight"]["signals"],
        "live_clusters": len(values["clusters"]),
        "open_proposals": values["open_proposals"],
        "cost_usd": values["spending"]["total"],
        "path": page_path(day),
    }
    return html, row


def day_values(inputs: ReportInputs, day: date) -> dict[str, Any]:
    """What the day's template shows. Sessions belong to the day on which they started, with all their signals."""
    sessions = inputs.started_on("sessions", day)
    signals = inputs.of_sessions("signals", sessions)
    judged = inputs.of_sessions("judge_coverage", sessions)
    spines = inputs.started_on("spines", day)
    trials = inputs.table("eval_runs").filter(pl.col("started_at").dt.date() == day)
    categories = sections.categories(inputs, sessions, signals, day)
    # What grew today comes first; the largest of the others follow.
    clusters = sorted(sections.clusters(inputs, day), key=lambda cluster: cluster["last"] != day)
    tickets = sections.tickets(inputs)
    proposals = sections.proposals(inputs, day)
    waiting = judged.filter(pl.col("status").is_in(["active", "pending_batch", "deferred"]))
    return {
        "day": day,
        "settled": waiting.is_empty() and spines.filter(pl.col("status") == "active").is_empty(),
        "sessions": sessions.height,
        "human": sessions["human"].sum(),
        "excluded": sessions["excluded"].sum(),
        "friction": _of_type(inputs, sessions, signals, "friction"),
        "delight": _of_type(inputs, sessions, signals, "delight"),
        "categories": categories,
        "unseen": sections.unseen(inputs, sessions, categories),
        "clusters": clusters,
        "born": sum(cluster["born"] == day for cluster in clusters),
        "shown": inputs.settings["page"],
        "tickets": [ticket for ticket in tickets if ticket["status"] in sections.OPEN_TICKETS],
        "other_tickets": [ticket["status"] for ticket in tickets if ticket["status"] not in sections.OPEN_TICKETS],
        "open_tickets": sum(ticket["status"] in sections.OPEN_TICKETS for ticket in tickets),
        "proposals": [proposal for proposal in proposals if proposal["status"] == "open"],
        "open_proposals": sum(proposal["status"] == "open" for proposal in proposals),
        "types_waiting": types_waiting(inputs.state_on("cluster_members", day), inputs.minimum_signals),
        "proposals_waiting": proposals_waiting(inputs.state_on("proposals_waiting", day)),
        "ledger": sections.coverage(spines),
        "judged": sections.judging(judged),
        "left_out": sections.left_out(judged),
        "funnel": sections.funnel(inputs),
        "spending": sections.spending(judged, trials),
        "scorecard": sections.scorecard(inputs),
    }


def _of_type(inputs: ReportInputs, sessions: pl.DataFrame, signals: pl.DataFrame, kind: str) -> Mapping[str, Any]:
    """Signals of a type, and the share of the sessions that could show any of its categories which show one."""
    counted = sessions.filter(~pl.col("excluded"))
    found = signals.filter(pl.col("type") == kind)
    of_type = [name for name in inputs.exposure["category"].unique() if inputs.type_of(name) == kind]
    could = inputs.exposure.filter(pl.col("category").is_in(of_type))["thread_id"]
    hit = counted.filter(pl.col("thread_id").is_in(found["thread_id"].implode()))
    exposed = counted.filter(pl.col("thread_id").is_in(pl.concat([could, found["thread_id"]]).unique().implode()))
    rate, low, high = sections.interval(hit.height, exposed.height)
    return {
        "signals": found.height,
        "sessions": hit.height,
        "exposed": exposed.height,
        "rate": rate,
        "low": low,
        "high": high,
    }
