"""The parts of a page as plain values: what each part shows, already redacted and cut.

What belongs here: numbers and short texts per part. What does not: HTML (`templates/`), which day or page they are for
(`report`, `site`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date

import polars as pl

from codex_loop_assets.loop import charts
from codex_loop_assets.loop.excerpt import excerpt
from codex_loop_assets.loop.inputs import ReportInputs
from codex_loop_assets.signals.judges.costs import cost_summary

OPEN_TICKETS = ["new", "escalating", "fixing", "regressed"]


def interval(hits: int, total: int) -> tuple[float | None, float | None, float | None]:
    """Rate with its Wilson 95 % interval; three None where nothing could be seen."""
    if not total:
        return None, None, None
    from statsmodels.stats.proportion import proportion_confint

    low, high = proportion_confint(hits, total, alpha=0.05, method="wilson")
    return hits / total, float(low), float(high)


def categories(inputs: ReportInputs, sessions: pl.DataFrame, signals: pl.DataFrame, day: date) -> list[dict]:
    """A row per category that could be seen that day or was seen: sessions with it, of how many, signals, examples."""
    counted = sessions.filter(~pl.col("excluded"))
    signals = signals.join(counted.select("thread_id"), on="thread_id", how="semi")
    exposed = inputs.exposure.join(counted.select("thread_id"), on="thread_id", how="semi")
    # What was seen could be seen.
    exposed = pl.concat([exposed.select("thread_id", "category"), signals.select("thread_id", "category")]).unique()
    rows = []
    for category in sorted(exposed["category"].unique().to_list()):
        found = signals.filter(pl.col("category") == category)
        hits = found["thread_id"].n_unique()
        total = exposed.filter(pl.col("category") == category)["thread_id"].n_unique()
        kind = inputs.type_of(category)
        rate, low, high = interval(hits, total)
        rows.append(
            {
                "category": category,
                "kind": kind,
                "sessions": hits,
                "exposed": total,
                "signals": found.height,
                "rate": rate,
                "low": low,
                "high": high,
                "severity": found["severity"].mean(),
                "bar": charts.rate_bar(rate, low, high, kind),
                "spark": _history(inputs, "category", category, day, kind),
                "examples": [_example(row, inputs) for row in _examples(found, inputs)],
            }
        )
    return sorted(rows, key=lambda row: (row["kind"] != "friction", -row["sessions"], -row["signals"], row["category"]))


def _examples(found: pl.DataFrame, inputs: ReportInputs) -> list[dict]:
    limit = inputs.settings["page"]["signals_per_category"]
    return found.sort(["severity", "confidence", "signal_id"], descending=[True, True, False]).head(limit).to_dicts()


def _example(signal: dict, inputs: ReportInputs) -> dict:
    limit = inputs.settings["page"]["quote_characters"]
    return {
        "text": excerpt(signal["description"], signal["thread_id"], limit),
        "thread_id": signal["thread_id"],
        "seq": signal["seq_start"],
        "signal_id": signal["signal_id"],
        "severity": signal["severity"],
        "detector": signal["detector"],
    }


def _history(inputs: ReportInputs, kind: str, name: str, day: date, colour: str):
    rows = inputs.table("trends").filter(
        (pl.col("kind") == kind)
        & (pl.col("name") == name)
        & (pl.col("cli_version") == "all")
        & (pl.col("model") == "all")
        & (pl.col("dt") <= day)
    )
    shown = rows.sort("dt").tail(28)
    return charts.sparkline(shown["sessions_with"].to_list(), "sessions per day", colour)


def unseen(inputs: ReportInputs, sessions: pl.DataFrame, rows: list[dict]) -> list[str]:
    """Categories of the schema that no session of the day could show: unknown, not zero."""
    return sorted(set(inputs.types) - {row["category"] for row in rows}) if sessions.height else []


def coverage(spines: pl.DataFrame) -> dict:
    """The ledger: sources by status, lines by fate, and every source that was not simply read, with its reason."""
    by_status = (
        spines.group_by("status")
        .agg(n=pl.len(), lines=pl.col("lines").sum())
        .sort("n", "status", descending=[True, False])
    )
    skipped: dict[str, int] = {}
    for text in spines["skipped"].to_list():
        for reason, count in json.loads(text).items():
            skipped[reason] = skipped.get(reason, 0) + count
    lines = {name: int(spines[name].sum()) for name in ("lines", "lines_read", "lines_skipped", "lines_torn")}
    remarks = spines.filter(
        (pl.col("status") != "ingested") | pl.col("reason").is_not_null() | (pl.col("lines_torn") > 0)
    )
    return {
        "sources": spines.height,
        "statuses": by_status.to_dicts(),
        **lines,
        "balanced": lines["lines"] == lines["lines_read"] + lines["lines_skipped"] + lines["lines_torn"],
        "skipped": sorted(skipped.items(), key=lambda item: (-item[1], item[0])),
        "unknown": _unknown_kinds(spines),
        "remarks": [
            {
                "path": excerpt(row["path"], row["thread_id"], 120),
                "status": row["status"],
                "reason": excerpt(row["reason"] or ("torn lines" if row["lines_torn"] else ""), row["thread_id"], 200),
                "torn": row["lines_torn"],
            }
            for row in remarks.sort("status", "path").to_dicts()
        ],
    }


def _unknown_kinds(spines: pl.DataFrame) -> list[tuple[str, int]]:
    counts: dict[str, int] = {}
    for text in spines["unknown_kinds"].to_list():
        for kind, count in json.loads(text).items():
            counts[kind] = counts.get(kind, 0) + count
    return sorted((excerpt(kind, None, 60), count) for kind, count in counts.items())


def judging(coverage_rows: pl.DataFrame) -> list[dict]:
    """Judge coverage by detector and status, with what was spent."""
    grouped = coverage_rows.group_by("detector", "status").agg(
        sessions=pl.len(),
        findings=pl.col("findings").sum(),
        rejected=pl.col("rejected").sum(),
        calls=pl.col("calls").sum(),
        tokens=pl.col("input_tokens").fill_null(0).sum() + pl.col("output_tokens").fill_null(0).sum(),
        cost=pl.col("cost_usd").fill_null(0).sum(),
    )
    return grouped.sort("detector", "status").to_dicts()


def left_out(coverage_rows: pl.DataFrame) -> list[tuple[str, int]]:
    """Categories that the judge of a session did not look for, with the number of those sessions: unknown there."""
    judged = coverage_rows.filter(pl.col("status") == "judged").select(
        "thread_id", pl.col("left_out").alias("category")
    )
    counts = judged.explode("category").drop_nulls("category").group_by("category").len().sort("category")
    return [(name, count) for name, count in counts.iter_rows()]


def clusters(inputs: ReportInputs, day: date) -> list[dict]:
    """Live clusters as of the day, largest first, each with its trend, exemplars and ticket."""
    state = inputs.state_on("clusters", day).filter(pl.col("status") == "live")
    by_id = {row["signal_id"]: row for row in _wanted_signals(inputs, state).to_dicts()}
    tickets = {row["cluster_id"]: row for row in inputs.table("tickets").to_dicts() if row["status"] != "not_opened"}
    shown = state.sort(["size", "severity", "cluster_id"], descending=[True, True, False]).to_dicts()
    return [_cluster(row, by_id, tickets.get(row["cluster_id"]), inputs) for row in shown]


def _wanted_signals(inputs: ReportInputs, state: pl.DataFrame) -> pl.DataFrame:
    wanted = state.select(pl.col("exemplar_ids").explode()).drop_nulls()
    return inputs.table("signals").join(wanted, left_on="signal_id", right_on="exemplar_ids", how="semi")


def _cluster(row: dict, signals: dict[str, dict], ticket: dict | None, inputs: ReportInputs) -> dict:
    exemplars = [signals[name] for name in row["exemplar_ids"] if name in signals]
    return {
        "cluster_id": row["cluster_id"],
        "kind": row["type"],
        "label": excerpt(row["label"], None, 100),
        "label_from": row["label_from"],
        "description": excerpt(row["description"], None, 240),
        "size": row["size"],
        "sessions": row["session_count"],
        "users": row["user_count"],
        "repositories": row["repository_count"],
        "severity": row["severity"],
        "cohesion": row["cohesion"],
        "born": row["born"],
        "last": row["last_arrival"],
        "category": row["top_category"],
        "terms": [excerpt(term, None, 40) for term in row["terms"][:6]],
        "action": row["action"],
        "action_reason": excerpt(row["action_reason"], None, 200),
        "facets": row["facets"],
        "spark": charts.sparkline(json.loads(row["trend"])[-28:], "arrivals per day", row["type"]),
        "exemplars": [_example(signal, inputs) for signal in exemplars[: inputs.settings["page"]["exemplars"]]],
        "ticket": ticket and {"ticket_id": ticket["ticket_id"], "status": ticket["status"]},
    }


def proposals(inputs: ReportInputs, day: date) -> list[dict]:
    """Proposed categories as of the day, open ones first."""
    rows = inputs.state_on("schema_proposals", day).sort(
        "status", "confidence", "proposal_id", descending=[False, True, False]
    )
    ordered = sorted(rows.to_dicts(), key=lambda row: row["status"] != "open")
    return [
        {
            **{name: row[name] for name in ("proposal_id", "cluster_id", "name", "type", "confidence", "status")},
            "sample_count": row["sample_count"],
            "session_count": row["session_count"],
            "definition": excerpt(row["definition"], None, 300),
            "reasons": [excerpt(reason, None, 160) for reason in row["confidence_reasons"]],
            "decision": excerpt(row["decision_reason"], None, 160),
        }
        for row in ordered
    ]


def tickets(inputs: ReportInputs) -> list[dict]:
    """Tickets, open ones first by priority; those that were not opened come last, with the reason."""
    rank = {
        "regressed": 0,
        "escalating": 1,
        "new": 2,
        "fixing": 3,
        "verified": 4,
        "ignored": 5,
        "merged": 6,
        "not_opened": 7,
    }
    rows = [
        {**row, "title": excerpt(row["title"], None, 120), "reason": excerpt(row["reason"], None, 220)}
        for row in inputs.table("tickets").to_dicts()
    ]
    return sorted(
        rows, key=lambda row: (rank.get(row["status"], 9), row["priority"], -row["signal_count"], row["ticket_id"])
    )


def funnel(inputs: ReportInputs) -> dict:
    """Distillation: how many candidates came how far, and why the others stopped."""
    candidates = inputs.table("harbor_datasets")
    verdicts = inputs.table("task_validations").filter(pl.col("check") == "verdict")
    order = ["signal", "segment", "candidate", "built"]
    reached = {
        stage: candidates.filter(pl.col("stage").is_in(order[position:])).height for position, stage in enumerate(order)
    }
    by_status = dict(verdicts.group_by("status").len().rows())
    built = candidates.filter(pl.col("stage") == "built").height
    steps = [
        ("looked at", reached["signal"]),
        ("segment cut", reached["segment"]),
        ("candidate", reached["candidate"]),
        ("task built", built),
        ("validated", by_status.get("validated", 0)),
    ]
    lost = (
        candidates.filter(pl.col("stage") != "built")
        .group_by("reason")
        .len()
        .sort("len", "reason", descending=[True, False])
    )
    top = max(1, steps[0][1])
    return {
        "steps": [{"name": name, "count": count, "bar": charts.share_bar(count / top)} for name, count in steps],
        "lost": [(excerpt(reason, None, 160), count) for reason, count in lost.rows()],
        "verdicts": sorted(by_status.items()),
    }


def scorecard(inputs: ReportInputs) -> list[dict]:
    """Detectors on labelled data, exact matches over all languages; `overall` marks the rows over all categories, and
    `moved` says how precision, recall and F1 changed since the detector's version before (None: there was none)."""
    rows = inputs.table("scorecard").filter((pl.col("language") == "all") & (pl.col("matching") == "exact"))
    shown = rows.sort("truth", "category", "detector").to_dicts()
    return [row | {"overall": row["category"].startswith("any_"), "moved": _moved(row)} for row in shown]


