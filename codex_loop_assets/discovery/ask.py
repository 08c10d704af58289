"""Short structured questions to a model, each bought once: the answer is kept by the content of the question.

Text from traces goes in as escaped JSON data, never into the instructions. A failed or unaffordable question gets no
answer, and whoever asked goes on without. What does not belong here: what is asked (label_llm, draft_llm).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from codex_loop_assets.signals.judges.llm.exchange import Tokens
from codex_loop_assets.signals.judges.llm.prices import UnknownPrice
from codex_loop_assets.signals.judges.llm.purse import Purse, Reserved

if TYPE_CHECKING:
    from openai.types.responses import ResponseUsage

Form = TypeVar("Form", bound=BaseModel)


class Asker:
    """Questions to one model at OPENAI_BASE_URL. `settings`: the `model` table of the `discovery` section; `answers`:
    the directory that keeps what was bought; `purse` pays, within the day's budget (without one nobody keeps account)."""

    def __init__(
        self,
        settings: Mapping[str, Any],
        answers: Path,
        environment: Mapping[str, str] = os.environ,
        purse: Purse | None = None,
    ) -> None:
        from openai import OpenAI

        self.name: str = settings["name"]
        self.calls = 0
        self.tokens = 0
        # Why questions got no answer, without words of any text: Dagster keeps these.
        self.failures: list[str] = []
        self._told = 0
        self._settings = settings
        self._answers = answers
        self._purse = purse
        self._client = OpenAI(
            api_key=environment["OPENAI_API_KEY"],
            base_url=environment.get("OPENAI_BASE_URL") or None,
            timeout=settings["timeout_seconds"],
            max_retries=settings["max_retries"],
        )

    def ask(self, prompt: str, data: Mapping[str, Any], form: type[Form]) -> Form | None:
        """The answer to the packaged prompt of that name about `data` (already redacted), or None."""
        instructions = (resources.files("codex_loop_assets") / "config" / "prompts" / f"{prompt}.md").read_text("utf-8")
        question = json.dumps(data, sort_keys=True)
        content = json.dumps([self.name, instructions, question, form.model_json_schema()], sort_keys=True)
        path = self._answers / f"{hashlib.sha256(content.encode()).hexdigest()}.json"
        if path.is_file():
            return form.model_validate_json(path.read_text("utf-8"))
        if self.calls >= self._settings["maximum_calls"]:
            self.failures.append(f"{prompt}: the run's {self.calls} calls are used up")
            return None
        answer = self._bought(prompt, instructions, question, form)
        if answer is not None:
            self._answers.mkdir(parents=True, exist_ok=True)
            part = path.with_suffix(f".{os.getpid()}.part")
            part.write_text(answer.model_dump_json(), "utf-8")
            part.replace(path)
        return answer

    def unanswered(self) -> dict[str, int]:
        """Why how many questions got no answer since this was asked last; whoever asked went on with local words."""
        counts = dict(sorted(Counter(self.failures[self._told :]).items()))
        self._told = len(self.failures)
        return counts

    def _bought(self, prompt: str, instructions: str, question: str, form: type[Form]) -> Form | None:
        """The answer, paid for from the purse; None (and a failure noted) where it is not to be had."""
        reserved = None
        if self._purse is not None:
            form_text = json.dumps(form.model_json_schema())
            body = {
                "model": self.name,
                "instructions": instructions,
                "input": question + form_text,
                "max_output_tokens": self._settings["max_output_tokens"],
            }
            try:
                reserved = self._purse.reserve(body, tries=1 + self._settings["max_retries"])
            except UnknownPrice as error:
                self.failures.append(f"{prompt}: {error}")
                return None
            if reserved is None:
                self.failures.append(f"{prompt}: the day's budget for models is used up")
                return None
        self.calls += 1
        return self._sent(prompt, instructions, question, form, reserved)

    def _sent(
        self, prompt: str, instructions: str, question: str, form: type[Form], reserved: Reserved | None
    ) -> Form | None:
        from openai import APIStatusError, OpenAIError

        effort = self._settings["reasoning_effort"]
        try:
            response = self._client.responses.parse(
                model=self.name,
                instructions=instructions,
                input=f"DATA\n{question}",
                text_format=form,
                max_output_tokens=self._settings["max_output_tokens"],
                store=False,
                **({"reasoning": {"effort": effort}} if effort else {}),
            )
        except (OpenAIError, ValidationError) as error:
            self.failures.append(f"{prompt}: {_kind(error)}")
            if self._purse is not None and reserved is not None:
                if isinstance(error, APIStatusError):
                    self._purse.give_back(reserved)
                else:
                    self._purse.pay(reserved, None)
            return None
        usage = response.usage
        self.tokens += usage.total_tokens if usage else 0
        if self._purse is not None and reserved is not None:
            self._purse.pay(reserved, _tokens(usage) if usage else None)
        if response.output_parsed is None:
            self.failures.append(f"{prompt}: no answer in the form asked for")
        return response.output_parsed


def _kind(error: Exception) -> str:
    status = getattr(error, "status_code", None)
    return type(error).__name__ + (f" {status}" if status else "")


def _tokens(usage: ResponseUsage) -> Tokens:
    cached = usage.input_tokens_details.cached_tokens if usage.input_tokens_details else 0
    return Tokens(input=usage.input_tokens, cached=cached or 0, output=usage.output_tokens)


def open_asker(
    settings: Mapping[str, Any], answers: Path, environment: Mapping[str, str] = os.environ, purse: Purse | None = None
) -> Asker | None:
    """An asker when there is a key and models are wanted, else None. `settings`: the `model` table."""
    wanted = settings["enabled"] and environment.get("OPENAI_API_KEY")
    return Asker(settings, answers, environment, purse) if wanted else None
