"""The static site: days, clusters, tickets, session transcripts, scorecards, coverage, funnel and cost.

What belongs here: which pages there are and how they link. What does not: their parts (`sections`, `transcript`,
`report`).

Every page works from a file, without network or script. Nothing is dropped in silence: where a limit leaves pages
out, the page that would link to them says how many.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import polars as pl

from codex_loop_assets.loop import charts, sections, transcript, trend_pages
from codex_loop_assets.loop.excerpt import excerpt
from codex_loop_assets.loop.inputs import ReportInputs
from codex_loop_assets.loop.pages import environment, ticket_html
from codex_loop_assets.loop.report import day_values
from codex_loop_assets.measure import trends

NAV = [
    ("Overview", "index.html"),
    ("Days", "days.html"),
    ("Clusters", "clusters.html"),
    ("Tickets", "tickets.html"),
    ("Sessions", "sessions.html"),
    ("Trends", "trends.html"),
    ("Scorecard", "scorecard.html"),
    ("Coverage", "coverage.html"),
    ("Funnel and cost", "funnel.html"),
]


def build(inputs: ReportInputs) -> dict[str, str]:
    """All pages of the site: path relative to its directory -> text. Equal inputs give equal pages."""
    return dict(pages(inputs))


def pages(inputs: ReportInputs) -> Iterator[tuple[str, str]]:
    """The pages (path, text) one after the other, so that a writer need not hold them all; transcripts come last, day
    by day."""
    paths = session_pages(inputs)
    shared = {"session_pages": paths, "site_nav": NAV, "shown": inputs.settings["page"]}
    yield "style.css", environment().get_template("style.css").render()
    for page in _pages(inputs, paths):
        root = "../" * page.path.count("/")
        html = (
            environment().get_template(page.template).render(shared | {"root": root, "here": page.here, **page.values})
        )
        yield page.path, html


@dataclass(frozen=True)
class _Page:
    """A page to render: where, by which template, under which entry of the navigation, from which values."""

    path: str
    template: str
    here: str
    values: Mapping[str, Any]


def _pages(inputs: ReportInputs, paths: Mapping[str, str]) -> Iterator[_Page]:
    known = _days(inputs)
    days = known[-inputs.settings["site"]["days"] :]
    newest = days[-1] if days else None
    clusters = sections.clusters(inputs, newest) if newest else []
    tickets = sections.tickets(inputs)
    yield _Page("index.html", "overview.html.j2", "index.html", _overview(inputs, known, days, clusters))
    yield _Page(
        "days.html", "days.html.j2", "days.html", {"days": _day_rows(inputs, days), "hidden": len(known) - len(days)}
    )
    for position, day in enumerate(days):
        values = day_values(inputs, day) | {"pager": _pager(days, position)}
        yield _Page(f"days/{day}.html", "day.html.j2", "days.html", values)
    yield _Page("clusters.html", "clusters.html.j2", "clusters.html", {"clusters": clusters, "day": newest})
    for cluster in clusters:
        values = _cluster_values(inputs, cluster, newest)
        yield _Page(f"clusters/{cluster['cluster_id']}.html", "cluster.html.j2", "clusters.html", values)
    yield _Page("tickets.html", "tickets.html.j2", "tickets.html", {"tickets": tickets})
    for ticket in tickets:
        if ticket["status"] != "not_opened":
            yield _Page(
                f"tickets/{ticket['ticket_id']}.html", "ticket.html.j2", "tickets.html", _ticket_values(inputs, ticket)
            )
    yield _Page("trends.html", "trends.html.j2", "trends.html", trend_pages.values(inputs, clusters))
    yield _Page("scorecard.html", "scorecard.html.j2", "scorecard.html", _scorecard_values(inputs))
    yield _Page("coverage.html", "coverage.html.j2", "coverage.html", _coverage_values(inputs))
    yield _Page("funnel.html", "funnel.html.j2", "funnel.html", _funnel_values(inputs))
    yield _Page("sessions.html", "sessions.html.j2", "sessions.html", _session_list(inputs, paths))
    yield from _transcripts(inputs, paths)


def _ticket_values(inputs: ReportInputs, ticket: Mapping[str, Any]) -> dict[str, Any]:
    text = inputs.ticket_texts.get(ticket["ticket_id"])
    rows = inputs.table("regressions").filter(pl.col("cluster_id") == ticket["cluster_id"])
    # What was measured stands between the ticket's head and its parts, each of which begins with a heading.
    head, heading, parts = ticket_html(text).partition("<h2") if text else ("", "", "")
    return {
        "ticket": ticket,
        "head": head,
        "parts": heading + parts,
        "regressions": rows.sort("candidate_arm", "endpoint").to_dicts(),
    }


def _transcripts(inputs: ReportInputs, paths: Mapping[str, str]) -> Iterator[_Page]:
    signals, spines = inputs.table("signals"), inputs.table("spines")
    for part in inputs.parts():
        chosen = part["sessions"].filter(pl.col("thread_id").is_in(list(paths))).sort("thread_id")
        for session in chosen.to_dicts():
            thread_id = session["thread_id"]
            turns, calls, found, sources = (
                frame.filter(pl.col("thread_id") == thread_id)
                for frame in (part["turns"], part["tool_calls"], signals, spines)
            )
            values = transcript.session_values(session, turns, calls, found, inputs.settings["site"])
            yield _Page(paths[thread_id], "session.html.j2", "sessions.html", values | {"sources": sources.to_dicts()})


def session_pages(inputs: ReportInputs) -> dict[str, str]:
    """thread_id -> page of its transcript, for as many sessions as the settings allow: those with signals first, newest
    first. A thread id that is no plain file name is replaced by its hash."""
    counts = inputs.table("signals").group_by("thread_id").len("signals")
    ranked = (
        inputs.table("sessions")
        .join(counts, on="thread_id", how="left")
        .with_columns(marked=pl.col("signals").fill_null(0) > 0)
        .sort(["marked", "started_at", "thread_id"], descending=[True, True, False], nulls_last=True)
    )
    threads = ranked["thread_id"].head(inputs.settings["site"]["transcripts"]).to_list()
    return {thread: f"sessions/{_file_name(thread)}.html" for thread in threads}


def _file_name(thread_id: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}", thread_id):
        return thread_id
    return "t_" + hashlib.sha256(thread_id.encode("utf-8", "surrogatepass")).hexdigest()[:24]


def _days(inputs: ReportInputs) -> list[date]:
    started = inputs.table("sessions")["started_at"].dt.date().drop_nulls().unique()
    reported = inputs.table("daily_report")["dt"].unique()
    return pl.concat([started, reported]).unique().sort().to_list()


def _pager(days: list[date], position: int) -> list[tuple[str, str]]:
    before = [(f"← {days[position - 1]}", f"days/{days[position - 1]}.html")] if position else []
    after = [(f"{days[position + 1]} →", f"days/{days[position + 1]}.html")] if position + 1 < len(days) else []
    return [*before, *after]


def _overview(inputs: ReportInputs, known: list[date], days: list[date], clusters: list[dict]) -> dict[str, Any]:
    rates = inputs.table("trends")
    tickets = sections.tickets(inputs)
    sessions, signals = inputs.table("sessions"), inputs.table("signals")
    return {
        "days": days,
        "known_days": len(known),
        "sessions": sessions.height,
        "human": sessions["human"].sum(),
        "friction": signals.filter(pl.col("type") == "friction").height,
        "delight": signals.filter(pl.col("type") == "delight").height,
        "clusters": clusters,
        "tickets": [ticket for ticket in tickets if ticket["status"] in sections.OPEN_TICKETS],
        "verified": sum(ticket["status"] == "verified" for ticket in tickets),
        "settled_through": trends.settled_through(rates),
        "lines": {kind: _line(rates, "type", kind, kind) for kind in ("friction", "delight")},
        "alerts": [{"kind": alert.kind, "message": excerpt(alert.message, None, 200)} for alert in inputs.alerts],
    }


def _line(rates: pl.DataFrame, kind: str, name: str, colour: str):
    rows = rates.filter(
        (pl.col("kind") == kind)
        & (pl.col("name") == name)
        & (pl.col("cli_version") == "all")
        & (pl.col("model") == "all")
    ).sort("dt")
    points = [
        (str(row["dt"]), row["rate"], row["rate_low"], row["rate_high"], row["settled"])
        for row in rows.drop_nulls("rate").to_dicts()
    ]
    return charts.trend_line(points, f"Share of sessions with {colour}", colour)


def _day_rows(inputs: ReportInputs, days: list[date]) -> list[dict]:
    sessions = inputs.table("sessions").with_columns(dt=pl.col("started_at").dt.date())
    signals = inputs.table("signals").join(sessions.select("thread_id", "dt"), on="thread_id")
    per_day = {
        row["dt"]: row for row in sessions.group_by("dt").agg(n=pl.len(), human=pl.col("human").sum()).to_dicts()
    }
    counts = {(row["dt"], row["type"]): row["len"] for row in signals.group_by("dt", "type").len().to_dicts()}
    return [
        {
            "day": day,
            "sessions": per_day.get(day, {}).get("n", 0),
            "human": per_day.get(day, {}).get("human", 0),
            "friction": counts.get((day, "friction"), 0),
            "delight": counts.get((day, "delight"), 0),
        }
        for day in reversed(days)
    ]


def _cluster_values(inputs: ReportInputs, cluster: dict, day: date) -> dict[str, Any]:
    members = inputs.state_on("cluster_members", day).filter(pl.col("cluster_id") == cluster["cluster_id"])
    signals = inputs.table("signals").join(members.select("signal_id", "arrived", "via"), on="signal_id")
    happened = inputs.table("cluster_events").filter(
        (pl.col("cluster_id") == cluster["cluster_id"]) | (pl.col("other_id") == cluster["cluster_id"])
    )
    tasks = inputs.table("harbor_datasets").filter(pl.col("cluster_id") == cluster["cluster_id"])
    newest = signals.sort(["occurred_at", "signal_id"], descending=[True, False], nulls_last=True)
    shown = inputs.settings["page"]["rows"]
    return {
        "cluster": cluster,
        "line": _line(inputs.table("trends"), "cluster", cluster["cluster_id"], cluster["kind"]),
        "members": [
            {
                "text": excerpt(row["description"], row["thread_id"], 240),
                **{
                    name: row[name]
                    for name in ("thread_id", "category", "severity", "arrived", "detector", "occurred_at")
                },
                "seq": row["seq_start"],
            }
            for row in newest.head(shown).to_dicts()
        ],
        "hidden": max(0, newest.height - shown),
        "events": happened.sort("dt", "kind", descending=[True, False]).to_dicts(),
        "tasks": tasks.filter(pl.col("stage") == "built").sort("task_name").to_dicts(),
        "regressions": inputs.table("regressions").filter(pl.col("cluster_id") == cluster["cluster_id"]).to_dicts(),
    }


def _session_list(inputs: ReportInputs, pages: Mapping[str, str]) -> dict[str, Any]:
    signals = inputs.table("signals")
    counts = {
        (row["thread_id"], row["type"]): row["len"] for row in signals.group_by("thread_id", "type").len().to_dicts()
    }
    chosen = inputs.table("sessions").filter(pl.col("thread_id").is_in(list(pages)))
    rows = chosen.sort(["started_at", "thread_id"], descending=[True, False], nulls_last=True).to_dicts()
    return {
        "rows": [
            {
                **{
                    name: row[name]
                    for name in ("thread_id", "started_at", "turn_count", "outcome", "human", "excluded")
                },
                "repository": excerpt(row["repository"], row["thread_id"], 40),
                "friction": counts.get((row["thread_id"], "friction"), 0),
                "delight": counts.get((row["thread_id"], "delight"), 0),
            }
            for row in rows
        ],
        "hidden": inputs.table("sessions").height - len(rows),
    }


def _scorecard_values(inputs: ReportInputs) -> dict[str, Any]:
    card = sections.scorecard(inputs)
    return {
        "scorecard": card,
        "moved": [row for row in card if row["moved"]],
        "reliability": sections.reliability(inputs),
        "local": sections.local_categories(inputs),
        "languages": inputs.local_categories["languages"],
        "held_out": inputs.held_out,
        "spending": sections.spending(inputs.table("judge_coverage"), inputs.table("eval_runs")),
    }


def _coverage_values(inputs: ReportInputs) -> dict[str, Any]:
    exposed = inputs.exposure.group_by("category").agg(n=pl.col("thread_id").n_unique())
    counts = dict(exposed.rows())
    names = sorted(set(inputs.types) | set(counts))
    return {
        "ledger": sections.coverage(inputs.table("spines")),
        "judged": sections.judging(inputs.table("judge_coverage")),
        "left_out": sections.left_out(inputs.table("judge_coverage")),
        "total": inputs.table("sessions").height,
        "observable": [(name, inputs.type_of(name), counts.get(name, 0)) for name in names],
    }


def _funnel_values(inputs: ReportInputs) -> dict[str, Any]:
    runs = inputs.table("eval_runs")
    by_arm = runs.group_by("dataset", "arm").agg(
        trials=pl.len(),
        rewarded=pl.col("reward").mean(),
        infrastructure=(pl.col("error_class") == "infrastructure").sum(),
        cost=pl.col("cost_usd").sum(),
    )
    return {
        "funnel": sections.funnel(inputs),
        "spending": sections.spending(inputs.table("judge_coverage"), runs),
        "ledger": dict(inputs.ledger),
        "judged": sections.judging(inputs.table("judge_coverage")),
        "arms": by_arm.sort("dataset", "arm").to_dicts(),
        "regressions": inputs.table("regressions").sort("cluster_id", "endpoint").to_dicts(),
    }
