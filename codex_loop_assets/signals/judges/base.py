"""What every judge shares: the transcript it reads, the result it gives, and the machine check of its evidence.

A judge finds what no mechanical rule can see, in the user's words and the course of a session. What belongs here: the
data that goes in and out, and the verification of citations. What does not: how a transcript is made (`transcript`),
how any one judge decides (`local`, `llm`, `baseline`), and which sessions are judged at all (`run`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    from codex_loop_assets.signals.model import SignalType
    from codex_loop_assets.signals.schema import SignalSchema

NOVEL = "novel"
"""Category of a finding that no category of the schema explains."""

Status = Literal["judged", "pending_batch", "deferred", "failed", "nothing_to_judge"]


@dataclass(frozen=True)
class TranscriptTurn:
    """One message and what followed it, until the next message.

    `agent_message` is what the agent said last before the next message ('' when it said nothing); `failed_tools` and
    `tools` count the calls made in between; the marks tell how the turn went (`undone`: an undo followed directly).
    `kind` and `human` are those of the `turns` table: only prompt and steer messages by a person are the user's words.
    """

    thread_id: str
    run: int
    seq_start: int
    seq_end: int
    user_message: str
    agent_message: str = ""
    turn_id: str | None = None
    occurred_at: datetime | None = None
    kind: str = "prompt"
    human: bool = True
    end_state: str = "unknown"
    tools: int = 0
    failed_tools: int = 0
    aborted: bool = False
    rolled_back: bool = False
    compacted: bool = False
    undone: bool = False

    @property
    def spoken(self) -> bool:
        """Whether the message holds a person's own words, which alone can be a moment of a semantic category."""
        return self.human and self.kind in ("prompt", "steer") and bool(self.user_message.strip())


@dataclass(frozen=True)
class Transcript:
    """A session as a judge reads it: its turns in order."""

    thread_id: str
    turns: tuple[TranscriptTurn, ...]

    @property
    def spoken_turns(self) -> tuple[TranscriptTurn, ...]:
        return tuple(turn for turn in self.turns if turn.spoken)

    def turn(self, run: int, seq_start: int) -> TranscriptTurn | None:
        """The turn that starts there, or None. `seq_start` alone is not enough: a resumed session may count anew."""
        return next((turn for turn in self.turns if (turn.run, turn.seq_start) == (run, seq_start)), None)


@dataclass(frozen=True)
class Finding:
    """A moment that a judge claims: where, what, and the user's words that show it.

    `type` counts for `novel` findings only: a category of the schema has its type there. `severity` is 1 mild, 2 clear,
    3 strong; `confidence` the probability that a careful reader would agree; `quote` a verbatim part of the user's
    message; `description` one English line for a reader who has not seen the session.
    """

    run: int
    seq_start: int
    category: str
    severity: int
    confidence: float
    description: str
    quote: str
    type: SignalType = "friction"


@dataclass(frozen=True)
class Usage:
    """What an answer cost: model calls made now, tokens, and dollars of the answer when it was bought."""

    calls: int = 0
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: float | None = None


@dataclass(frozen=True)
class JudgeResult:
    """A judge's answer about one session. Only `judged` carries findings; any other status needs a `reason`.

    `rejected` counts findings that the judge itself has already dropped for false evidence.
    """

    status: Status
    findings: tuple[Finding, ...] = ()
    rejected: int = 0
    reason: str | None = None
    usage: Usage = field(default_factory=Usage)
    model: str | None = None
    facets: Mapping[str, object] | None = None


class Judge(Protocol):
    """Reads one session. `name` is the `detector` column (local_judge, llm_judge), `version` its `detector_version`."""

    name: str
    version: str

    def judge(self, transcript: Transcript, schema: SignalSchema) -> JudgeResult:
        """Findings of one session under the given schema. May raise: the caller records a `failed` row."""
        ...


@runtime_checkable
class ManyJudge(Protocol):
    """A judge that prefers many sessions at once, for concurrency or batches."""

    def judge_many(self, transcripts: Sequence[Transcript], schema: SignalSchema) -> Mapping[str, JudgeResult]:
        """Results by thread id. A thread left out counts as failed."""
        ...


@runtime_checkable
class PartialJudge(Protocol):
    """A judge that does not look for every semantic category of a schema: what it leaves out is unknown, not absent."""

    def left_out(self, schema: SignalSchema) -> tuple[str, ...]:
        """Those categories, sorted."""
        ...


def verify(
    findings: Sequence[Finding], transcript: Transcript, schema: SignalSchema
) -> tuple[tuple[Finding, ...], int]:
    """Findings whose evidence exists, with the type the schema gives their category, and the number rejected.

    Rejected: a category that the schema does not give to judges (unknown, retired, mechanical), a turn that does not
    exist or holds no words of a person, a quotation that is empty or not part of that message (white space aside). Of
    several findings of one category about one turn the most confident is kept; the others say the same and are not
    counted as rejected.
    """
    kept: dict[tuple[int, int, str], Finding] = {}
    rejected = 0
    for finding in findings:
        category, kind = _category(finding, schema)
        turn = transcript.turn(finding.run, finding.seq_start)
        if kind is None or turn is None or not turn.spoken or not _quoted(finding.quote, turn.user_message):
            rejected += 1
            continue
        place = (finding.run, finding.seq_start, category)
        if place not in kept or kept[place].confidence < finding.confidence:
            severity = min(3, max(1, finding.severity))
            confidence = min(1.0, max(0.0, finding.confidence))
            kept[place] = replace(finding, category=category, type=kind, severity=severity, confidence=confidence)
    return tuple(kept.values()), rejected


def _category(finding: Finding, schema: SignalSchema) -> tuple[str, SignalType | None]:
    """The canonical name of the finding's category and its type; no type where a judge may not claim it."""
    if finding.category == NOVEL:
        return NOVEL, finding.type if finding.type in ("friction", "delight") else None
    category = schema.resolve(finding.category)
    judged = category is not None and category.status != "retired" and category.detector == "semantic"
    return (category.name, category.type) if category is not None and judged else (finding.category, None)


def _quoted(quote: str, message: str) -> bool:
    words = " ".join(quote.split())
    return bool(words) and words in " ".join(message.split())
