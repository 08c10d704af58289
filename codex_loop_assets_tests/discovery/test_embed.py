"""Laws of the embedders: the local one works without network, OpenAI's speaks the real protocol within its budget."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codex_loop_assets.discovery.embed import (
    BudgetExhausted,
    EmbeddingError,
    OpenAIEmbedder,
    WordLlamaEmbedder,
    open_embedder,
    space_of,
)
from codex_loop_assets.settings import section
from codex_loop_assets.signals.judges.llm.governor import Governor
from codex_loop_assets.signals.judges.llm.prices import Prices
from codex_loop_assets.signals.judges.llm.purse import Purse
from codex_loop_assets_tests.openai_server import Fault, OpenAiServer

EMBEDDING = section("discovery")["embedding"]


@pytest.fixture(scope="module")
def local() -> WordLlamaEmbedder:
    return WordLlamaEmbedder(EMBEDDING["wordllama"])


def test_local_vectors_are_unit_vectors_that_bring_paraphrases_together(local):
    near, same, far = local.embed(
        ["the lockfile is frozen", "the lock file is out of date and frozen", "thanks, that looks great"]
    )
    assert np.linalg.norm(near) == pytest.approx(1, abs=1e-5)
    assert near @ same > near @ far + 0.3


def test_an_empty_text_is_refused_before_it_becomes_a_nan(local):
    with pytest.raises(EmbeddingError, match="text 1 is empty"):
        local.embed(["words", "  "])


def test_batches_do_not_change_vectors():
    small = WordLlamaEmbedder(EMBEDDING["wordllama"] | {"batch_size": 2})
    texts = [f"text number {index} about tests" for index in range(5)]
    assert np.allclose(small.embed(texts), np.concatenate([small.embed([text]) for text in texts]), atol=1e-6)


def test_no_key_means_the_local_model_and_a_missing_key_is_said():
    assert open_embedder(EMBEDDING, {}).name == EMBEDDING["wordllama"]["name"]
    with pytest.raises(EmbeddingError, match="OPENAI_API_KEY is not set"):
        open_embedder(EMBEDDING | {"provider": "openai"}, {})


@pytest.fixture
def server():
    with OpenAiServer() as server:
        yield server


def openai(server: OpenAiServer, money: Purse | None = None, **settings) -> OpenAIEmbedder:
    return OpenAIEmbedder(EMBEDDING["openai"] | {"max_retries": 0} | settings, server.environment, money)


def purse(tmp_path, budget: float) -> tuple[Purse, Governor]:
    governor = Governor(tmp_path / "spending.jsonl", budget, purpose="embeddings")
    return Purse(governor, Prices(section("prices"))), governor


def test_openai_vectors_are_unit_vectors_in_the_order_of_the_texts(server):
    embedder = openai(server, dimension=8)
    vectors = embedder.embed(["a", "bb", "ccc"])
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 1, 1])
    assert np.allclose(vectors, np.concatenate([embedder.embed([text]) for text in ("a", "bb", "ccc")]))
    assert space_of(embedder) == "text-embedding-3-small/8"


@settings(deadline=None)
@given(st.lists(st.text(min_size=1, max_size=40), max_size=30))
def test_batches_hold_every_text_once_in_order_and_keep_both_limits(texts):
    settings = EMBEDDING["openai"] | {"batch_size": 4, "batch_tokens": 30, "characters_per_token": 1.0}
    batches = OpenAIEmbedder(settings, {"OPENAI_API_KEY": "any"}).batches(texts)
    assert [text for batch in batches for text in batch] == texts
    assert all(len(batch) <= 4 for batch in batches)
    assert all(len(batch) == 1 or sum(len(text) + 1 for text in batch) <= 30 for batch in batches)


def test_vectors_are_paid_for_from_the_ledger_and_budget_of_all_models(server, tmp_path):
    money, governor = purse(tmp_path, 1.0)
    embedder = openai(server, money)
    embedder.embed(["the lockfile is frozen"])
    tokens, dollars = embedder.spent()
    assert tokens > 0 and dollars == pytest.approx(tokens * 0.02 / 1e6)
    assert governor.by_purpose() == {"embeddings": pytest.approx(dollars)}


def test_texts_that_do_not_fit_into_the_budget_are_not_sent(server, tmp_path):
    money, governor = purse(tmp_path, 0.0)
    with pytest.raises(BudgetExhausted):
        openai(server, money).embed(["the lockfile is frozen"])
    assert server.calls == [] and governor.spent() == 0.0


def test_a_refused_request_costs_nothing_and_one_whose_answer_is_lost_costs_its_worst(server, tmp_path):
    money, governor = purse(tmp_path, 1.0)
    server.faults.add(Fault("status", path="/v1/embeddings"), Fault("drop_after", path="/v1/embeddings"))
    embedder = openai(server, money)
    with pytest.raises(EmbeddingError):
        embedder.embed(["the lockfile is frozen"])
    assert governor.spent() == 0.0
    with pytest.raises(EmbeddingError):
        embedder.embed(["the lockfile is frozen"])
    assert governor.spent() == pytest.approx(embedder.spent()[1]) and governor.spent() > 0.0


def test_an_answer_without_vectors_is_said_and_paid_for(server, tmp_path):
    money, governor = purse(tmp_path, 1.0)
    server.faults.add(Fault("malformed", path="/v1/embeddings"))
    with pytest.raises(EmbeddingError):
        openai(server, money).embed(["the lockfile is frozen"])
    assert governor.spent() > 0.0


def test_vectors_from_a_server_that_does_not_say_what_it_used_are_booked_at_their_worst(server, tmp_path):
    money, governor = purse(tmp_path, 1.0)
    server.faults.add(Fault("no_usage", path="/v1/embeddings"))
    known, silent = openai(server), openai(server, money)
    assert np.allclose(silent.embed(["the lockfile is frozen"]), known.embed(["the lockfile is frozen"]))
    assert governor.spent() == pytest.approx(silent.spent()[1]) and governor.spent() > known.spent()[0] * 0.02 / 1e6


def test_a_model_without_a_price_is_never_asked(server, tmp_path):
    money, _ = purse(tmp_path, 1.0)
    with pytest.raises(EmbeddingError, match="no price for model"):
        openai(server, money, model="unheard-of").embed(["the lockfile is frozen"])
    assert server.calls == []
