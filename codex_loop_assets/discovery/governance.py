"""Decisions about categories: approve, reject, promote by rule, retire. An append-only log, one JSON object a line.

Every decision says who, when and why, and is never changed. Two people deciding on one proposal at once: the first
wins, the other is told. What does not belong here: what a proposal says (propose) and what a category finds
(signals).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl

_STATUS = {"approve": "approved", "auto_promote": "approved", "reject": "rejected"}


class DecisionError(ValueError):
    """The decision cannot be taken; the message says why and, where somebody was faster, who decided what and when."""


def read_decisions(path: Path) -> list[dict[str, Any]]:
    """All decisions, oldest first; [] where there is no log. A last line cut off by a crash never was a decision.

    Raises DecisionError for damage anywhere else: a log of decisions is never repaired by guessing.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    decisions = []
    for number, line in enumerate(lines[:-1], start=1):
        try:
            decisions.append(json.loads(line))
        except ValueError as error:
            raise DecisionError(f"{path}, line {number}: not a decision ({error})") from error
    return decisions


def approve(
    path: Path, proposal: Mapping[str, Any], who: str, at: datetime, existing: Sequence[str], reason: str = ""
) -> dict[str, Any]:
    """Promote an open proposal (a row of `schema_proposals`) to a category. `existing`: names of all categories there
    are."""
    return _decide(path, proposal, "approve", who, at, reason, existing)


def reject(path: Path, proposal: Mapping[str, Any], who: str, at: datetime, reason: str) -> dict[str, Any]:
    """Turn an open proposal down, with the reason."""
    if not reason.strip():
        raise DecisionError("a rejection needs a reason")
    return _decide(path, proposal, "reject", who, at, reason, ())


def auto_promote(
    path: Path,
    proposals: pl.DataFrame,
    at: datetime,
    existing: Sequence[str],
    *,
    confidence: float,
    minimum_samples: int,
    minimum_sessions: int,
) -> list[dict[str, Any]]:
    """Promote every open proposal that is confident enough, large enough and seen in enough sessions; the decisions
    made.

    Size alone never promotes: one session that fails a hundred times is one observation.
    """
    names = list(existing)
    made = []
    for proposal in (
        with_decisions(proposals, read_decisions(path))
        .filter(pl.col("status") == "open")
        .sort("proposal_id")
        .iter_rows(named=True)
    ):
        enough = proposal["sample_count"] >= minimum_samples and proposal["session_count"] >= minimum_sessions
        if not enough or proposal["confidence"] < confidence or proposal["name"] in names:
            continue
        reason = (
            f"confidence {proposal['confidence']:.2f} >= {confidence:.2f}, "
            f"{proposal['sample_count']} samples >= {minimum_samples}, "
            f"{proposal['session_count']} sessions >= {minimum_sessions}"
        )
        made.append(_decide(path, proposal, "auto_promote", "codex-loop", at, reason, names))
        names.append(proposal["name"])
    return made


def retire(
    path: Path, category_name: str, who: str, at: datetime, reason: str, existing: Sequence[str]
) -> dict[str, Any]:
    """Take a category out of use from now on; what it found stays readable. `existing`: names of the active
    categories."""
    if category_name not in existing:
        raise DecisionError(f"no active category {category_name!r}; there are: {', '.join(sorted(existing))}")

    def line(decisions: list[dict[str, Any]]) -> dict[str, Any]:
        touching = [
            entry for entry in decisions if entry["category_name"] == category_name and entry["kind"] != "reject"
        ]
        if touching and touching[-1]["kind"] == "retire":
            raise DecisionError(f"{category_name} is retired already: by {touching[-1]['who']} at {touching[-1]['at']}")
        return _line("retire", None, None, category_name, who, at, reason, f"{category_name}/{len(touching)}")

    return _append(path, line)


