"""Turning texts into vectors: a local model without network, or OpenAI's when a key is set.

Vectors of two models live in two spaces and are never mixed, so every embedder names its space. What does not belong
here: what the texts say (see text) and where vectors are kept (see resources/vectors).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from codex_loop_assets.signals.judges.llm.exchange import Tokens
from codex_loop_assets.signals.judges.llm.prices import UnknownPrice
from codex_loop_assets.signals.judges.llm.purse import Purse, Reserved

if TYPE_CHECKING:
    import numpy as np
    from openai.types import CreateEmbeddingResponse


class EmbeddingError(RuntimeError):
    """The embedding model is missing, damaged, or answers something that is no vector; the message says what to do."""


class BudgetExhausted(EmbeddingError):
    """The day's budget for models does not pay for these texts: nothing was sent."""


class Embedder(Protocol):
    """Texts to unit vectors of one space."""

    name: str
    dimension: int

    def batches(self, texts: Sequence[str]) -> list[list[str]]:
        """The texts in order, cut into what one call of `embed` takes."""

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """float32 array of shape (len(texts), dimension), rows of length 1. Raises EmbeddingError, and
        BudgetExhausted where the day's budget does not pay for them."""

    def spent(self) -> tuple[int, float]:
        """Tokens and US dollars spent so far by this embedder."""


def space_of(embedder: Embedder) -> str:
    """Name of the vector space, as tables and rows carry it."""
    return f"{embedder.name}/{embedder.dimension}"


def open_embedder(
    settings: Mapping[str, Any], environment: Mapping[str, str] = os.environ, purse: Purse | None = None
) -> Embedder:
    """The embedder that `settings` (the `embedding` table of the `discovery` section) asks for; `purse` pays (without
    one nobody keeps account).

    `provider` auto means OpenAI when OPENAI_API_KEY is set, else the local model. Raises EmbeddingError when the
    wanted one cannot work: a run must not silently go on in another space.
    """
    provider = settings["provider"]
    if provider == "auto":
        provider = "openai" if environment.get("OPENAI_API_KEY") else "wordllama"
    if provider == "wordllama":
        return WordLlamaEmbedder(settings["wordllama"])
    if provider == "openai":
        return OpenAIEmbedder(settings["openai"], environment, purse)
    raise EmbeddingError(f"discovery.embedding.provider is {provider!r}: use auto, wordllama or openai")


