"""Put placeholders where detectors claim text. Equal text, thread and salt give the equal result in any process."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import cache
from hashlib import blake2b
from typing import Any

from codex_loop_assets.settings import section
from codex_loop_assets.signals.redaction.detectors import Claim, Detector, load_detectors

PLACEHOLDER = re.compile(r"\[secret:[a-z_]+:[0-9a-f]+\]|\[user\]")


class Redactor:
    """Replaces secrets, e-mail addresses and user names by placeholders.

    The same secret in the same thread has the same placeholder `[secret:<kind>:<tag>]`. The tag is a short hash keyed
    by the thread, so that placeholders of two threads cannot be linked, and too short to be a way back to the secret.
    """

    def __init__(self, settings: Mapping[str, Any], salt: str = ""):
        import ahocorasick_rs

        self._salt = salt
        self._tag_digits = settings["tag_digits"]
        self._max_rounds = settings["max_rounds"]
        by_anchor: dict[str, list[Detector]] = defaultdict(list)
        detectors = load_detectors(settings)
        self._detector_count = len(detectors)
        for detector in detectors:
            for anchor in detector.anchors:
                by_anchor[anchor].append(detector)
        self._detectors = list(by_anchor.values())
        self._anchors = ahocorasick_rs.AhoCorasick(list(by_anchor), implementation=ahocorasick_rs.Implementation.DFA)

    def redact(self, text: str, thread_id: str = "") -> str:
        """`text` with placeholders; unchanged where there is nothing to hide. Redacting twice changes nothing more."""
        for _ in range(self._max_rounds):
            claims = self._claims(text)
            if not claims:
                return text
            text = self._replace(text, claims, thread_id)
        return text

    def _claims(self, text: str) -> list[Claim]:
        try:
            hits = self._anchors.find_matches_as_indexes(text, overlapping=True)
        except UnicodeEncodeError:
            # Lone surrogates, which JSON can spell, have no UTF-8 form; one character for one keeps offsets right.
            hits = self._anchors.find_matches_as_indexes(re.sub(r"[\ud800-\udfff]", "\ufffd", text), overlapping=True)
        found: list[Claim] = []
        claimed_to = [0] * self._detector_count
        for anchor, start, _ in hits:
            for detector in self._detectors[anchor]:
                # An anchor inside what its own detector has claimed already brings nothing new.
                if start >= claimed_to[detector.order]:
                    for claim in detector.claims(text, start):
                        found.append(claim)
                        claimed_to[detector.order] = claim.end
        return _without_overlaps(found, text) if found else []

    def _replace(self, text: str, claims: list[Claim], thread_id: str) -> str:
        parts, position = [], 0
        for claim in claims:
            parts += (text[position : claim.start], claim.placeholder or self._placeholder(claim, text, thread_id))
            position = claim.end
        return "".join([*parts, text[position:]])

    def _placeholder(self, claim: Claim, text: str, thread_id: str) -> str:
        key = blake2b(f"{self._salt}\0{thread_id}".encode("utf-8", "surrogatepass")).digest()
        secret = text[claim.start : claim.end].encode("utf-8", "surrogatepass")
        tag = blake2b(secret, key=key, digest_size=16).hexdigest()[: self._tag_digits]
        return f"[secret:{claim.kind}:{tag}]"


def redact(text: str, thread_id: str = "") -> str:
    """`text` as it may leave the tables, by the packaged settings. See Redactor."""
    return _packaged().redact(text, thread_id)


def redact_many(texts: Iterable[str | None], thread_ids: Iterable[str]) -> list[str | None]:
    """`redact` over columns of equal length; a null stays null."""
    packaged = _packaged()
    return [
        None if text is None else packaged.redact(text, thread_id)
        for text, thread_id in zip(texts, thread_ids, strict=True)
    ]


@cache
def _packaged() -> Redactor:
    return Redactor(section("redaction"))


def _without_overlaps(claims: list[Claim], text: str) -> list[Claim]:
    """Claims in text order; overlapping ones united under the name of the first detector; earlier placeholders left."""
    taken = [match.span() for match in PLACEHOLDER.finditer(text)]
    result: list[Claim] = []
    for claim in sorted(claims, key=lambda claim: (claim.start, claim.order)):
        following = bisect_left(taken, claim.end, key=lambda span: span[0])
        if following and taken[following - 1][1] > claim.start:
            continue
        if result and claim.start < result[-1].end:
            last = result[-1]
            first = min(last, claim, key=lambda claim: claim.order)
            result[-1] = Claim(last.start, max(last.end, claim.end), first.kind, first.order, first.placeholder)
        else:
            result.append(claim)
    return result
