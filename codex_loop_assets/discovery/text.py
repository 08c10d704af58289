"""What is embedded: signals and sessions as short normalised texts.

Two repositories with the same trouble must read alike, so paths, hashes, numbers, times and code are folded away. What
does not belong here: turning text into vectors (see embed) and deciding what a signal's description says (see signals).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import polars as pl

_PATH = re.compile(
    r"(?<![\w/.~-])(?:~|\.{1,2})?/?(?:[\w.@+-]+/)+[\w.@+-]*|(?<![\w./-])[\w-]+(?:\.[\w-]+)*\.[a-z]{1,5}\b",
    re.IGNORECASE,
)


def _pairs(rules: Sequence[Mapping[str, str]]) -> tuple[tuple[str, str], ...]:
    return tuple((rule["pattern"], rule["replacement"]) for rule in rules)


@lru_cache(maxsize=8)
def _compiled(folds: tuple[tuple[str, str], ...]) -> tuple[tuple[re.Pattern[str], str], ...]:
    return tuple((re.compile(pattern, re.IGNORECASE), replacement) for pattern, replacement in folds)


def normalise(text: str, settings: Mapping[str, Any]) -> str:
    """The text as it is embedded: one lower-case line without what differs between repositories; never empty.

    `settings` is the `text` table of the `discovery` section. Applying it twice gives the same text.
    """
    known = frozenset(settings["known_files"])
    folds = _compiled(_pairs(settings["folds"]))
    previous, current = None, text.lower()
    for _ in range(4):
        if current == previous:
            break
        previous = current
        current = _fold_once(current, folds, known)
    return current[: settings["max_characters"]].strip() or settings["empty"]


def substances(descriptions: Iterable[str], settings: Mapping[str, Any]) -> list[str]:
    """What each signal's description is about, without the words that only say its category."""
    frames = _compiled(_pairs(settings["frames"]))
    return [_without_frame(description, frames) for description in descriptions]


def _without_frame(description: str, frames: tuple[tuple[re.Pattern[str], str], ...]) -> str:
    for pattern, replacement in frames:
        description = pattern.sub(replacement, description)
    return description


def signal_texts(signals: pl.DataFrame, settings: Mapping[str, Any]) -> dict[str, str]:
    """signal_id -> text to embed, from the one-line description (which is redacted already) without its frame."""
    about = zip(signals["signal_id"], substances(signals["description"], settings), strict=True)
    return {signal_id: normalise(substance, settings) for signal_id, substance in about}


def session_texts(turns: pl.DataFrame, settings: Mapping[str, Any]) -> dict[str, str]:
    """thread_id -> what the person was trying to do: their messages in order, redacted; absent where nobody spoke."""
    from codex_loop_assets.signals.redaction import redact

    texts: dict[str, str] = {}
    for thread_id, messages in (
        _spoken(turns).group_by("thread_id", maintain_order=True).agg("user_message").iter_rows()
    ):
        joined = "\n".join(
            message[: settings["max_characters"]] for message in messages[: settings["session_messages"]]
        )
        texts[thread_id] = normalise(redact(joined, thread_id), settings)
    return texts


def opening_requests(turns: pl.DataFrame, settings: Mapping[str, Any]) -> Mapping[str, str]:
    """thread_id -> the person's first message, on one line, redacted: what was asked before anything went wrong."""
    first = _spoken(turns).group_by("thread_id", maintain_order=True).first()
    return _Requests(dict(first.select("thread_id", "user_message").iter_rows()), settings["request_characters"])


class _Requests(Mapping[str, str]):
    """Redacted as they are asked for: a day asks for those of a few clusters, and there is one in every session."""

    def __init__(self, messages: Mapping[str, str], length: int) -> None:
        self._messages = messages
        self._length = length

    def __getitem__(self, thread_id: str) -> str:
        from codex_loop_assets.signals.redaction import redact

        return " ".join(redact(self._messages[thread_id], thread_id).split())[: self._length]

    def __iter__(self) -> Iterator[str]:
        return iter(self._messages)

    def __len__(self) -> int:
        return len(self._messages)


def _spoken(turns: pl.DataFrame) -> pl.DataFrame:
    """Turns with words that a person typed, in order."""
    said = pl.col("human") & (pl.col("user_message").str.strip_chars() != "")
    return turns.filter(said).sort("thread_id", "run", "seq_start")


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