class WordLlamaEmbedder:
    """Mean-pooled static token vectors from the weights inside the wordllama wheel: no network, no GPU."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        from pathlib import Path

        import wordllama

        self.name = settings["name"]
        self.dimension = settings["dimension"]
        self._batch_size = settings["batch_size"]
        try:
            # The wheel keeps its tokenizer in `tokenizers/` but looks for it in `tokenizer/`, and then downloads it;
            # with the package itself as the cache directory it finds the bundled one.
            self._model = wordllama.WordLlama.load(
                dim=self.dimension, cache_dir=Path(wordllama.__file__).parent, disable_download=True
            )
        except (OSError, ValueError) as error:
            raise EmbeddingError(
                f"the local embedding model cannot be loaded; reinstall wordllama ({error})"
            ) from error
        self._check_itself()

    def _check_itself(self) -> None:
        """Refuse damaged weights or a wrong tokenizer at load: both give plausible vectors that mean nothing."""
        near, same, far = self.embed(["the test suite fails", "tests are failing", "a recipe for apple pie"])
        if not float(near @ same) > float(near @ far) + 0.2:
            raise EmbeddingError("the local embedding model failed its self-test; reinstall wordllama")

    def batches(self, texts: Sequence[str]) -> list[list[str]]:
        return [list(texts)] if texts else []

    def spent(self) -> tuple[int, float]:
        return 0, 0.0

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        import numpy as np

        if not texts:
            return np.empty((0, self.dimension), dtype=np.float32)
        blank = next((index for index, text in enumerate(texts) if not text.strip()), None)
        if blank is not None:
            raise EmbeddingError(f"text {blank} is empty: it has no direction (normalise it first)")
        parts = [
            self._model.embed(list(texts[start : start + self._batch_size]), norm=True)
            for start in range(0, len(texts), self._batch_size)
        ]
        return checked(np.concatenate(parts), len(texts), self.dimension)


class OpenAIEmbedder:
    """OpenAI's embeddings endpoint (or any compatible server at OPENAI_BASE_URL), one request per batch, paid from the
    purse."""

    def __init__(
        self, settings: Mapping[str, Any], environment: Mapping[str, str] = os.environ, purse: Purse | None = None
    ) -> None:
        from openai import OpenAI

        if not environment.get("OPENAI_API_KEY"):
            raise EmbeddingError("OPENAI_API_KEY is not set; set it, or set discovery.embedding.provider to wordllama")
        self.name = settings["model"]
        self.dimension = settings["dimension"]
        self._settings = settings
        self._purse = purse
        self._tokens = 0
        self._dollars = 0.0
        self._client = OpenAI(
            api_key=environment["OPENAI_API_KEY"],
            base_url=environment.get("OPENAI_BASE_URL") or None,
            timeout=settings["timeout_seconds"],
            max_retries=settings["max_retries"],
        )

    def spent(self) -> tuple[int, float]:
        return self._tokens, self._dollars

    def batches(self, texts: Sequence[str]) -> list[list[str]]:
        batches: list[list[str]] = []
        tokens = 0
        for text in texts:
            size = int(len(text) / self._settings["characters_per_token"]) + 1
            full = batches and len(batches[-1]) >= self._settings["batch_size"]
            if not batches or full or tokens + size > self._settings["batch_tokens"]:
                batches.append([])
                tokens = 0
            batches[-1].append(text)
            tokens += size
        return batches

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        import numpy as np

        if not texts:  # All are known, or the day has none.
            return np.empty((0, self.dimension), dtype=np.float32)
        answer = self._bought(list(texts))
        rows = [item.embedding for item in sorted(answer.data, key=lambda item: item.index)]
        try:
            matrix = np.asarray(rows, dtype=np.float32).reshape(len(texts), -1)
        except ValueError as error:
            raise EmbeddingError(f"{self.name}: the answer to {len(texts)} texts is no matrix of vectors") from error
        # Some compatible servers ignore `dimensions`; a vector shortened by them may also not have length 1.
        return checked(matrix / np.linalg.norm(matrix, axis=1, keepdims=True), len(texts), self.dimension)

    def _bought(self, texts: list[str]) -> CreateEmbeddingResponse:
        """The server's answer, booked: what was paid is known even where the vectors turn out to be none."""
        from openai import APIStatusError, OpenAIError

        reserved = self._reserved(texts)
        try:
            answer = self._client.embeddings.create(
                model=self.name, input=texts, dimensions=self.dimension, encoding_format="float"
            )
        except OpenAIError as error:
            if self._purse is not None and reserved is not None:
                if isinstance(error, APIStatusError):
                    self._purse.give_back(reserved)
                else:
                    self._dollars += self._purse.pay(reserved, None)
            raise EmbeddingError(f"{self.name}: {type(error).__name__}: {error}") from error
        # Compatible servers may leave out what was used; the worst is booked then.
        used = Tokens(input=answer.usage.total_tokens) if answer.usage is not None else None
        self._tokens += used.input if used is not None else 0
        if self._purse is not None and reserved is not None:
            self._dollars += self._purse.pay(reserved, used)
        return answer

    def _reserved(self, texts: list[str]) -> Reserved | None:
        if self._purse is None:
            return None
        body = {"model": self.name, "input": texts, "max_output_tokens": 0}
        try:
            reserved = self._purse.reserve(body, tries=1 + self._settings["max_retries"])
        except UnknownPrice as error:
            raise EmbeddingError(str(error)) from error
        if reserved is None:
            raise BudgetExhausted(f"the day's budget for models does not pay for {len(texts)} texts more")
        return reserved


def checked(matrix: np.ndarray, rows: int, dimension: int) -> np.ndarray:
    """The matrix as float32, or EmbeddingError: a wrong shape or a NaN would only surface much later, as a bad
    cluster."""
    import numpy as np

    if matrix.shape != (rows, dimension):
        raise EmbeddingError(f"expected {rows} vectors of {dimension} numbers, got an array of shape {matrix.shape}")
    if not np.isfinite(matrix).all():
        raise EmbeddingError("the embedding model returned a vector that is not finite")
    return matrix.astype(np.float32, copy=False)
