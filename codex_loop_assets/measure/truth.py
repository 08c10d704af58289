"""Labelled data in one form, wherever it comes from: the moments a detector should find, in sessions that were read
whole.

What belongs here: the form. What does not: reading files (gold.py) and scoring (scorecard.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Observer = Literal["mechanical", "semantic"]


@dataclass(frozen=True)
class LabelledMoment:
    """One labelled moment.

    `seqs` are records that show it (the first is the one it is about). `scope` "session" means that it stands for the
    whole
    session and any place in it is right. `confident` moments are the base of recall; the others only excuse a finding. `severity` is 1 mild, 2 clear, 3 strong, as a reader sees it.
    """

    thread_id: str
    run: int
    seqs: tuple[int, ...]
    category: str
    type: Literal["friction", "delight"]
    observed_by: Observer
    scope: Literal["record", "session"] = "record"
    confident: bool = True
    severity: int | None = None


@dataclass(frozen=True)
class Truth:
    """Labels of a set of sessions. `languages` names every session that was read, labelled or not, with its language.

    A finding that matches only an entry of `undecided` counts neither for nor against.
    """

    name: str
    languages: Mapping[str, str]
    moments: tuple[LabelledMoment, ...]
    undecided: tuple[LabelledMoment, ...] = ()
