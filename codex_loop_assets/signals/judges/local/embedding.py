"""Sentence vectors from the weights inside the wordllama wheel: no network, no key.

What belongs here: loading and embedding. What does not: the store's vector space, which the embedder of discovery owns.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np


def embed(texts: Sequence[str]) -> np.ndarray:
    """Unit vectors, shape (len(texts), 256), float32. A text without words has a vector of zeros, like nothing else."""
    import numpy as np

    vectors = np.asarray(_model().embed([text or "." for text in texts], norm=True), dtype=np.float32)
    vectors[[not text.strip() for text in texts]] = 0.0
    return np.nan_to_num(vectors)


@cache
def _model() -> Any:
    from pathlib import Path

    import wordllama

    # The wheel looks for its tokenizer in a directory that it does not have, and then downloads it; with the package
    # itself as the cache directory it finds the bundled one.
    return wordllama.WordLlama.load(cache_dir=Path(wordllama.__file__).parent, disable_download=True)
