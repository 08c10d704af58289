"""Laws of the vector store: nothing bought twice, no duplicate, no loss, whole commits at any kill."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import signal
import time
from datetime import date

import numpy as np
import polars as pl
import pytest

from codex_loop_assets.discovery.embed import BudgetExhausted, EmbeddingError
from codex_loop_assets.resources.vectors import CENTROIDS, SIGNALS, VectorStore

DAY, NEXT = date(2026, 2, 10), date(2026, 2, 11)
SPACE = "hashes/8"


class HashEmbedder:
    """A vector per text from its hash, a text per batch; counts what it is asked for, can be given a budget, and fails
    at the text `broken`."""

    name = "hashes"
    dimension = 8

    def __init__(self, budget: int = 10**9, broken: str | None = None) -> None:
        self.asked: list[str] = []
        self.budget = budget
        self.broken = broken

    def batches(self, texts) -> list[list[str]]:
        return [[text] for text in texts]

    def spent(self) -> tuple[int, float]:
        return len(self.asked), len(self.asked) * 0.5

    def embed(self, texts) -> np.ndarray:
        if len(self.asked) >= self.budget:
            raise BudgetExhausted("no more")
        if texts == [self.broken]:
            raise EmbeddingError("the server is down")
        self.asked += texts
        return np.array([list(hashlib.sha256(text.encode()).digest()[:8]) for text in texts], np.float32).reshape(-1, 8)


def texts(count: int, start: int = 0) -> dict[str, str]:
    return {f"sig_{index}": f"text {index}" for index in range(start, start + count)}


@pytest.fixture
def store(tmp_path) -> VectorStore:
    return VectorStore(tmp_path / "vectors")


def test_a_second_run_embeds_nothing(store):
    store.embed_day(SIGNALS, DAY, texts(5), HashEmbedder())
    second = HashEmbedder()
    report = store.embed_day(SIGNALS, DAY, texts(5), second)
    assert second.asked == [] and (report.unchanged, report.embedded, report.cost_usd) == (5, 0, 0)


def test_a_text_known_under_another_id_or_day_is_not_embedded_again(store):
    store.embed_day(SIGNALS, DAY, texts(3), HashEmbedder())
    report = store.embed_day(
        SIGNALS, NEXT, {"other": "text 1", "new": "text 9", "twin": "text 9"}, embedder := HashEmbedder()
    )
    assert embedder.asked == ["text 9"]
    assert (report.reused, report.embedded, report.tokens) == (1, 2, 1)


def test_a_day_becomes_exactly_what_it_was_given(store):
    store.embed_day(SIGNALS, DAY, texts(5), HashEmbedder())
    store.embed_day(SIGNALS, NEXT, texts(2, 5), HashEmbedder())
    report = store.embed_day(SIGNALS, DAY, {"sig_0": "changed", "sig_1": "text 1"}, HashEmbedder())
    assert (report.embedded, report.unchanged, report.removed) == (1, 1, 3)
    assert sorted(store.vectors(SIGNALS, SPACE)) == ["sig_0", "sig_1", "sig_5", "sig_6"]
    assert store.days(SIGNALS, SPACE) == {DAY: 2, NEXT: 2}


def test_vectors_read_as_they_are_asked_for_are_the_ones_stored_whatever_was_replaced(store):
    for day, made in ((DAY, texts(5)), (NEXT, texts(5, 5)), (DAY, texts(3) | {"sig_9x": "nine"})):
        store.embed_day(SIGNALS, day, made, HashEmbedder())
    table, everything = store.table(SIGNALS, SPACE), store.vectors(SIGNALS, SPACE)
    ids = pl.Series(["sig_9x", "sig_7", "sig_0", "sig_7"])
    assert (table.take(ids) == np.stack([everything[key] for key in ids])).all()
    assert table.known(pl.Series(["sig_0", "sig_4", "sig_6", "none"])).to_list() == [True, False, True, False]
    assert len(table.take(ids.clear())) == 0
    with pytest.raises(KeyError, match="1 ids"):
        table.take(pl.Series(["sig_0", "sig_4"]))


def test_vectors_can_be_read_while_others_are_forgotten(store):
    store.embed_day(SIGNALS, DAY, texts(5), HashEmbedder())
    store.embed_day(SIGNALS, NEXT, texts(5, 5), HashEmbedder())
    table, before = store.table(SIGNALS, SPACE), store.vectors(SIGNALS, SPACE)
    store.remove(["sig_0", "sig_6"])
    assert (table.take(pl.Series(["sig_9", "sig_1"])) == np.stack([before["sig_9"], before["sig_1"]])).all()
    with pytest.raises(KeyError):
        table.take(pl.Series(["sig_0"]))


def test_a_collection_that_is_not_there_has_no_vectors(store):
    assert store.table(SIGNALS, SPACE) == {}


def test_what_the_budget_does_not_cover_is_deferred_and_taken_up_later(store):
    first = store.embed_day(SIGNALS, DAY, texts(5), HashEmbedder(budget=2))
    assert (first.embedded, first.deferred) == (2, 3)
    assert len(store.vectors(SIGNALS, SPACE)) == 2
    second = store.embed_day(SIGNALS, DAY, texts(5), HashEmbedder())
    assert (second.unchanged, second.embedded, second.deferred) == (2, 3, 0)


def test_what_was_paid_before_a_failure_is_kept_and_not_bought_again(store):
    with pytest.raises(EmbeddingError, match="server is down"):
        store.embed_day(SIGNALS, DAY, texts(5), first := HashEmbedder(broken="text 2"))
    second = HashEmbedder()
    store.embed_day(SIGNALS, DAY, texts(5), second)
    assert len(first.asked) == 3 and sorted(first.asked + second.asked) == sorted(texts(5).values())


def test_a_changed_text_never_keeps_its_old_vector_even_when_deferred(store):
    store.embed_day(SIGNALS, DAY, texts(2), HashEmbedder())
    report = store.embed_day(SIGNALS, DAY, {"sig_0": "changed", "sig_1": "text 1"}, HashEmbedder(budget=0))
    assert report.deferred == 1
    assert sorted(store.vectors(SIGNALS, SPACE)) == ["sig_1"]


def test_two_models_never_meet(store):
    store.embed_day(SIGNALS, DAY, texts(2), HashEmbedder())
    other = HashEmbedder()
    other.name = "other"
    store.embed_day(SIGNALS, DAY, texts(3), other)
    assert store.spaces(SIGNALS) == ["hashes/8", "other/8"]
    assert len(store.vectors(SIGNALS, "hashes/8")) == 2


def test_an_empty_day_and_an_unknown_collection(store):
    assert store.embed_day(SIGNALS, DAY, {}, HashEmbedder()).total == 0
    assert store.vectors(SIGNALS, SPACE) == {}
    with pytest.raises(ValueError, match="no vector collection"):
        store.embed_day("nonsense", DAY, texts(1), HashEmbedder())


def test_centres_are_kept_per_day_and_found_by_nearness(store):
    for day, first in ((DAY, 1.0), (NEXT, 2.0)):
        store.replace_vectors(CENTROIDS, day, SPACE, {"cluster_a": np.full(8, first, np.float32)}, {"cluster_a": "a"})
    assert store.vectors(CENTROIDS, SPACE, DAY)["cluster_a"][0] == 1.0
    assert store.vectors(CENTROIDS, SPACE, NEXT)["cluster_a"][0] == 2.0
    assert store.search(CENTROIDS, SPACE, np.ones(8, np.float32), 1)[0][1] == pytest.approx(1)


def _embed(root, start, offset) -> None:
    start.wait()
    for day in (DAY, NEXT):
        VectorStore(root).embed_day(
            SIGNALS, day, {f"{day}-{index}": f"{day} {index}" for index in range(offset, offset + 60)}, HashEmbedder()
        )


def test_two_processes_embedding_the_same_days_leave_no_duplicate_and_lose_nothing(tmp_path):
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(2)
    workers = [context.Process(target=_embed, args=(tmp_path, start, 0)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=60)
        assert worker.exitcode == 0
    assert VectorStore(tmp_path).days(SIGNALS, SPACE) == {DAY: 60, NEXT: 60}


def _write_for_ever(root) -> None:
    store, round_number = VectorStore(root), 0
    while True:
        round_number += 1
        store.embed_day(
            SIGNALS, DAY, {f"sig_{index}": f"round {round_number} {index}" for index in range(200)}, HashEmbedder()
        )


@pytest.mark.parametrize("wait", [0.05, 0.17])
def test_a_kill_at_any_instant_leaves_a_whole_day(tmp_path, wait):
    store = VectorStore(tmp_path)
    worker = multiprocessing.get_context("spawn").Process(target=_write_for_ever, args=(tmp_path,))
    worker.start()
    deadline = time.monotonic() + 60
    while not store.days(SIGNALS, SPACE) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(wait)
    os.kill(worker.pid, signal.SIGKILL)
    worker.join()
    assert store.days(SIGNALS, SPACE) == {DAY: 200}
    one_round = next(
        number for number in range(1, 10_000) if _vector(number, 0) == bytes(store.vectors(SIGNALS, SPACE)["sig_0"])
    )
    assert {key: bytes(vector) for key, vector in store.vectors(SIGNALS, SPACE).items()} == {
        f"sig_{index}": _vector(one_round, index) for index in range(200)
    }
    assert store.embed_day(SIGNALS, DAY, {"sig_0": "after"}, HashEmbedder()).embedded == 1


def _vector(round_number: int, index: int) -> bytes:
    return bytes(HashEmbedder().embed([f"round {round_number} {index}"])[0])
