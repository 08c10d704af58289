"""How good the detectors are: precision, recall and F1 on labelled sessions, with intervals.

Pure: labels, detections and turns go in, rows of the `scorecard` table come out. What does not belong here: reading
labels
(gold.py) and running detectors.
"""

from __future__ import annotations

import bisect
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from codex_loop_assets.measure.truth import LabelledMoment, Truth
from codex_loop_assets.settings import section
from codex_loop_assets.signals.schema import load_schema
from codex_loop_assets.tables import SCORECARD

if TYPE_CHECKING:
    import numpy as np

Matching = Literal["exact", "near"]
JUDGES = ("local_judge", "llm_judge", "regex_baseline")
# A place in a thread: the index of the user message whose turn a record lies in; every index at once for a whole
# session.
Span = tuple[float, float]
EVERYWHERE: Span = (float("-inf"), float("inf"))


@dataclass
class Tally:
    """Counts of one session for one row: labelled moments and those found, findings and those that are right."""

    labelled: int = 0
    found: int = 0
    findings: int = 0
    right: int = 0


@dataclass
class _Labels:
    """Labels of one thread for one row, as spans of user messages: the base of recall, those that make a finding right
    (unsure ones too), and those that take it out of the count."""

    wanted: set[Span] = field(default_factory=set)
    accepted: set[Span] = field(default_factory=set)
    undecided: set[Span] = field(default_factory=set)


