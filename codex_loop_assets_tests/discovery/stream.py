"""A labelled stream of signals as points on a sphere: themes with a centre, a spread, a first and a last day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property

import numpy as np
import polars as pl

from codex_loop_assets.discovery.vectors import Vectors

START = date(2026, 2, 10)


@dataclass(frozen=True)
class Theme:
    """`per_day` signals on each day first..last around a centre; `moves_to`: from `moves_on` on, another centre
    (drift, merge)."""

    name: str
    per_day: int
    first: int = 0
    last: int = 10_000
    centre: int | None = None
    moves_to: int | None = None
    moves_on: int = 10_000


@dataclass(frozen=True)
class Stream:
    """`signals` (with dt), `vectors` by signal id and the true theme of each signal ('' for background)."""

    signals: pl.DataFrame
    vectors: dict[str, np.ndarray]
    truth: dict[str, str]

    @cached_property
    def table(self) -> Vectors:
        """The vectors as the store gives them."""
        return Vectors.of(self.vectors)


def stream(
    themes: Sequence[Theme], days: int, *, background: int = 3, spread: float = 0.5, dimension: int = 64, seed: int = 0
) -> Stream:
    """Themes and background noise over `days` days. `spread` is the length of the noise beside a centre of length 1."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(100, dimension))
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    rows, vectors, truth = [], {}, {}
    for day in range(days):
        for number, theme in enumerate(themes):
            if theme.first <= day <= theme.last:
                index = number if theme.centre is None else theme.centre
                index = theme.moves_to if theme.moves_to is not None and day >= theme.moves_on else index
                for _ in range(theme.per_day):
                    _add(rows, vectors, truth, day, theme.name, centres[index], spread, random)
        for _ in range(background):
            direction = random.normal(size=dimension)
            _add(rows, vectors, truth, day, "", direction / np.linalg.norm(direction), 0.1, random)
    return Stream(pl.DataFrame(rows), vectors, truth)


def _add(rows, vectors, truth, day, theme, centre, spread, random) -> None:
    key = f"sig_{len(rows):06d}"
    noise = random.normal(size=len(centre)) / np.sqrt(len(centre)) * spread
    vector = centre + noise
    vectors[key] = (vector / np.linalg.norm(vector)).astype(np.float32)
    truth[key] = theme
    rows.append(
        {
            "signal_id": key,
            "thread_id": f"thread_{len(rows) // 2}",
            "type": "friction",
            "category": "novel" if theme else "exec_failure",
            "severity": 2,
            "detector": "local_judge" if theme else "mechanical",
            "description": f"{theme or 'background'} trouble number {len(rows)}",
            "evidence": "[]",
            "occurred_at": datetime.combine(START + timedelta(day), datetime.min.time(), UTC),
            "dt": START + timedelta(day),
        }
    )
