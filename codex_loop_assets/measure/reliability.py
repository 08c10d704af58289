"""How far what a detector says of its findings can be taken at its word: severity and confidence, predicted and observed.

Pure. What belongs here: reliability tables on labelled sessions. What does not: whether findings are right at all
(`scorecard`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import polars as pl

from codex_loop_assets.measure.scorecard import Places, Span, could_observe, meet
from codex_loop_assets.measure.truth import LabelledMoment, Truth
from codex_loop_assets.settings import section
from codex_loop_assets.tables import RELIABILITY

_SEVERITIES = (1, 2, 3)
Labels = dict[tuple[str, str], list[tuple[Span, LabelledMoment]]]
"""Labelled moments with their places, by thread and category."""
_Judged = tuple[Mapping[str, Any], Sequence[LabelledMoment]]


def reliability(
    truth: Truth,
    detections: pl.DataFrame,
    signals: pl.DataFrame,
    turns: pl.DataFrame,
    settings: Mapping[str, Any] | None = None,
) -> pl.DataFrame:
    """Rows of the `reliability` table, per detector (from `detections`) and of the merged `signals` ("all").

    Severity: of findings that are right, what readers said of moments predicted mild, clear and strong. Confidence: of
    findings predicted in a range, the share that is right. Findings on undecided labels count in neither.
    """
    settings = section("scorecard") if settings is None else settings
    places = Places(turns, settings["same_message_records"])
    labels, undecided = _placed(truth.moments, places), _placed(truth.undecided, places)
    merged = signals.with_columns(detector=pl.lit("all"))
    found: list[dict[str, Any]] = []
    for detector in [*sorted(detections["detector"].unique()), "all"]:
        frame = merged if detector == "all" else detections.filter(pl.col("detector") == detector)
        own = frame.filter(pl.col("thread_id").is_in(list(truth.languages))).to_dicts()
        judged = list(_judged(own, labels, undecided, places))
        found += _severity_rows(truth.name, detector, judged)
        found += _confidence_rows(truth.name, detector, judged, settings["confidence_ranges"])
    return RELIABILITY.frame(found)


def _judged(rows: Sequence[Mapping[str, Any]], labels: Labels, undecided: Labels, places: Places) -> Iterator[_Judged]:
    """Each finding with the labels that it meets; without those that only meet an undecided one."""
    for row in rows:
        name, span = (row["thread_id"], row["category"]), places.of_detection(row)
        met = [moment for place, moment in labels.get(name, ()) if meet(span, place, 0)]
        right = [moment for moment in met if could_observe(row["detector"], moment)]
        if right or not any(meet(span, place, 0) for place, _ in undecided.get(name, ())):
            yield row, right


def _placed(moments: Sequence[LabelledMoment], places: Places) -> Labels:
    grouped: Labels = {}
    for moment in moments:
        grouped.setdefault((moment.thread_id, moment.category), []).append((places.of_label(moment), moment))
    return grouped


def _severity_rows(truth: str, detector: str, judged: Sequence[_Judged]) -> Iterator[dict[str, Any]]:
    pairs = [
        (row["severity"], moments[0].severity) for row, moments in judged if moments and moments[0].severity is not None
    ]
    for predicted in _SEVERITIES:
        observed = [seen for said, seen in pairs if said == predicted]
        if observed:
            yield {
                "truth": truth,
                "detector": detector,
                "measure": "severity",
                "predicted": str(predicted),
                "moments": len(observed),
                "predicted_mean": float(predicted),
                "observed_mean": sum(observed) / len(observed),
                **{f"observed_{level}": observed.count(level) / len(observed) for level in _SEVERITIES},
            }


def _confidence_rows(
    truth: str, detector: str, judged: Sequence[_Judged], edges: Sequence[float]
) -> Iterator[dict[str, Any]]:
    from statsmodels.stats.proportion import proportion_confint

    for low, high in pairwise(edges):
        within = [(row["confidence"], bool(moments)) for row, moments in judged if low <= row["confidence"] < high]
        if within:
            right = sum(is_right for _, is_right in within)
            bottom, top = proportion_confint(right, len(within), alpha=0.05, method="wilson")
            yield {
                "truth": truth,
                "detector": detector,
                "measure": "confidence",
                "predicted": f"{low:.2f} to {min(high, 1.0):.2f}",
                "moments": len(within),
                "predicted_mean": sum(said for said, _ in within) / len(within),
                "observed_mean": right / len(within),
                "observed_low": float(bottom),
                "observed_high": float(top),
            }
