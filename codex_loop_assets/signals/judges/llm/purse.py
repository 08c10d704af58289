"""Money for single questions that are not the judge's, from the same ledger and the same daily budget.

What belongs here: reserving before a call and booking after it. What does not: the budget (`governor`), prices (`prices`),
asking.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from codex_loop_assets.signals.judges.llm.exchange import Request, Tokens
from codex_loop_assets.signals.judges.llm.governor import Governor
from codex_loop_assets.signals.judges.llm.prices import Prices


@dataclass(frozen=True)
class Reserved:
    """Money set aside for one question: its name in the ledger, the model, and the dollars it cannot exceed."""

    name: str
    model: str
    worst: float


class Purse:
    """Pays for questions to a model as long as the day's budget lasts."""

    def __init__(self, governor: Governor, prices: Prices):
        self._governor = governor
        self._prices = prices

    def reserve(self, body: Mapping[str, Any], tries: int = 1) -> Reserved | None:
        """Set aside what the question (with `model`, `max_output_tokens` and all text that is sent) can cost at worst in so
        many tries; None where it does not fit into the day's budget. Raises UnknownPrice."""
        worst = tries * self._prices.worst(Request("", "", "", {}, body), batch=False)
        reserved = Reserved(f"question:{uuid.uuid4().hex}", body["model"], worst)
        return reserved if self._governor.reserve([(reserved.name, worst)])[0] else None

    def pay(self, reserved: Reserved, tokens: Tokens | None) -> float:
        """Book what the answer took, in dollars; the worst where it does not say, or may have been made and never
        arrived."""
        cost = self._prices.cost(reserved.model, tokens, batch=False) if tokens is not None else reserved.worst
        self._governor.settle(reserved.name, cost, reserved.model, tokens)
        return cost

    def give_back(self, reserved: Reserved) -> None:
        """The provider refused the question: it charges nothing."""
        self._governor.release(reserved.name)
