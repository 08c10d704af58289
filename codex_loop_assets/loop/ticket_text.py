"""The words of a ticket: reproduction steps, evidence lines, commands, and the Markdown they make together.

What belongs here: wording from given parts. What does not: choosing the parts or computing a number (`tickets`).
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from codex_loop_assets.loop import life
from codex_loop_assets.loop.advice import Advice
from codex_loop_assets.loop.affected import Facet
from codex_loop_assets.loop.claims import Claim, Finding
from codex_loop_assets.loop.evidence import Evidence, quotations
from codex_loop_assets.loop.excerpt import block, code, escape, excerpt, passage
from codex_loop_assets.loop.pages import environment

HOME = '"${CODEX_LOOP_HOME:-.codex_loop}"'


@dataclass(frozen=True)
class Parts:
    """Everything a ticket states."""

    row: Mapping
    cluster: Mapping
    evidence: Evidence
    numbers: Mapping[str, Claim]
    facets: list[tuple[Facet, Claim]]
    pointers: list[dict]
    resolved: Claim
    tasks: list[dict]
    advice: Advice
    findings: list[Finding]
    claims: list[Claim]
    frames: Mapping[str, pl.DataFrame]
    same_problem: list[tuple[str, str]]
    history: tuple[life.Event, ...]
    without_task: list[tuple[str, Claim]]


def render(parts: Parts, settings: Mapping) -> str:
    """The ticket as Markdown."""
    occurred = parts.evidence.signals["occurred_at"].drop_nulls()
    return (
        environment()
        .get_template("ticket.md.j2")
        .render(
            row=parts.row,
            title=escape(parts.row["title"]),
            reason=escape(excerpt(parts.row["reason"], None)),
            description=escape(excerpt(parts.cluster["description"], None, 400)),
            category=parts.cluster["top_category"],
            terms=[code(excerpt(term, None, 60)) for term in parts.cluster["terms"][:6]],
            first=occurred.min().date() if len(occurred) else None,
            last=occurred.max().date() if len(occurred) else None,
            numbers=parts.numbers,
            facets=parts.facets,
            also=[(code(name), escape(excerpt(label, None, 80))) for name, label in parts.same_problem],
            compared=parts.frames["sessions"].filter(~pl.col("excluded")).height,
            steps=steps(parts, settings["evidence"]),
            pointers=[_pointer(signal, settings["evidence"]) for signal in parts.pointers],
            resolved=parts.resolved,
            hidden=parts.evidence.signals.height - len(parts.pointers),
            tasks=parts.tasks,
            without_task=[(escape(excerpt(reason, None, 300)), claim) for reason, claim in parts.without_task],
            history=[
                (event.day, event.kind.replace("_", " "), escape(event.who), escape(excerpt(event.reason, None, 300)))
                for event in parts.history
            ],
            commands=commands(parts.row, parts.cluster["cluster_id"]),
            advice=parts.advice,
            findings=parts.findings,
            claims=parts.claims,
            code=code,
            block=block,
            escape=escape,
        )
    )


def commands(row: Mapping, cluster_id: str) -> list[tuple[str, str]]:
    """(what it does, shell line) to check the dataset and to measure a fix. Ids and paths are quoted for the shell."""
    cluster = shlex.quote(cluster_id)
    if not row["dataset_dir"]:
        return [
            (
                "Look again, when there are more sessions or their repository is at hand (`init --repository`)",
                f"codex-loop distill --cluster-id {cluster}",
            )
        ]
    dataset = f"{HOME}/{shlex.quote(row['dataset_dir'])}"
    return [
        ("Prove the tasks (nop scores 0, the reference solution 1)", f"codex-loop validate --cluster-id {cluster}"),
        ("Run the reference solutions with Harbor alone", f"harbor run -p {dataset} -a oracle"),
        ("Measure an agent", f"codex-loop measure --dataset {dataset} --agent codex --model gpt-5.2"),
        ("Close by proof, after the change", f"codex-loop verify {row['ticket_id']}"),
    ]


def steps(parts: Parts, settings: Mapping) -> list[str]:
    """What to do to see the problem, from the session of the first pointer: checkout, start, words, calls, outcome."""
    if not parts.pointers:
        return []
    signal = parts.pointers[0]
    session = _first(parts.evidence.sessions.filter(pl.col("thread_id") == signal["thread_id"]))
    turn = _turn_of(signal, parts.evidence.turns)
    lines = [*_checkout(session), _start(session, turn)]
    if turn:
        if turn["turn_index"]:
            lines += _beginning(turn, parts.frames["turns"])
        lines.append(_words(turn, signal["thread_id"]))
        lines += _calls(signal, turn, parts.frames["tool_calls"], settings["steps"])
    return [*lines, f"Outcome: {escape(excerpt(signal['description'], signal['thread_id'], 400))}"]


def _first(frame: pl.DataFrame) -> dict | None:
    return frame.row(0, named=True) if frame.height else None


def _turn_of(signal: Mapping, turns: pl.DataFrame) -> dict | None:
    holding = turns.filter(
        (pl.col("thread_id") == signal["thread_id"])
        & (pl.col("run") == signal["run"])
        & (pl.col("seq_start") <= signal["seq_start"])
        & (pl.col("seq_end") >= signal["seq_start"])
    )
    return holding.sort("seq_start").row(-1, named=True) if holding.height else None


def _checkout(session: Mapping | None) -> list[str]:
    if not session or not (session["repository_url"] or session["repository"]):
        return ["The session names no repository; start in a directory like the one of the evidence."]
    place = code(excerpt(session["repository_url"] or session["repository"], session["thread_id"], 200))
    hexadecimal = excerpt(session["commit_hash"], session["thread_id"], 64)
    commit = f" at commit {code(hexadecimal)}" if hexadecimal else " (its commit is not recorded)"
    diff = ", with the starting diff that the trace holds" if session["starting_diff_path"] else ""
    return [f"Check out {place}{commit}{diff}."]


def _start(session: Mapping | None, turn: Mapping | None) -> str:
    known = {
        "Codex": (session or {}).get("cli_version"),
        "model": (turn or {}).get("model") or (session or {}).get("model"),
        "approval policy": (turn or {}).get("approval_policy"),
        "sandbox": (turn or {}).get("sandbox_policy"),
    }
    said = [f"{name} {code(excerpt(value, None, 60))}" for name, value in known.items() if value]
    return f"Start {', '.join(said)}." if said else "Start Codex (its version and policies are not recorded)."


def _beginning(turn: Mapping, turns: pl.DataFrame) -> list[str]:
    """How the session began: a correction cannot be understood without the request that it corrects."""
    first = turns.filter((pl.col("thread_id") == turn["thread_id"]) & (pl.col("turn_index") == 0))
    words = first["user_message"][0] if first.height else ""
    return [f"The session begins with:\n\n{block(passage(words, turn['thread_id'], lines=6))}"] if words else []


def _words(turn: Mapping, thread_id: str) -> str:
    count = turn["turn_index"]
    earlier = f" (turn {count + 1} of the session)" if count else ""
    if not turn["user_message"]:
        return f"Turn without words of its own, kind {code(turn['kind'])}{earlier}."
    return f"Ask{earlier}:\n\n{block(passage(turn['user_message'], thread_id))}"


def _calls(signal: Mapping, turn: Mapping, calls: pl.DataFrame, limit: int) -> list[str]:
    """The last calls of the turn up to the end of the signal, each with its exit code."""
    within = calls.filter(
        (pl.col("thread_id") == signal["thread_id"])
        & (pl.col("run") == signal["run"])
        & pl.col("seq_start").is_between(turn["seq_start"], max(signal["seq_end"], signal["seq_start"]))
    ).sort("seq_start")
    if not within.height:
        return []
    shown = within.tail(limit).to_dicts()
    skipped = within.height - len(shown)
    lines = [
        f"- {code(excerpt(call['command'] or call['name'], signal['thread_id'], 160))}"
        + (f", exit code {call['exit_code']}" if call["exit_code"] is not None else "")
        + (f", {call['approval']}" if call["approval"] in {"denied", "abort"} else "")
        for call in shown
    ]
    before = f" (the last {len(shown)} of {within.height} calls)" if skipped else ""
    return [f"The agent runs{before}:\n\n" + "\n".join(lines)]


def _pointer(signal: Mapping, settings: Mapping) -> dict:
    records = quotations(signal, settings["quote_characters"])
    calls = list(dict.fromkeys(record["call_id"] for record in records if record["call_id"]))
    return {
        "signal_id": signal["signal_id"],
        "thread_id": signal["thread_id"],
        "run": signal["run"],
        "turn_id": signal["turn_id"],
        "seq": f"{signal['seq_start']}" + (f"–{signal['seq_end']}" if signal["seq_end"] != signal["seq_start"] else ""),
        "calls": calls or ([signal["call_id"]] if signal["call_id"] else []),
        "day": signal["occurred_at"].date() if signal["occurred_at"] else None,
        "severity": signal["severity"],
        "detector": signal["detector"],
        "description": escape(excerpt(signal["description"], signal["thread_id"], 300)),
        "quotes": [code(record["quote"]) for record in records if record["quote"]][:3],
    }
