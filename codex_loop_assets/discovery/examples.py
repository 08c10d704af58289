"""The examples a proposed category is learnt from: positives from the cluster, hard negatives from around it.

A promoted category is looked for in what people write, so examples in people's own words come first. What does not
belong here: the words of the proposal (draft) and the detector (signals.judges).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from codex_loop_assets.discovery.backtest import Backtest, backtest
from codex_loop_assets.signals.judges.local import similarity

if TYPE_CHECKING:
    import numpy as np

    from codex_loop_assets.discovery.view import View


@dataclass(frozen=True)
class Evidence:
    """Lists of {signal_id, text} (a request's signal_id is its thread's id), and the back-test on history."""

    positives: list[dict[str, str]]
    hard_negatives: list[dict[str, str]]
    backtest: Backtest


@dataclass(frozen=True)
class Spoken:
    """The words behind each signal in view, as a detector would meet them: `texts` by signal_id, and whose text is a
    person's own words."""

    texts: Mapping[str, str]
    own_words: frozenset[str]

    @classmethod
    def of(cls, signals: pl.DataFrame) -> Spoken:
        """`signals`: rows of `signals`."""
        rows = list(signals.select("signal_id", "description", "evidence").iter_rows())
        said = signals.filter(pl.col("detector") != "mechanical")["signal_id"]
        return cls({key: _spoken(description, evidence) for key, description, evidence in rows}, frozenset(said))

    def own(self, ids: Sequence[str]) -> set[str]:
        """The different texts in people's own words among these."""
        return {self.texts[key] for key in ids if key in self.own_words}


def gather(
    own: pl.DataFrame, view: View, spoken: Spoken, requests: Mapping[str, str], settings: Mapping[str, Any]
) -> Evidence:
    """Positives (spread from the centre outwards) and hard negatives: what the members' sessions began with, then the
    nearest outsiders.

    `own`: rows of `signals` of the cluster; `view`: what is looked at of its type, `spoken` its words. `requests`:
    thread_id -> opening request. `settings`: the `proposals` table.
    """
    ids = view.members["signal_id"]
    inside = ids.is_in(own["signal_id"].implode()).to_numpy()
    matrix, others = view.matrix[inside], view.matrix[~inside]
    centre = matrix.mean(axis=0)
    positives = _spread(
        _texts(_by_nearness(ids.filter(inside), matrix @ centre), spoken, settings), settings["positives"]
    )
    said = {item["text"] for item in positives}
    nearest = _by_nearness(ids.filter(~inside), others @ centre)
    near = _texts(nearest, spoken, settings, limit=settings["hard_negatives"] + len(said))
    asked = _requests(own, requests, said, settings["request_shares"])[: settings["opening_requests"]]
    negatives = asked + [item for item in near if item["text"] not in said]
    return Evidence(positives, negatives[: settings["hard_negatives"]], backtest(matrix, others))


def _spoken(description: str, evidence: str) -> str:
    """A signal's first quotation, else its description."""
    return next((item["quote"] for item in json.loads(evidence) if item.get("quote")), description)


def _by_nearness(ids: pl.Series, cosines: np.ndarray) -> list[str]:
    """Ids, nearest first; ties stay in the order of ids."""
    import numpy as np

    return ids.gather(np.argsort(-cosines.round(6), kind="stable")).to_list()


def _texts(
    ids: Sequence[str], spoken: Spoken, settings: Mapping[str, Any], limit: int | None = None
) -> list[dict[str, str]]:
    """Each text once, in the order of `ids`, the first `limit` at least; only people's own words where there are enough
    of them."""
    first: dict[str, str] = {}
    own_words: dict[str, str] = {}
    for key in ids:
        text = spoken.texts[key]
        if first.setdefault(text, key) == key and key in spoken.own_words:
            own_words[text] = key
            if len(own_words) == limit:
                break
    chosen = own_words if len(own_words) >= settings["enough_own_words"] else first
    return [{"signal_id": key, "text": text} for text, key in chosen.items()]


def _requests(own: pl.DataFrame, requests: Mapping[str, str], said: set[str], shares: int) -> list[dict[str, str]]:
    """What the members' sessions began with, each text once, unless the trouble was there from the first message.

    A request with as many content words in common with a positive as `shares` is the trouble in other words: taught as
    a hard negative it kept the category from being found in just what it was promoted for.
    """
    told = [similarity.words(text) for text in said]
    first: dict[str, str] = {}
    for thread_id in own["thread_id"].unique().sort():
        text = requests.get(thread_id)
        if text and all(len(similarity.words(text) & words) < shares for words in told):
            first.setdefault(text, thread_id)
    return [{"signal_id": thread_id, "text": text} for text, thread_id in first.items()]


def _spread(items: Sequence[dict[str, str]], limit: int) -> list[dict[str, str]]:
    """`limit` of the items at even steps: only the most central ones would teach too narrow a threshold."""
    if len(items) <= limit:
        return list(items)
    return [items[index * len(items) // limit] for index in range(limit)]
