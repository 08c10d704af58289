"""What people's answers about moments are worth: gold labels, agreement, precision.

What belongs here: folding the log of answers. What does not: the queue and what an answer is (`review`).

Only moments that were drawn by chance measure a detector: precision over doubtful ones would be too low.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import polars as pl

from codex_loop_assets.loop.review import Verdict
from codex_loop_assets.tables import TABLES


def newest_answers(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """One verdict per person and item, the newest; skips are left out."""
    latest = {(verdict.who, verdict.kind, verdict.item_id): verdict for verdict in sorted(verdicts, key=lambda v: v.at)}
    return [verdict for verdict in latest.values() if verdict.answer != "skip"]


def gold_labels(verdicts: Iterable[Verdict]) -> pl.DataFrame:
    """Labels of moments: thread_id, run, seq_start, category, detector, confidence, accepted, people, agreed,
    drawn_by_chance.

    `accepted` is the majority; a tie is no label and null. `agreed` says that all who answered said the same.
    `confidence` is what the detector gave the moment when it was asked about; null in answers older than that.
    """
    schema = {
        "thread_id": pl.String,
        "run": pl.Int32,
        "seq_start": pl.Int64,
        "category": pl.String,
        "detector": pl.String,
        "confidence": pl.Float64,
        "accepted": pl.Boolean,
        "people": pl.Int32,
        "agreed": pl.Boolean,
        "drawn_by_chance": pl.Boolean,
    }
    votes: dict[str, list[Verdict]] = {}
    for verdict in newest_answers(verdicts):
        if verdict.kind == "signal":
            votes.setdefault(verdict.item_id, []).append(verdict)
    rows = []
    for item_id in sorted(votes):
        given = votes[item_id]
        yes = sum(verdict.answer == "accept" for verdict in given)
        place = {name: given[0].about[name] for name in ("thread_id", "run", "seq_start", "category", "detector")}
        place["confidence"] = given[0].about.get("confidence")
        majority = None if 2 * yes == len(given) else 2 * yes > len(given)
        agreed = yes in (0, len(given))
        rows.append(
            place
            | {"accepted": majority, "people": len(given), "agreed": agreed, "drawn_by_chance": given[0].why == "audit"}
        )
    return pl.DataFrame(rows, schema=schema)


def agreement(verdicts: Iterable[Verdict]) -> list[dict[str, Any]]:
    """Agreement of every two people who answered about the same signals: both names, how many, share, Cohen's kappa
    (null where both always say the same thing, since chance alone would explain that)."""
    answers: dict[str, dict[str, str]] = {}
    for verdict in newest_answers(verdicts):
        if verdict.kind == "signal":
            answers.setdefault(verdict.who, {})[verdict.item_id] = verdict.answer
    people = sorted(answers)
    return [
        _pair(first, second, answers[first], answers[second])
        for position, first in enumerate(people)
        for second in people[position + 1 :]
        if answers[first].keys() & answers[second].keys()
    ]


def _pair(first: str, second: str, one: Mapping[str, str], other: Mapping[str, str]) -> dict[str, Any]:
    common = sorted(one.keys() & other.keys())
    same = sum(one[item] == other[item] for item in common) / len(common)
    yes_one = sum(one[item] == "accept" for item in common) / len(common)
    yes_other = sum(other[item] == "accept" for item in common) / len(common)
    chance = yes_one * yes_other + (1 - yes_one) * (1 - yes_other)
    kappa = None if chance == 1 else (same - chance) / (1 - chance)
    return {"first": first, "second": second, "items": len(common), "same": same, "kappa": kappa}


def _judged_by_chance(verdicts: Iterable[Verdict]) -> pl.DataFrame:
    """The labels that measure a detector."""
    return gold_labels(verdicts).filter(pl.col("drawn_by_chance") & pl.col("accepted").is_not_null())


def agreement_with_people(verdicts: Iterable[Verdict]) -> list[dict[str, Any]]:
    """How far each detector and people agree about the moments it found and that were drawn by chance: detector, items,
    accepted, share with its 95 % interval (Wilson), and `expected`: the share its own confidences promised (null where
    no answer has one). A detector whose `expected` lies outside the interval is too sure, or not sure enough.
    """
    from statsmodels.stats.proportion import proportion_confint

    counts = (
        _judged_by_chance(verdicts)
        .group_by("detector")
        .agg(items=pl.len(), accepted=pl.col("accepted").sum(), expected=pl.col("confidence").mean())
    )
    rows = []
    for row in counts.sort("detector").to_dicts():
        low, high = proportion_confint(row["accepted"], row["items"], alpha=0.05, method="wilson")
        rows.append(row | {"share": row["accepted"] / row["items"], "low": float(low), "high": float(high)})
    return rows


def scorecard_rows(verdicts: Iterable[Verdict], signals: pl.DataFrame, bar: float) -> pl.DataFrame:
    """Rows of `scorecard` with truth `reviewed`: the precision of each detector and category on signals drawn by
    chance.

    Recall is null: people were shown what a detector found, not what it missed. `signals` gives the detectors'
    versions.
    """
    labels = _judged_by_chance(verdicts)
    if labels.is_empty():
        return TABLES["scorecard"].empty()
    from statsmodels.stats.proportion import proportion_confint

    versions = signals.group_by("detector").agg(pl.col("detector_version").max())
    counts = (
        labels.group_by("detector", "category")
        .agg(true_positives=pl.col("accepted").sum(), n=pl.len())
        .join(versions, on="detector", how="left")
        .sort("detector", "category")
    )
    low, high = proportion_confint(
        counts["true_positives"].to_numpy(), counts["n"].to_numpy(), alpha=0.05, method="wilson"
    )
    rows = [
        {
            "truth": "reviewed",
            "detector": row["detector"],
            "category": row["category"],
            "language": "all",
            "matching": "exact",
            "true_positives": row["true_positives"],
            "false_positives": row["n"] - row["true_positives"],
            "false_negatives": 0,
            "precision": row["true_positives"] / row["n"],
            "precision_low": float(a),
            "precision_high": float(b),
            "bar": bar,
            "above_bar": row["true_positives"] / row["n"] >= bar,
            "detector_version": row["detector_version"] or "unknown",
        }
        for row, a, b in zip(counts.to_dicts(), low, high, strict=True)
    ]
    return TABLES["scorecard"].frame(rows)