def with_decisions(proposals: pl.DataFrame, decisions: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """Proposals with what has been decided about them laid over their status."""
    decided = {entry["proposal_id"]: entry for entry in decisions if entry["proposal_id"]}
    rows = [
        row | {"status": _STATUS[entry["kind"]], "decided_by": entry["who"], "decision_reason": entry["reason"]}
        if (entry := decided.get(row["proposal_id"]))
        else row
        for row in proposals.iter_rows(named=True)
    ]
    return pl.DataFrame(rows, schema=proposals.schema, orient="row")


def decided_by(decisions: Sequence[Mapping[str, Any]], day: date) -> list[Mapping[str, Any]]:
    """The decisions taken on the day or before (UTC)."""
    return [entry for entry in decisions if datetime.fromisoformat(entry["at"]).date() <= day]


def category_of(proposal: Mapping[str, Any]) -> dict[str, Any]:
    """The category that a proposal becomes, as `signals.schema.Category` takes it."""
    return {
        "name": proposal["name"],
        "type": proposal["type"],
        "definition": proposal["definition"],
        "inclusion_criteria": list(proposal["inclusion_criteria"]),
        "exclusion_criteria": list(proposal["exclusion_criteria"]),
        "severity": proposal.get("severity", 2),
        "severity_rule": proposal["severity_rule"],
        "detector": "semantic",
        "status": "promoted",
        "recommended_action": proposal["recommended_action"],
        "cluster_id": proposal["cluster_id"],
        "proposal_id": proposal["proposal_id"],
        "positives": [item["text"] for item in json.loads(proposal["positives"])],
        "hard_negatives": [item["text"] for item in json.loads(proposal["hard_negatives"])],
    }


def export_schema(categories: Sequence[Mapping[str, Any]], decisions: Sequence[Mapping[str, Any]], version: str) -> str:
    """The schema as JSON text for version control: categories in name order, each promoted one with who promoted it
    and when."""
    promoted = {entry["category_name"]: entry for entry in decisions if entry["kind"] in ("approve", "auto_promote")}
    listed = []
    for category in sorted(categories, key=lambda item: item["name"]):
        entry = promoted.get(category["name"])
        listed.append(dict(category) | ({"promoted_by": entry["who"], "promoted_at": entry["at"]} if entry else {}))
    return (
        json.dumps({"schema_version": version, "categories": listed}, indent=2, ensure_ascii=False, sort_keys=True)
        + "\n"
    )


def _decide(path, proposal, kind, who, at, reason, existing) -> dict[str, Any]:
    proposal_id = proposal["proposal_id"]

    def line(decisions: list[dict[str, Any]]) -> dict[str, Any]:
        earlier = next((entry for entry in decisions if entry["proposal_id"] == proposal_id), None)
        if earlier:
            raise DecisionError(
                f"{proposal_id} has been decided already: {earlier['kind']} by {earlier['who']} at {earlier['at']}"
                + (f" ({earlier['reason']})" if earlier["reason"] else "")
            )
        if proposal["status"] != "open":
            raise DecisionError(f"{proposal_id} is {proposal['status']}, not open")
        taken = set(existing) | {
            entry["category_name"] for entry in decisions if entry["kind"] in ("approve", "auto_promote")
        }
        if kind != "reject" and proposal["name"] in taken:
            raise DecisionError(f"there is a category {proposal['name']!r} already")
        category = None if kind == "reject" else category_of(proposal)
        return _line(kind, proposal_id, category, proposal["name"], who, at, reason, proposal_id)

    return _append(path, line)


def _line(kind, proposal_id, category, name, who, at, reason, identity) -> dict[str, Any]:
    return {
        "decision_id": "decision_" + hashlib.sha256(f"{kind}/{identity}".encode()).hexdigest()[:12],
        "at": at.astimezone(UTC).isoformat(),
        "who": who,
        "kind": kind,
        "proposal_id": proposal_id,
        "category": category,
        "category_name": name,
        "reason": reason,
    }


def _append(path: Path, line) -> dict[str, Any]:
    """Under the log's lock: read it, let `line` check and make the new entry, and write it in one piece to the disk."""
    from filelock import FileLock

    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(path.name + ".lock")):
        entry = line(read_decisions(path))
        data = json.dumps(entry, ensure_ascii=False).encode() + b"\n"
        with path.open("ab") as log:
            _cut_torn_end(path)
            log.write(data)
            log.flush()
            os.fsync(log.fileno())
    return entry


def _cut_torn_end(path: Path) -> None:
    """Remove what a crash left of a line that was never finished, so that the next line does not continue it."""
    content = path.read_bytes()
    if content and not content.endswith(b"\n"):
        os.truncate(path, content.rfind(b"\n") + 1)
