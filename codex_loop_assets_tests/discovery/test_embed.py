"""Laws of the embedders: the local one works without network, OpenAI's speaks the real protocol within its budget."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import numpy as np
import pytest

from codex_loop_assets.discovery.embed import EmbeddingError, OpenAIEmbedder, WordLlamaEmbedder, open_embedder, space_of
from codex_loop_assets.settings import section

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


class _Endpoint(BaseHTTPRequestHandler):
    """The embeddings endpoint's protocol: answers in reverse order, because order is given by `index` alone."""

    requests: ClassVar[list[dict]] = []

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        type(self).requests.append(request)
        data = [
            {
                "object": "embedding",
                "index": index,
                "embedding": [float(len(text))] + [1.0] * (request["dimensions"] - 1),
            }
            for index, text in enumerate(request["input"])
        ]
        usage = {"prompt_tokens": 3, "total_tokens": 3}
        body = json.dumps({"object": "list", "model": request["model"], "data": data[::-1], "usage": usage}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_) -> None:
        """Keep the test's output quiet."""


@pytest.fixture
def endpoint():
    _Endpoint.requests = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Endpoint)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield {"OPENAI_API_KEY": "test", "OPENAI_BASE_URL": f"http://127.0.0.1:{server.server_port}/v1"}
    server.shutdown()


def test_openai_vectors_come_batched_in_order_and_counted(endpoint):
    settings = EMBEDDING["openai"] | {"batch_size": 2, "dimension": 8}
    embedder = OpenAIEmbedder(settings, endpoint)
    vectors = embedder.embed(["a", "bb", "ccc"])
    assert [len(request["input"]) for request in _Endpoint.requests] == [2, 1]
    assert {request["dimensions"] for request in _Endpoint.requests} == {8}
    assert np.allclose(vectors[:, 0] / vectors[:, 1], [1, 2, 3])
    assert embedder.spent()[0] == 6
    assert space_of(embedder) == "text-embedding-3-small/8"


def test_a_budget_pays_for_the_first_texts_only(endpoint):
    settings = EMBEDDING["openai"] | {"budget_usd": 30 * EMBEDDING["openai"]["usd_per_million_tokens"] / 1e6}
    assert OpenAIEmbedder(settings, endpoint).affordable(["x" * 27] * 10) == 3