def _moved(row: Mapping) -> dict | None:
    if row["version_before"] is None:
        return None
    changes = {
        name: row[name] - row[f"{name}_before"]
        for name in ("precision", "recall", "f1")
        if row[name] is not None and row[f"{name}_before"] is not None
    }
    return {"before": row["version_before"], "now": row["detector_version"], "worse": row["worse"], "changes": changes}


def reliability(inputs: ReportInputs) -> dict[str, list[dict]]:
    """What detectors say of severity and confidence beside what readers say."""
    rows = inputs.table("reliability").sort("truth", "detector", "predicted").to_dicts()
    return {measure: [row for row in rows if row["measure"] == measure] for measure in ("severity", "confidence")}


def local_categories(inputs: ReportInputs) -> list[dict]:
    """Who looks for each semantic category without a key, and the published figures that say so; what nobody looks for
    comes first."""
    clean = inputs.held_out["categories"]
    rows = [
        {"category": name, **row, "held_out": clean.get(name)}
        for name, row in inputs.local_categories["categories"].items()
    ]
    return sorted(rows, key=lambda row: (row["by"] != "none", row["category"]))


def spending(coverage_rows: pl.DataFrame, eval_runs: pl.DataFrame) -> dict:
    """What was paid: judging and evaluation. A trial without a recorded cost is counted, not taken as free. With it what
    judging costs per 1,000 sessions and per confirmed signal (None where no model was asked), and the share of rejected
    citations."""
    summary = cost_summary(coverage_rows)
    judged = summary["cost_usd"] or 0.0
    evaluated = float(eval_runs["cost_usd"].fill_null(0).sum())
    return {
        "judging": judged,
        "asked": summary["cost_usd"] is not None,
        "per_1000_sessions": summary["usd_per_1000_sessions"],
        "per_signal": summary["usd_per_signal"],
        "rejected_share": summary["rejected_citations"],
        "evaluation": evaluated,
        "total": judged + evaluated,
        "trials": eval_runs.height,
        "unpriced": eval_runs["cost_usd"].null_count(),
    }