def scorecard(
    truth: Truth,
    detections: pl.DataFrame,
    turns: pl.DataFrame,
    detectors: Iterable[str] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> pl.DataFrame:
    """Rows of the `scorecard` table for these labels.

    `detections` has the columns of that table (other sessions' rows are ignored); `turns` places records among the
    user's
    messages. Scored are `detectors` (default: those in `detections`) and "all" together, per category, any_friction and
    any_delight, per language and over all. A rule is held to what rules can observe, a judge to what judges can.
    A category that people promoted and that the labels do not name was not looked for by whoever labelled: its row counts
    the findings and says nothing about them.
    """
    settings = section("scorecard") if settings is None else settings
    places = Places(turns, settings["same_message_records"])
    seen = detections.filter(pl.col("thread_id").is_in(list(truth.languages))).to_dicts()
    names = sorted(set(detectors) if detectors is not None else {row["detector"] for row in seen})
    asked = {*load_schema().categories, *(moment.category for moment in truth.moments), "any_friction", "any_delight"}
    rows: list[dict[str, Any]] = []
    for detector in [*names, "all"]:
        own = [row for row in seen if detector in (row["detector"], "all")]
        labels = [moment for moment in truth.moments if could_observe(detector, moment)]
        undecided = [moment for moment in truth.undecided if could_observe(detector, moment)]
        for category in _categories(labels, own):
            for matching in ("exact", "near"):
                slack = settings["near_messages"] if matching == "near" else 0
                tallies = tallies_of(truth, category, own, labels, undecided, places, slack)
                scored = _rows(truth, detector, category, matching, own, tallies, settings)
                rows += scored if category in asked else map(_unscored, scored)
    return SCORECARD.frame(rows)


def _unscored(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row with its counts and without a rate or a verdict."""
    rates = ("precision", "recall", "f1", "precision_low", "precision_high", "above_bar")
    return {**row, **dict.fromkeys(rates)}


def could_observe(detector: str, moment: LabelledMoment) -> bool:
    if detector == "all":
        return True
    return moment.observed_by == ("semantic" if detector in JUDGES else "mechanical")


def _categories(labels: list[LabelledMoment], findings: list[dict[str, Any]]) -> list[str]:
    named = {moment.category for moment in labels} | {row["category"] for row in findings}
    return [*sorted(named), "any_friction", "any_delight"]


def _counts_for(category: str, name: str, signal_type: str) -> bool:
    return category == name or category == f"any_{signal_type}"


def tallies_of(
    truth: Truth,
    category: str,
    findings: list[dict[str, Any]],
    labels: list[LabelledMoment],
    undecided: list[LabelledMoment],
    places: Places,
    slack: int,
) -> dict[str, Tally]:
    """What was found and right per labelled session. A message is one moment per category, however often labelled."""
    threads: dict[str, _Labels] = {thread: _Labels() for thread in truth.languages}
    for moment in labels:
        if _counts_for(category, moment.category, moment.type):
            span = places.of_label(moment)
            threads[moment.thread_id].accepted.add(span)
            if moment.confident:
                threads[moment.thread_id].wanted.add(span)
    for moment in undecided:
        if _counts_for(category, moment.category, moment.type) and moment.thread_id in threads:
            threads[moment.thread_id].undecided.add(places.of_label(moment))
    spans: dict[str, set[Span]] = {thread: set() for thread in truth.languages}
    for row in findings:
        if _counts_for(category, row["category"], row["type"]):
            spans[row["thread_id"]].add(places.of_detection(row))
    return {thread: _tally(threads[thread], spans[thread], slack) for thread in truth.languages}


def _tally(labels: _Labels, findings: set[Span], slack: int) -> Tally:
    right = {span for span in findings if any(meet(span, label, slack) for label in labels.accepted)}
    wrong = {span for span in findings - right if not any(meet(span, label, slack) for label in labels.undecided)}
    found = sum(any(meet(span, label, slack) for span in findings) for label in labels.wanted)
    return Tally(len(labels.wanted), found, len(right) + len(wrong), len(right))


def meet(one: Span, other: Span, slack: int) -> bool:
    return one[0] - slack <= other[1] and other[0] <= one[1] + slack


class Places:
    """Which user message a record belongs to, for any record of any thread."""

    def __init__(self, turns: pl.DataFrame, same_message_records: int) -> None:
        self._slack = same_message_records
        self._starts: dict[tuple[str, int], list[int]] = {}
        self._first: dict[tuple[str, int], int] = {}
        ordered = turns.select("thread_id", "run", "seq_start", "turn_index").sort("thread_id", "run", "seq_start")
        for thread, run, seq, index in ordered.iter_rows():
            self._starts.setdefault((thread, run), []).append(seq)
            self._first.setdefault((thread, run), index)

    def of_record(self, thread_id: str, run: int, seq: int, slack: int = 0) -> float:
        """Index of the message before or at the record, or of the one that follows within `slack` records."""
        starts = self._starts.get((thread_id, run), [])
        after = bisect.bisect_right(starts, seq)
        if after < len(starts) and starts[after] - seq <= slack:
            after += 1
        return self._first.get((thread_id, run), 0) + max(after - 1, -1)

    def of_label(self, moment: LabelledMoment) -> Span:
        if moment.scope == "session":
            return EVERYWHERE
        # A label on a message may name any of the records that hold it, of which the turn begins with one.
        slack = self._slack if moment.observed_by == "semantic" else 0
        found = [self.of_record(moment.thread_id, moment.run, seq, slack) for seq in moment.seqs]
        return (min(found), max(found))

    def of_detection(self, row: Mapping[str, Any]) -> Span:
        start = self.of_record(row["thread_id"], row["run"], row["seq_start"])
        return (start, max(start, self.of_record(row["thread_id"], row["run"], row["seq_end"])))


def _rows(
    truth: Truth,
    detector: str,
    category: str,
    matching: Matching,
    findings: list[dict[str, Any]],
    tallies: dict[str, Tally],
    settings: Mapping[str, Any],
) -> Iterator[dict[str, Any]]:
    """One row per language and one over all, where anything is labelled or found."""
    version = _version([row for row in findings if _counts_for(category, row["category"], row["type"])])
    for language in ["all", *sorted(set(truth.languages.values()))]:
        chosen = [tally for thread, tally in tallies.items() if language in ("all", truth.languages[thread])]
        if language != "all" and not any(tally.labelled or tally.findings for tally in chosen):
            continue
        numbers = _numbers(chosen, settings)
        bar = settings["category_bars"].get(category, settings["bars"].get(detector))
        precision = numbers["precision"]
        yield {
            "truth": truth.name,
            "detector": detector,
            "category": category,
            "language": language,
            "matching": matching,
            **numbers,
            "bar": bar,
            "above_bar": None if precision is None or bar is None else precision >= bar,
            "detector_version": version,
        }


def _numbers(tallies: list[Tally], settings: Mapping[str, Any]) -> dict[str, Any]:
    labelled, found = sum(t.labelled for t in tallies), sum(t.found for t in tallies)
    findings, right = sum(t.findings for t in tallies), sum(t.right for t in tallies)
    precision, recall = (right / findings if findings else None), (found / labelled if labelled else None)
    f1 = _harmonic(precision, recall)
    precision_low, precision_high = _interval([(t.right, t.findings) for t in tallies], settings)
    recall_low, recall_high = _interval([(t.found, t.labelled) for t in tallies], settings)
    f1_low, f1_high = _f1_interval(tallies, (precision_low, recall_low), (precision_high, recall_high), settings)
    return {
        "true_positives": found if labelled else right,
        "false_positives": findings - right,
        "false_negatives": labelled - found,
        "precision": precision,
        "precision_low": precision_low,
        "precision_high": precision_high,
        "recall": recall,
        "recall_low": recall_low,
        "recall_high": recall_high,
        "f1": f1,
        "f1_low": f1_low if f1 is not None else None,
        "f1_high": f1_high if f1 is not None else None,
    }


def _interval(pairs: list[tuple[int, int]], settings: Mapping[str, Any]) -> tuple[float | None, float | None]:
    """95 % percentile interval of sum(hits) / sum(total) over resampled sessions; (None, None) without any total.

    Where every session agrees, resampling has no width and would claim certainty: Wilson's interval stands in.
    """
    import numpy as np

    counting = [index for index, (_, total) in enumerate(pairs) if total]
    if not counting:
        return None, None
    hits, total = sum(pairs[index][0] for index in counting), sum(pairs[index][1] for index in counting)
    if hits in (0, total):
        from statsmodels.stats.proportion import proportion_confint

        low, high = proportion_confint(hits, total, alpha=0.05, method="wilson")
        return float(low), float(high)
    drawn = resampling(len(pairs), settings["resamples"], settings["seed"])[:, counting]
    sums = drawn @ np.asarray([pairs[index] for index in counting], dtype=float)
    counted = sums[sums[:, 1] > 0]
    low, high = np.percentile(counted[:, 0] / counted[:, 1], [2.5, 97.5])
    return float(low), float(high)


Bound = tuple[float | None, float | None]
"""The same end of the intervals of precision and recall."""


def _f1_interval(tallies: list[Tally], low: Bound, high: Bound, settings: Mapping[str, Any]) -> Bound:
    """95 % percentile interval of F1 over resampled sessions. Where resampling has no width, F1 of both ends of the intervals
    of precision and recall stand in."""
    import numpy as np

    counts = np.asarray([(t.right, t.findings, t.found, t.labelled) for t in tallies], dtype=float)
    telling = np.flatnonzero(counts.any(axis=1))
    drawn = resampling(len(tallies), settings["resamples"], settings["seed"])[:, telling] @ counts[telling]
    right, findings, found, labelled = drawn[(drawn[:, 1] > 0) & (drawn[:, 3] > 0)].T
    if not len(right):
        return None, None
    values = f1_of(labelled, found, findings, right)
    bottom, top = np.percentile(values, [2.5, 97.5])
    return (float(bottom), float(top)) if top > bottom else (_harmonic(*low), _harmonic(*high))


def f1_of(labelled: np.ndarray, found: np.ndarray, findings: np.ndarray, right: np.ndarray) -> np.ndarray:
    """F1 for arrays of counts; 0 where nothing is right."""
    import numpy as np

    precision, recall = right / np.maximum(1, findings), found / np.maximum(1, labelled)
    return 2 * precision * recall / np.maximum(precision + recall, 1e-12)


def _harmonic(precision: float | None, recall: float | None) -> float | None:
    if precision is None or recall is None:
        return None
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


@cache
def resampling(sessions: int, resamples: int, seed: int) -> np.ndarray:
    """(resamples, sessions): how often each session is drawn in each resample, the same for every number of a card."""
    import numpy as np

    return (
        np.random.default_rng(seed).multinomial(sessions, np.full(sessions, 1 / sessions), size=resamples).astype(float)
    )


def _version(findings: list[dict[str, Any]]) -> str:
    """The detector version, or a hash that stands for several; "none" where nothing was found."""
    versions = sorted({row["detector_version"] for row in findings})
    if len(versions) <= 1:
        return versions[0] if versions else "none"
    return "several/" + hashlib.sha256("\n".join(versions).encode()).hexdigest()[:8]


def without_left_out(card: pl.DataFrame, coverage: pl.DataFrame) -> pl.DataFrame:
    """The scorecard without rows of a judge about what it does not look for, by `judge_coverage`: a recall of 0 there would
    be a verdict on nothing. Over all categories of a type it stays in, unless it looks for none that is labelled."""
    pairs = coverage.select("detector", pl.col("left_out").alias("category")).explode("category").drop_nulls().unique()
    found = pl.col("true_positives") + pl.col("false_positives") > 0
    judged = card.filter(found | ~pl.col("category").str.starts_with("any_"))
    kept = judged.join(pairs, on=["detector", "category"], how="anti", maintain_order="left")
    types = {name: row["type"] for name, row in section("categories").items() if row.get("detector") == "semantic"}
    rest = kept.filter(~pl.col("category").str.starts_with("any_")).select(
        "truth",
        "detector",
        pl.format("any_{}", pl.col("category").replace_strict(types, default=None)).alias("category"),
    )
    silent = card.filter(~found & pl.col("category").str.starts_with("any_"))
    has_left_out = pl.col("detector").is_in(pairs["detector"].implode())
    still = silent.filter(~has_left_out).vstack(
        silent.filter(has_left_out).join(rest.unique(), on=["truth", "detector", "category"], how="semi")
    )
    return SCORECARD.conform(pl.concat([kept, still]))


def with_drift(card: pl.DataFrame, stored: pl.DataFrame) -> pl.DataFrame:
    """The scorecard with what each row was under the detector's version before, and whether it got worse.

    `stored` is the scorecard written last: of another version, its numbers are those before; of the same version, what
    it had from before is handed on. `worse`: precision or recall is below its interval of before. Null where there was
    no other version.
    """
    key = ["truth", "detector", "category", "language", "matching"]
    numbers = ["precision", "precision_low", "recall", "recall_low", "f1"]
    old = stored.filter(pl.col("detector_version") != "none").select(
        *key,
        "version_before",
        pl.col("detector_version").alias("stored_version"),
        *(pl.col(name).alias(f"stored_{name}") for name in numbers),
        *(f"{name}_before" for name in numbers),
    )
    added = ["version_before", *(f"{name}_before" for name in numbers)]
    joined = card.drop(*added, "worse", strict=False).join(old, on=key, how="left")
    same = pl.col("stored_version") == pl.col("detector_version")
    changed = joined.with_columns(
        pl.when(same).then("version_before").otherwise("stored_version").alias("version_before"),
        *(pl.when(same).then(f"{name}_before").otherwise(f"stored_{name}").alias(f"{name}_before") for name in numbers),
    )
    fell = [pl.col(name) < pl.col(f"{name}_low_before") for name in ("precision", "recall")]
    worse = pl.when(pl.col("version_before").is_not_null()).then(pl.any_horizontal(fell).fill_null(False))
    return SCORECARD.conform(changed.with_columns(worse.alias("worse")).select(*SCORECARD.schema))
