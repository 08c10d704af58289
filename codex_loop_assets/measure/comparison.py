"""Two detectors on the same labelled sessions: what one gains over the other, paired by session.

Pure. What belongs here: counting and resampling. What does not: scoring one detector (`scorecard`), and what a gain is good
for (`signals/judges/local/shipping`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from codex_loop_assets.measure.scorecard import Places, could_observe, f1_of, resampling, tallies_of
from codex_loop_assets.measure.truth import Truth
from codex_loop_assets.settings import section

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Judged:
    """A set of labelled sessions and what two detectors found in them (frames with the columns of `semantic_signals`);
    `turns` places records among the user's messages."""

    truth: Truth
    turns: pl.DataFrame
    findings: pl.DataFrame
    baseline: pl.DataFrame


def compare(
    sets: Sequence[Judged], category: str, language: str | None = None, settings: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Figures of both for a category (or any_friction, any_delight), exact message, all sets of sessions together.

    labelled, and per detector (`baseline_` before the second's) findings, precision, recall, f1; `gain`: the 95 %
    interval of f1 minus baseline_f1, bootstrap over sessions drawn for both at once; `sets`: labelled and gain of each.
    Precision, recall and f1 are None where nothing was found, or labelled.
    """
    settings = section("scorecard") if settings is None else settings
    counts = {item.truth.name: _counts(item, category, language, settings) for item in sets}
    ours, theirs = _stacked(both[0] for both in counts.values()), _stacked(both[1] for both in counts.values())
    drawn = resampling(len(ours), settings["resamples"], settings["seed"])
    gains = _f1(drawn @ ours) - _f1(drawn @ theirs)
    low, high = _percentiles(gains)
    return {
        "labelled": int(ours[:, 0].sum()),
        **_figures(ours, ""),
        **_figures(theirs, "baseline_"),
        "gain": [low, high],
        "sets": {
            name: {"labelled": int(own[:, 0].sum()), "gain": round(_point(own) - _point(other), 3)}
            for name, (own, other) in counts.items()
        },
    }


def _counts(item: Judged, category: str, language: str | None, settings: Mapping[str, Any]) -> tuple[Any, Any]:
    """Per session (rows): labelled moments, those found, findings, right ones; of the one and of the other detector."""
    places = Places(item.turns, settings["same_message_records"])
    labels = [moment for moment in item.truth.moments if could_observe("local_judge", moment)]
    undecided = [moment for moment in item.truth.undecided if could_observe("local_judge", moment)]
    chosen = [thread for thread, spoken in item.truth.languages.items() if language in (None, spoken)]
    both = []
    for frame in (item.findings, item.baseline):
        rows = frame.filter(pl.col("thread_id").is_in(list(item.truth.languages))).to_dicts()
        tallies = tallies_of(item.truth, category, rows, labels, undecided, places, 0)
        both.append(
            [[own.labelled, own.found, own.findings, own.right] for own in (tallies[thread] for thread in chosen)]
        )
    return _stacked([both[0]]), _stacked([both[1]])


def _stacked(parts: Iterable[Any]) -> np.ndarray:
    import numpy as np

    return np.vstack([np.asarray(part, dtype=float).reshape(-1, 4) for part in parts])


def _f1(sums: np.ndarray) -> np.ndarray:
    """F1 of rows (labelled, found, findings, right)."""
    return f1_of(*(sums[..., column] for column in range(4)))


def _point(counts: np.ndarray) -> float:
    return float(_f1(counts.sum(axis=0)))


def _figures(counts: np.ndarray, prefix: str) -> dict[str, Any]:
    labelled, found, findings, right = counts.sum(axis=0)
    precision, recall = (right / findings if findings else None), (found / labelled if labelled else None)
    f1 = None if precision is None or recall is None else _point(counts)
    rounded = {
        name: None if value is None else round(float(value), 3)
        for name, value in (("precision", precision), ("recall", recall), ("f1", f1))
    }
    return {f"{prefix}{name}": value for name, value in {"findings": int(findings), **rounded}.items()}


def _percentiles(values: np.ndarray) -> tuple[float, float]:
    import numpy as np

    low, high = np.percentile(values, [2.5, 97.5])
    return round(float(low), 3), round(float(high), 3)
