"""What is embedded: signals and sessions as short normalised texts.

Two repositories with the same trouble must read alike, so paths, hashes, numbers, times and code are folded away. What
does not belong here: turning text into vectors (see embed) and deciding what a signal's description says (see signals).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import polars as pl

_PATH = re.compile(
    r"(?<![\w/.~-])(?:~|\.{1,2})?/?(?:[\w.@+-]+/)+[\w.@+-]*|(?<![\w./-])[\w-]+(?:\.[\w-]+)*\.[a-z]{1,5}\b",
    re.IGNORECASE,
)


@lru_cache(maxsize=8)
def _compiled(folds: tuple[tuple[str, str], ...]) -> tuple[tuple[re.Pattern[str], str], ...]:
    return tuple((re.compile(pattern, re.IGNORECASE), replacement) for pattern, replacement in folds)


def normalise(text: str, settings: Mapping[str, Any]) -> str:
    """The text as it is embedded: one lower-case line without what differs between repositories; never empty.

    `settings` is the `text` table of the `discovery` section. Applying it twice gives the same text.
    """
    known = frozenset(settings["known_files"])
    folds = _compiled(tuple((fold["pattern"], fold["replacement"]) for fold in settings["folds"]))
    previous, current = None, text.lower()
    for _ in range(4):
        if current == previous:
            break
        previous = current
        current = _fold_once(current, folds, known)
    return current[: settings["max_characters"]].strip() or settings["empty"]


def text_hash(text: str) -> str:
    """Content hash that decides whether a vector is still good."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def signal_texts(signals: pl.DataFrame, settings: Mapping[str, Any]) -> dict[str, str]:
    """signal_id -> text to embed, from the one-line description (which is redacted already)."""
    return {
        signal_id: normalise(description, settings)
        for signal_id, description in signals.select("signal_id", "description").iter_rows()
    }


def session_texts(turns: pl.DataFrame, settings: Mapping[str, Any]) -> dict[str, str]:
    """thread_id -> what the person was trying to do: their own messages in order, redacted; sessions without any are
    absent."""
    from codex_loop_assets.signals.redaction import redact

    spoken = turns.filter(pl.col("human") & (pl.col("user_message").str.strip_chars() != "")).sort(
        "thread_id", "run", "seq_start"
    )
    texts: dict[str, str] = {}
    for thread_id, messages in spoken.group_by("thread_id", maintain_order=True).agg("user_message").iter_rows():
        joined = "\n".join(
            message[: settings["max_characters"]] for message in messages[: settings["session_messages"]]
        )
        texts[thread_id] = normalise(redact(joined, thread_id), settings)
    return texts


def _fold_once(text: str, folds: tuple[tuple[re.Pattern[str], str], ...], known: frozenset[str]) -> str:
    url, rest = folds[:2], folds[2:]
    for pattern, replacement in url:
        text = pattern.sub(replacement, text)
    text = _PATH.sub(lambda match: _fold_path(match.group(), known), text)
    for pattern, replacement in rest:
        text = pattern.sub(replacement, text)
    return text.strip()


def _fold_path(path: str, known: frozenset[str]) -> str:
    """A path as its last part when that is a name with a meaning of its own, else as its kind of file."""
    name = path.rstrip("/").rsplit("/", 1)[-1]
    if name in known:
        return name
    suffix = name.rpartition(".")[2] if "." in name.strip(".") else ""
    return f"{suffix} file" if suffix.isalpha() else "path"
