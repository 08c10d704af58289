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

_COLUMNS = ("signal_id", "thread_id", "description", "evidence", "detector")


@dataclass(frozen=True)
class Evidence:
    """Lists of {signal_id, text} (a request's signal_id is its thread's id), and the back-test on history."""

    positives: list[dict[str, str]]
    hard_negatives: list[dict[str, str]]
    backtest: Backtest


def gather(
    own: pl.DataFrame,
    everyone: pl.DataFrame,
    vectors: Mapping[str, np.ndarray],
    requests: Mapping[str, str],
    settings: Mapping[str, Any],
) -> Evidence:
    """Positives (spread from the centre outwards) and hard negatives: what the members' sessions began with, then the
    nearest outsiders.

    `own`, `everyone`: rows of `signals` of the cluster and of its type; `requests`: thread_id -> opening request.
    """
    import numpy as np

    members = set(own["signal_id"])
    inside = [key for key in own["signal_id"] if key in vectors]
    outside = [key for key in everyone["signal_id"] if key in vectors and key not in members]
    matrix = np.stack([vectors[key] for key in inside])
    others = np.stack([vectors[key] for key in outside]) if outside else np.empty((0, matrix.shape[1]), np.float32)
    centre = matrix.mean(axis=0)
    rows = {row["signal_id"]: row for row in everyone.select(_COLUMNS).iter_rows(named=True)}
    positives = _spread(_texts(_by_nearness(inside, matrix @ centre), rows, settings), settings["positives"])
    said = {item["text"] for item in positives}
    near = _texts(_by_nearness(outside, others @ centre), rows, settings)
    asked = _requests(own, requests, said, settings["request_shares"])[: settings["opening_requests"]]
    negatives = asked + [item for item in near if item["text"] not in said]
    return Evidence(positives, negatives[: settings["hard_negatives"]], backtest(matrix, others))


def spoken_text(signal: Mapping[str, Any]) -> str:
    """The words behind a signal, as a detector would meet them: its first quotation, else its description."""
    quotes = [item["quote"] for item in json.loads(signal["evidence"]) if item.get("quote")]
    return quotes[0] if quotes else signal["description"]


def _by_nearness(ids: Sequence[str], cosines: np.ndarray) -> list[str]:
    """Ids, nearest first; ties stay in the order of ids."""
    import numpy as np

    return [ids[index] for index in np.argsort(-cosines.round(6), kind="stable")]


def _texts(
    ids: Sequence[str], rows: Mapping[str, Mapping[str, Any]], settings: Mapping[str, Any]
) -> list[dict[str, str]]:
    """Each text once, in the order of `ids`; only people's own words where there are enough of them."""
    first: dict[str, str] = {}
    for key in ids:
        first.setdefault(spoken_text(rows[key]), key)
    own_words = {text: key for text, key in first.items() if rows[key]["detector"] != "mechanical"}
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
