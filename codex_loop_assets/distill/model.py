"""Questions to a language model about a task: within the judge's daily budget, by its way of asking, and each paid for once.

What belongs here: asking and keeping. What is asked, and what an answer is worth, is `llm_check`'s and `llm_instruction`'s.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codex_loop_assets.signals.judges.llm.accounting import Accounting
from codex_loop_assets.signals.judges.llm.cache import AnswerCache
from codex_loop_assets.signals.judges.llm.exchange import (
    NotAnswered,
    Request,
    Tokens,
    UnusableAnswer,
    content_hash,
    read_tokens,
)
from codex_loop_assets.signals.judges.llm.governor import Governor
from codex_loop_assets.signals.judges.llm.prices import Prices
from codex_loop_assets.signals.judges.llm.synchronous import Synchronous

if TYPE_CHECKING:
    from openai import OpenAI


class NoAnswer(ValueError):
    """There is no answer: no budget, no call left, or nothing usable came back; the message says which."""


class Model:
    """A model that answers in a form. Answers lie with the judge's, so that forgetting a thread forgets them too."""

    def __init__(
        self,
        directory: Path,
        client: Callable[[], OpenAI],
        settings: Mapping[str, Any],
        judge: Mapping[str, Any],
        prices: Mapping[str, Any],
    ) -> None:
        """directory: where the judge keeps its ledger and answers. settings, judge, prices: the `distill.llm` part and the sections
        `llm_judge` and `prices`."""
        self._settings = settings
        self._cache = AnswerCache(directory / "answers")
        governor = Governor(directory / "spending.jsonl", judge["daily_budget_usd"], purpose="tasks")
        books = _Books(self._cache, governor, Prices(prices), lambda: datetime.now(UTC))
        self._way = Synchronous(client, books, judge)
        self.name: str = settings["model"]
        self.calls = 0

    def ask(self, thread_id: str, prompt: str, data: Mapping[str, Any], fields: tuple[str, ...]) -> dict[str, str]:
        """The answer's text by field, to the packaged prompt of that name about `data` (already redacted). Raises NoAnswer."""
        request = self._request(thread_id, prompt, data, fields)
        kept = self._cache.text(request)
        if kept is None:
            if self.calls >= self._settings["maximum_calls"]:
                raise NoAnswer(f"the run's {self.calls} calls of a model are used up")
            self.calls += 1
            outcome = self._way.ask([request])[request.key]
            if isinstance(outcome, NotAnswered):
                raise NoAnswer(f"the model gave no answer: {outcome.reason}")
            kept = self._cache.text(request) or ""
        return _answer(kept, fields)

    def _request(self, thread_id: str, prompt: str, data: Mapping[str, Any], fields: tuple[str, ...]) -> Request:
        text = (resources.files("codex_loop_assets") / "config" / "prompts" / f"{prompt}.md").read_text("utf-8")
        schema = {
            "type": "object",
            "properties": {field: {"type": "string"} for field in fields},
            "required": list(fields),
            "additionalProperties": False,
        }
        effort = self._settings["reasoning_effort"]
        body = {
            "model": self._settings["model"],
            "instructions": text,
            "input": json.dumps(data, ensure_ascii=False, sort_keys=True),
            "text": {"format": {"type": "json_schema", "name": prompt, "strict": True, "schema": schema}},
            "max_output_tokens": self._settings["max_output_tokens"],
            "store": False,
            **({"reasoning": {"effort": effort}} if effort else {}),
        }
        return Request(thread_id, f"distill-{prompt}", content_hash(body), {}, body)


class _Books(Accounting):
    """Books an answer as the judge's are, and keeps its text: what was paid for is never lost."""

    def book(
        self, request: Request, body: Mapping[str, Any], reservation: str, worst: float, batch: bool = False
    ) -> Any:
        model = body.get("model") or request.body["model"]
        tokens = read_tokens(body)
        cost = self._cost(model, request.body["model"], tokens, batch, worst)
        try:
            text = _text(body)
            _answer(text, tuple(request.body["text"]["format"]["schema"]["required"]))
        except (UnusableAnswer, NoAnswer) as error:
            self.cache.put_unusable(request, str(error))
            self.governor.settle(reservation, cost, model, tokens)
            return NotAnswered("failed", str(error), calls=1, cost_usd=cost)
        self.cache.put_text(request, text)
        self.governor.settle(reservation, cost, model, tokens or Tokens())
        return text


def _text(body: Mapping[str, Any]) -> str:
    """What the model wrote. Raises UnusableAnswer for a refusal or an answer that was cut off."""
    if body.get("status") != "completed":
        raise UnusableAnswer(f"the answer is {body.get('status') or 'of no status'}")
    parts = [part for item in body.get("output") or [] for part in item.get("content") or []]
    if any(part.get("type") == "refusal" for part in parts):
        raise UnusableAnswer("the model refused")
    return "".join(part.get("text") or "" for part in parts if part.get("type") == "output_text")


def _answer(text: str, fields: tuple[str, ...]) -> dict[str, str]:
    try:
        answer = json.loads(text)
        return {field: str(answer[field]) for field in fields}
    except (ValueError, KeyError, TypeError) as error:
        raise NoAnswer("the answer is not in the form asked for") from error
