"""LlmJudge: which questions a session still needs, and what the answers make of it.

What belongs here: the course from sessions to results. What does not: wording, sending, money, truth.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codex_loop_assets.settings import section
from codex_loop_assets.signals.judges.base import JudgeResult, Transcript, Usage
from codex_loop_assets.signals.judges.llm.accounting import Accounting
from codex_loop_assets.signals.judges.llm.batch import BatchClient
from codex_loop_assets.signals.judges.llm.cache import AnswerCache
from codex_loop_assets.signals.judges.llm.citations import findings
from codex_loop_assets.signals.judges.llm.exchange import Answered, NotAnswered, Outcome, Request
from codex_loop_assets.signals.judges.llm.governor import Governor
from codex_loop_assets.signals.judges.llm.prices import Prices
from codex_loop_assets.signals.judges.llm.prompt import question, wanted, window_key, wording_version
from codex_loop_assets.signals.judges.llm.synchronous import Synchronous
from codex_loop_assets.signals.judges.llm.windows import Window, windows
from codex_loop_assets.signals.schema import SignalSchema

if TYPE_CHECKING:
    from openai import OpenAI

# A session is unjudged for the gravest reason any of its questions gives.
_GRAVITY = ("failed", "deferred", "pending_batch")

_Outcomes = dict[tuple[str, str], Outcome]
"""By thread id and request key."""


@dataclass(frozen=True)
class Estimate:
    """What judging would take: sessions, those that need no call, calls, and tokens (usual) and dollars (usual and at
    worst)."""

    sessions: int
    answered: int
    calls: int
    input_tokens: int
    output_tokens: int
    typical_usd: float
    worst_usd: float


@dataclass(frozen=True)
class _Part:
    """One window of a session: the answers it has, and the question it still needs."""

    window: Window
    known: list[Answered]
    request: Request | None


class LlmJudge:
    """A judge of `judge_day`. Answers are bought once: judging again what has not changed makes no call."""

    name = "llm_judge"

    def __init__(
        self,
        settings: Mapping[str, Any],
        accounting: Accounting,
        synchronous: Synchronous,
        batches: BatchClient,
    ):
        self._settings = settings
        self._accounting = accounting
        self._synchronous = synchronous
        self._batches = batches
        self.version = f"llm-{wording_version()}"

    def judge(self, transcript: Transcript, schema: SignalSchema) -> JudgeResult:
        """One session; see judge_many."""
        return self.judge_many([transcript], schema)[transcript.thread_id]

    def judge_many(self, transcripts: Sequence[Transcript], schema: SignalSchema) -> dict[str, JudgeResult]:
        """Results by thread id: from the cache where it holds the answers, else asked for now or by batch."""
        if self._batches.in_flight():
            self._batches.collect()
        sessions = {transcript.thread_id: self._parts(transcript, schema) for transcript in transcripts}
        open_requests = [part.request for parts in sessions.values() for part in parts if part.request]
        outcomes = self._ask(open_requests)
        names = wanted(schema)
        return {thread_id: self._result(parts, outcomes, names) for thread_id, parts in sessions.items()}

    def collect(self) -> set[str]:
        """Take in batches that have ended: thread ids whose days are worth judging again. For a polling sensor."""
        return self._batches.collect() if self._batches.in_flight() else set()

    def waiting(self) -> set[str]:
        """Thread ids that wait for a batch. A day with a `pending_batch` row of any other thread is to be judged again:
        its answer is here, or its question has to be sent once more."""
        return self._batches.waiting()

    def estimate(self, transcripts: Sequence[Transcript], schema: SignalSchema) -> Estimate:
        """What judging these sessions would cost now. Makes no call. Raises UnknownPrice."""
        batch = self._settings["mode"] == "batch"
        sessions = [self._parts(transcript, schema) for transcript in transcripts]
        requests = {part.request.key: part.request for parts in sessions for part in parts if part.request}.values()
        prices = self._accounting.prices
        tokens = [prices.typical_tokens(request) for request in requests]
        return Estimate(
            sessions=len(sessions),
            answered=sum(all(part.request is None for part in parts) for parts in sessions),
            calls=len(requests),
            input_tokens=sum(each.input for each in tokens),
            output_tokens=sum(each.output for each in tokens),
            typical_usd=sum(prices.typical(request, batch) for request in requests),
            worst_usd=sum(prices.worst(request, batch) for request in requests),
        )

    def budget_left(self) -> float:
        """Dollars that may still be reserved today."""
        return self._accounting.governor.left()

    def forget(self, thread_id: str) -> bool:
        """Remove every answer about a thread, also those still under way. True when any was kept here."""
        self._batches.forget(thread_id)
        return self._accounting.cache.forget(thread_id)

    def _parts(self, transcript: Transcript, schema: SignalSchema) -> list[_Part]:
        names = wanted(schema)
        parts = []
        for window in windows(transcript, self._settings):
            key = window_key(window, self._settings)
            known = self._accounting.cache.answers(transcript.thread_id, key)
            answered = {pair for answer in known for pair in answer.asked.items()}
            missing = {name: version for name, version in names.items() if (name, version) not in answered}
            request = question(transcript.thread_id, window, missing, schema, self._settings) if missing else None
            parts.append(_Part(window, known, request))
        return parts

    def _ask(self, requests: Sequence[Request]) -> _Outcomes:
        """Outcomes by thread and request key. Threads with the very same question share one answer."""
        if self._settings["mode"] == "batch":
            by_key = self._batches.submit(requests)
        else:
            by_key = self._ask_now({request.key: request for request in reversed(requests)})
        outcomes: _Outcomes = {}
        seen: set[str] = set()
        for request in requests:
            outcome = by_key[request.key]
            if request.key in seen:
                outcome = (
                    self._accounting.share(request, outcome)
                    if isinstance(outcome, Answered)
                    else replace(outcome, calls=0, cost_usd=0.0)
                )
            seen.add(request.key)
            outcomes[request.thread_id, request.key] = outcome
        return outcomes

    def _ask_now(self, requests: Mapping[str, Request]) -> dict[str, Outcome]:
        """Outcomes by request key. What is already under way in a batch is not bought again."""
        under_way = self._batches.in_flight()
        waiting = {key: NotAnswered("pending_batch", under_way[key]) for key in requests if key in under_way}
        return waiting | self._synchronous.ask([requests[key] for key in reversed(requests) if key not in under_way])

    def _result(
        self, parts: Sequence[_Part], outcomes: Mapping[tuple[str, str], Outcome], names: Mapping[str, str]
    ) -> JudgeResult:
        bought = [outcomes[part.request.thread_id, part.request.key] for part in parts if part.request]
        missing = [outcome for outcome in bought if isinstance(outcome, NotAnswered)]
        answered = [answer for part in parts for answer in _answers(part, outcomes)]
        usage = Usage(
            calls=sum(outcome.calls for outcome in bought),
            input_tokens=sum(answer.tokens.input for answer in answered),
            output_tokens=sum(answer.tokens.output for answer in answered),
            cost_usd=sum(answer.cost_usd for answer in answered) + sum(outcome.cost_usd for outcome in missing),
        )
        if missing:
            worst = min(missing, key=lambda outcome: _GRAVITY.index(outcome.status))
            reason = f"{len(missing)} of {len(parts)} questions unanswered: {worst.reason}"
            return JudgeResult(worst.status, reason=reason, usage=usage)
        kept, rejected = [], 0
        for part in parts:
            found, refused = findings(part.window, _answers(part, outcomes), names, self._settings["confidence"])
            kept += found
            rejected += refused
        model = answered[-1].model if answered else self._settings["model"]
        return JudgeResult("judged", tuple(kept), rejected, usage=usage, model=model, facets=_facets(answered))


def open_llm_judge(
    directory: Path,
    client: Callable[[], OpenAI],
    settings: Mapping[str, Any] | None = None,
    prices: Mapping[str, Any] | None = None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> LlmJudge:
    """The judge of one home. It keeps its answers, ledger and batches under `directory`, to be shared by all processes.

    `client` makes the OpenAI client, and is called only when there is something to ask; `settings` and `prices` are the
    sections `llm_judge` and `prices`; `clock` gives the real time (UTC), which decides the day of the budget.
    """
    settings = section("llm_judge") if settings is None else settings
    accounting = Accounting(
        AnswerCache(directory / "answers"),
        Governor(directory / "spending.jsonl", settings["daily_budget_usd"], clock),
        Prices(section("prices") if prices is None else prices),
        clock,
    )
    return LlmJudge(
        settings,
        accounting,
        Synchronous(client, accounting, settings),
        BatchClient(directory / "batches", client, accounting, settings, clock),
    )


def _answers(part: _Part, outcomes: _Outcomes) -> list[Answered]:
    outcome = outcomes.get((part.request.thread_id, part.request.key)) if part.request else None
    return [*part.known, outcome] if isinstance(outcome, Answered) else part.known


def _facets(answers: Sequence[Answered]) -> dict[str, Any] | None:
    """Facets of the whole session from those of its windows: the aim of the first, the outcome of the last."""
    found = [answered.answer.facets for answered in answers if answered.answer.facets is not None]
    if not found:
        return None
    return {
        "intent": found[0].intent,
        "languages": sorted({name.lower() for facets in found for name in facets.languages}),
        "frameworks": sorted({name.lower() for facets in found for name in facets.frameworks}),
        "outcome": found[-1].outcome,
        "abstract": found[0].abstract,
    }
