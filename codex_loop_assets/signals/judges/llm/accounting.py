"""What becomes of a response that was paid for, whichever way it came: settled in the ledger, kept in the cache."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from codex_loop_assets.signals.judges.llm.cache import AnswerCache
from codex_loop_assets.signals.judges.llm.exchange import (
    Answered,
    NotAnswered,
    Outcome,
    Request,
    Tokens,
    UnusableAnswer,
    read_response,
    read_tokens,
)
from codex_loop_assets.signals.judges.llm.governor import Governor
from codex_loop_assets.signals.judges.llm.prices import Prices, UnknownPrice


class Accounting:
    """Books responses. The answer is kept before the ledger is settled: what was paid for is never lost."""

    def __init__(self, cache: AnswerCache, governor: Governor, prices: Prices, clock: Callable[[], datetime]):
        self.cache = cache
        self.governor = governor
        self.prices = prices
        self._clock = clock

    def book(
        self, request: Request, body: Mapping[str, Any], reservation: str, worst: float, batch: bool = False
    ) -> Outcome:
        """Book one Responses API object that answers `request` under `reservation`.

        Without a usage in it, `worst` dollars are booked: the cost is not known to have been less.
        """
        model = body.get("model") or request.body.get("model") or "unknown"
        tokens = read_tokens(body)
        cost = self._cost(model, request.body.get("model"), tokens, batch, worst)
        try:
            answered = Answered(read_response(body), request.asked, model, tokens or Tokens(), cost, calls=1)
        except UnusableAnswer as error:
            self.cache.put_unusable(request, str(error))
            self.governor.settle(reservation, cost, model, tokens)
            return NotAnswered("failed", str(error), calls=1, cost_usd=cost)
        self.cache.put(request, answered, self._clock().isoformat())
        self.governor.settle(reservation, cost, model, tokens)
        return answered

    def share(self, request: Request, answered: Answered) -> Answered:
        """Keep an answer that another thread has paid for: this one had the very same question."""
        free = replace(answered, tokens=Tokens(), cost_usd=0.0, calls=0)
        self.cache.put(request, free, self._clock().isoformat())
        return free

    def _cost(self, model: str, asked_model: str | None, tokens: Tokens | None, batch: bool, worst: float) -> float:
        if tokens is None:
            return worst
        for name in (model, asked_model):
            try:
                return self.prices.cost(name, tokens, batch) if name else worst
            except UnknownPrice:
                continue
        return worst
