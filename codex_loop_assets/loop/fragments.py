"""The run of words that most texts share: what names a problem when no two records say it in quite the same way.

What belongs here: finding common fragments of short texts. What does not: which texts (`evidence`), what is made of the
fragment (`advice`).

Messages about one problem differ in names, numbers and paths; what they have in common is a piece of the line, which can
be counted literally, in the frames as in the catalogue.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping

_WORD = re.compile(r"\S+")
_EDGE = " \t.,;:!?()[]{}<>\"'`=-–—…*#|/"
_LETTERS = re.compile(r"[^\W\d_]{4,}")


def shared_fragments(texts: Iterable[tuple[str, str]], settings: Mapping) -> list[str]:
    """Fragments that texts of several sessions share, the most telling first.

    `texts` are (thread_id, text of one line); a fragment is counted once per session. A fragment has `words` (fewest,
    most) words, at least `characters` characters, two words of which one is not empty (`empty_words`: they point at
    something and name nothing), and ends in no word of `edge_words`. Those that nearly as many sessions share as the most
    frequent one (`nearly`, a share) come first; among them the one that says most in most sessions (characters times
    sessions): the message itself, not the few words that half of the sessions have behind it.
    """
    sessions: dict[str, set[str]] = defaultdict(set)
    for thread, text in texts:
        for fragment in _fragments(text, settings):
            sessions[fragment].add(thread)
    counts = {fragment: len(threads) for fragment, threads in sessions.items() if len(threads) >= 2}
    if not counts:
        return []
    close = settings["nearly"] * max(counts.values())
    return sorted(counts, key=lambda name: (counts[name] < close, -len(name) * counts[name], -len(name), name))


def _fragments(text: str, settings: Mapping) -> set[str]:
    fewest, most = settings["words"]
    empty = frozenset(settings["empty_words"])
    places = [match.span() for match in _WORD.finditer(text[: settings["line"]])]
    found = set()
    for first in range(len(places)):
        for last in range(first + fewest - 1, min(first + most, len(places))):
            piece = text[places[first][0] : places[last][1]]
            if len(piece) < len(text):
                piece = _trimmed(piece, settings["edge_words"])
            words = _LETTERS.findall(piece)
            if len(piece) >= settings["characters"] and len(words) >= 2 and any(w.lower() not in empty for w in words):
                found.add(piece)
    return found


def _trimmed(piece: str, edge_words: Iterable[str]) -> str:
    """The piece without punctuation and small words at its ends, which belong to what differs."""
    while True:
        before, piece = piece, piece.strip(_EDGE)
        words = piece.split()
        if words and words[-1].lower() in edge_words:
            piece = piece[: piece.rindex(words[-1])]
        elif words and words[0].lower() in edge_words:
            piece = piece[piece.index(words[0]) + len(words[0]) :]
        if piece == before or not piece:
            return piece
