"""From answers to findings: every cited turn and quotation must exist in what the model was shown.

The model reads redacted text; its quotations are found again in the user's own words, so that evidence points to them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from codex_loop_assets.signals.judges.base import NOVEL, Finding
from codex_loop_assets.signals.judges.llm.exchange import Answered, AnsweredFinding
from codex_loop_assets.signals.judges.llm.windows import Window
from codex_loop_assets.signals.redaction import redact

_PLACEHOLDER = re.compile(r"\[secret:[a-z_]+:[0-9a-f]+\]|\[user\]")
_HIDDEN_CHARACTERS = 4000


def findings(
    window: Window, answers: Sequence[Answered], wanted: Mapping[str, str], confidence: Mapping[str, float]
) -> tuple[list[Finding], int]:
    """Findings of all answers about one window, oldest first, and how many claims were rejected.

    A claim about a category that is no longer wanted in that version is old, not false: it is left out uncounted. So is
    a novel one about a message that a category added later explains.
    """
    kept: list[Finding] = []
    rejected = 0
    explained = {
        claim.turn for answered in answers if NOVEL not in answered.asked for claim in answered.answer.findings
    }
    for answered in answers:
        for claim in answered.answer.findings:
            if claim.category not in answered.asked:
                rejected += 1
                continue
            if wanted.get(claim.category) != answered.asked[claim.category]:
                continue
            if claim.category == NOVEL and claim.turn in explained:
                continue
            finding = _verified(claim, window, confidence)
            if finding is None:
                rejected += 1
            else:
                kept.append(finding)
    return kept, rejected


def _verified(claim: AnsweredFinding, window: Window, confidence: Mapping[str, float]) -> Finding | None:
    turn = window.turns.get(claim.turn)
    if turn is None or not turn.spoken or not claim.description.strip():
        return None
    quote = original_quote(claim.quote, turn.user_message, turn.thread_id)
    if quote is None:
        return None
    return Finding(
        run=turn.run,
        seq_start=turn.seq_start,
        category=claim.category,
        type=claim.type,
        severity=claim.severity,
        confidence=confidence[claim.confidence],
        description=claim.description,
        quote=quote,
    )


def original_quote(quote: str, message: str, thread_id: str) -> str | None:
    """The part of `message` that a quotation from its redacted form stands for; None where there is none.

    White space may differ. A placeholder stands for the text it hid; a quotation of nothing but placeholders shows
    nothing.
    """
    redacted = " ".join(redact(message, thread_id).split())
    for spelling in (quote, quote.replace("\\u003c", "<").replace("\\u003e", ">")):
        words = " ".join(spelling.split())
        if words and words in redacted and re.search(r"\w", _PLACEHOLDER.sub("", words)):
            found = re.search(_pattern(words), message, re.DOTALL)
            if found is not None:
                return found.group(0)
    return None


def _pattern(words: str) -> str:
    pieces = _PLACEHOLDER.split(words)
    hidden = f".{{1,{_HIDDEN_CHARACTERS}}}?"
    return hidden.join(re.escape(piece).replace(r"\ ", r"\s+") for piece in pieces)
