"""What a call costs: afterwards from its tokens, and at worst before it is made, by the section `prices`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import date
from typing import Any

from codex_loop_assets.signals.judges.llm.exchange import Request, Tokens

_DATE = re.compile(r"-\d{4}-\d{2}-\d{2}$")
_PER = 1_000_000


class UnknownPrice(LookupError):
    """No price is configured for a model, so the cost of a call cannot be bounded."""


def outdated(settings: Mapping[str, Any], today: date) -> str | None:
    """A warning when the prices were compared with their source too long ago; None while they are fresh."""
    age = (today - settings["read"]).days
    if age <= settings["stale_after_days"]:
        return None
    return (
        f"model prices were read {age} days ago ({settings['read']}, {settings['source']}) and may have changed: compare "
        "them, and set [prices] read = a newer date (and what changed) in config.toml"
    )


class Prices:
    """Dollars per call by the section `prices`."""

    def __init__(self, settings: Mapping[str, Any]):
        self._settings = settings

    def cost(self, model: str, tokens: Tokens, batch: bool) -> float:
        """Dollars for these tokens. Raises UnknownPrice."""
        price = self._price(model)
        fresh = max(0, tokens.input - tokens.cached)
        dollars = fresh * price["input"] + tokens.cached * price["cached_input"] + tokens.output * price["output"]
        return dollars / _PER * self._factor(batch)

    def worst(self, request: Request, batch: bool) -> float:
        """Dollars that the call cannot exceed: as many tokens as its text has bytes, and the longest answer allowed.

        Raises UnknownPrice.
        """
        return self.cost(request.body["model"], self._tokens(request, "least_bytes_per_token", 1.0), batch)

    def typical(self, request: Request, batch: bool) -> float:
        """Dollars that such a call usually costs: an estimate. Raises UnknownPrice."""
        return self.cost(request.body["model"], self.typical_tokens(request), batch)

    def typical_tokens(self, request: Request) -> Tokens:
        """Tokens that such a call usually takes: an estimate."""
        return self._tokens(request, "typical_bytes_per_token", self._settings["typical_share_of_output"])

    def _tokens(self, request: Request, bytes_per_token: str, share_of_output: float) -> Tokens:
        size = len(json.dumps(request.body, ensure_ascii=False).encode("utf-8", "surrogatepass"))
        return Tokens(
            input=int(size / self._settings[bytes_per_token]) + self._settings["overhead_tokens"],
            output=int(request.body["max_output_tokens"] * share_of_output),
        )

    def _price(self, model: str) -> Mapping[str, float]:
        models = self._settings["models"]
        price = models.get(model) or models.get(_DATE.sub("", model))
        if price is None:
            raise UnknownPrice(f"no price for model {model!r}: set [prices.models.{json.dumps(model)}] in config.toml")
        return price

    def _factor(self, batch: bool) -> float:
        return self._settings["batch_factor"] if batch else 1.0
