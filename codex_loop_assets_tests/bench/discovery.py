"""Measurements of discovery: python -m codex_loop_assets_tests.bench.discovery [name ...]

Each prints one line: what, the figure, and the bar it must keep. CPU seconds are of this process, whatever else runs.
"""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import astuple
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
from sklearn.metrics import adjusted_rand_score

from codex_loop_assets.discovery.cluster import advance
from codex_loop_assets.discovery.embed import WordLlamaEmbedder
from codex_loop_assets.discovery.fit import fit_points
from codex_loop_assets.discovery.state import ClusterState
from codex_loop_assets.settings import section
from codex_loop_assets_tests.bench.fixture_themes import FIXTURES, FixtureThemes, unexplained_moves
from codex_loop_assets_tests.discovery.stream import START, Stream, Theme, stream

SETTINGS = section("discovery")


class Quiet:
    """Names nothing: measurements of clustering do not pay for words."""

    def label(self, stale, rows, facts) -> None:
        for row in stale:
            row |= {"label": row["cluster_id"], "label_from": "local", "terms": []}


def lively(days: int, per_day: int, seed: int, spread: float = 1.0) -> Stream:
    """Themes of very different sizes; half live from the first day, the others start later, a fifth end early. `spread`: the
    length of the noise beside a centre of length 1; from 1.4 on, themes overlap."""
    random = np.random.default_rng(seed)
    themes = []
    for number in range(40):
        first = 0 if random.random() < 0.5 else int(random.integers(1, int(days * 0.8)))
        last = int(random.integers(first + 5, days)) if random.random() < 0.2 and first + 5 < days else days
        themes.append(Theme(f"theme {number}", 1 + int(random.pareto(1.5) * per_day / 60), first, last))
    return stream(themes, days, background=per_day // 10, spread=spread, dimension=64, seed=seed)


def step(state: ClusterState | None, day: date, made: Stream) -> ClusterState:
    return advance(
        state, day, made.signals, made.table, SETTINGS, embedding_model="bench/64", newest=state, labeller=Quiet()
    )


def against_one_shot() -> None:
    """Day by day against one fit of everything, mean of 5 seeds, of themes that lie apart and of such that overlap."""
    for spread in (1.0, 1.4):
        _against_one_shot(spread)


def _against_one_shot(spread: float) -> None:
    gaps, scores = [], []
    for seed in range(5):
        made = lively(30, 130, seed, spread)
        state = None
        for number in range(30):
            state = step(state, START + timedelta(number), made)
        ids = state.members["signal_id"].to_list()
        matrix = np.stack([made.vectors[key] for key in ids])
        days = np.full(len(ids), START.toordinal())
        everything = SETTINGS["clusters"] | {"fit_cap": len(ids)}
        once = fit_points(state.members["signal_id"], matrix, np.full(len(ids), -1), days, START, everything)
        walked = [cluster or "none" for cluster in state.members["cluster_id"]]
        daily, single = (_score(made, ids, labels) for labels in (walked, once.tolist()))
        scores.append(daily)
        gaps.append(single - daily)
    print(f"spread {spread}: ARI day by day {np.mean(scores):.3f}, below one-shot by {np.mean(gaps):+.3f} (bar 0.03)")


def _score(made: Stream, ids: list[str], labels: list) -> float:
    """ARI over the signals of themes."""
    kept = [(made.truth[key], str(label)) for key, label in zip(ids, labels, strict=True) if made.truth[key]]
    return adjusted_rand_score([truth for truth, _ in kept], [label for _, label in kept])


def flat_cost() -> None:
    """CPU per day while history grows from 10 to 60 days, on a stream that fills the fit from the second day on."""
    made = lively(60, 400, 1)
    state, spent, held = None, [], []
    for number in range(60):
        start = time.process_time()
        state = step(state, START + timedelta(number), made)
        spent.append(time.process_time() - start)
        held.append(state.members.height)
    early, late = np.mean(spent[10:17]), np.mean(spent[-7:])
    print(f"CPU per day: {early:.2f} s in days 10-16 ({held[16]} signals), {late:.2f} s in days 53-59 ({held[-1]})")
    print(
        f"  a day costs {late / early:.2f} times as much with {held[-1] / held[16]:.1f} times the history (bar: flat)"
    )


def many_signals() -> None:
    """A first day of 20,000 signals."""
    made = lively(30, 1000, 2)
    signals = made.signals.head(20_000)
    start = time.process_time()
    vectors = {key: made.vectors[key] for key in signals["signal_id"]}
    state = advance(
        None, START + timedelta(30), signals, vectors, SETTINGS, embedding_model="bench/64", labeller=Quiet()
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    spent = time.process_time() - start
    size = f"{state.members.height} signals in one day, {state.clusters.height} clusters"
    print(f"{size}: {spent:.1f} s CPU (bar 60), peak {peak:.0f} MB (bar 1024)")


def a_day_on_a_long_history() -> None:
    """1,000 signals on a history of 100,000: what a day costs beside the fit."""
    random = np.random.default_rng(3)
    centres = random.normal(size=(60, 256))
    matrix = (centres[random.integers(0, 60, 101_000)] + random.normal(size=(101_000, 256))).astype(np.float32)
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    ids = [f"sig_{number:06d}" for number in range(101_000)]
    made = stream([Theme("x", 1)], 1, dimension=8)
    row = made.signals.row(0, named=True)
    days = [START + timedelta(number * 100 // 100_000) for number in range(100_000)] + [START + timedelta(101)] * 1000
    signals = pl.DataFrame({"signal_id": ids, "dt": days}).with_columns(
        pl.lit(value).alias(name) for name, value in row.items() if name not in ("signal_id", "dt")
    )
    vectors = dict(zip(ids, matrix, strict=True))
    first = advance(
        None, START + timedelta(100), signals, vectors, SETTINGS, embedding_model="bench/256", labeller=Quiet()
    )
    start = time.process_time()
    advance(
        first,
        START + timedelta(101),
        signals,
        vectors,
        SETTINGS,
        embedding_model="bench/256",
        newest=first,
        labeller=Quiet(),
    )
    spent = time.process_time() - start
    start = time.process_time()
    cap = SETTINGS["clusters"]["fit_cap"]
    fit_points(
        signals["signal_id"].head(cap),
        matrix[:cap],
        np.full(cap, -1),
        np.full(cap, START.toordinal()),
        START,
        SETTINGS["clusters"],
    )
    fit = time.process_time() - start
    print(f"a day of 1,000 on 100,000: {spent:.1f} s CPU, of which the fit {fit:.1f} s (bar: 5 s beside the fit)")


def embedding_speed() -> None:
    """100,000 texts of 60 words through the local model."""
    random = np.random.default_rng(4)
    words = [
        "the",
        "agent",
        "ran",
        "tests",
        "again",
        "but",
        "build",
        "failed",
        "because",
        "lockfile",
        "network",
        "module",
        "path",
        "user",
        "asked",
        "server",
        "port",
        "commit",
        "hook",
    ]
    texts = [" ".join(random.choice(words, 60)) for _ in range(2000)]
    embedder = WordLlamaEmbedder(SETTINGS["embedding"]["wordllama"])
    start = time.process_time()
    for _ in range(50):
        embedder.embed(texts)
    print(f"100,000 texts of 60 words: {time.process_time() - start:.1f} s CPU (bar 60)")


def fixture_themes() -> None:
    """The planted themes of the fixtures, found day by day without a key."""
    themes = FixtureThemes.read()
    states = list(themes.walk())
    final = themes.found(states[-1])
    churn = [unexplained_moves(*pair) for pair in pairwise(states[10:])]
    print(f"themes of the fixtures: ARI {themes.score(states[-1]):.3f} on {len(final)} signals (bar 0.7)")
    print(f"members whose id changes per day after day 10, beside merges and splits: {np.mean(churn):.2%} (bar 3 %)")
    names = dict(states[-1].clusters.select("cluster_id", "label").iter_rows())
    for theme in sorted(set(themes.final.values())):
        held = pl.Series([cluster for name, cluster in final if name == theme]).value_counts(sort=True)
        print(f"  {theme}: {held.row(0)[1]} of {held['count'].sum()} in “{names.get(held.row(0)[0], 'none')}”")


def promoted_categories() -> None:
    """What categories promoted on some days find on the days after them; FIXTURE_THEMES names other themed data."""
    themes = FixtureThemes.read(Path(os.environ.get("FIXTURE_THEMES", FIXTURES)))
    results = []
    for state in list(themes.walk())[13:34:5]:
        results.append(themes.found_later(state, themes.promote(state)))
        print(f"  promoted on {state.day}: {results[-1]}")
    found, right, unflagged, wanted, quiet = np.sum([astuple(result) for result in results], axis=0)
    print(
        f"promoted categories on later days: precision {right / found:.2f} (bar 0.8), recall {right / wanted:.2f}, of turns"
        f" that no detector flagged {unflagged / quiet:.2f}"
    )


MEASUREMENTS: dict[str, Callable[[], None]] = {
    function.__name__: function
    for function in (
        fixture_themes,
        promoted_categories,
        embedding_speed,
        many_signals,
        a_day_on_a_long_history,
        flat_cost,
        against_one_shot,
    )
}


def main(names: list[str]) -> None:
    """Run the named measurements, all when none is named."""
    for name in names or MEASUREMENTS:
        MEASUREMENTS[name]()


if __name__ == "__main__":
    main(sys.argv[1:])
