"""What goes to the model and what comes back: the request, the form of the answer, and what can come of asking.

What belongs here: shapes and their parsing. What does not: wording (`prompt`), sending (`synchronous`, `batch`), or
whether what an answer claims is true (`citations`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

INTENTS = ("bug_fix", "feature", "refactoring", "tests", "setup", "exploration", "documentation", "operations", "other")
OUTCOMES = ("done", "partly_done", "not_done", "given_up", "unclear")


@dataclass(frozen=True)
class Request:
    """One question about one window. `body` is sent to POST /v1/responses as it is; `key` is the hash of its content.

    `window_key` names what was read (window, model, wording), `asked` the categories asked about with their versions.
    """

    thread_id: str
    window_key: str
    key: str
    asked: Mapping[str, str]
    body: Mapping[str, Any]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class AnsweredFinding(_Strict):
    turn: str
    category: str
    type: Literal["friction", "delight"]
    severity: Literal[1, 2, 3]
    confidence: Literal["low", "medium", "high"]
    quote: str
    description: str


class Facets(_Strict):
    intent: Literal[INTENTS]
    languages: list[str]
    frameworks: list[str]
    outcome: Literal[OUTCOMES]
    abstract: str


class Answer(_Strict):
    """Answer to a question about a whole window; to one about added categories only, `facets` is null."""

    findings: list[AnsweredFinding]
    facets: Facets | None


@dataclass(frozen=True)
class Tokens:
    """Tokens of one call; `cached` is the part of `input` that the provider read from its prompt cache."""

    input: int = 0
    cached: int = 0
    output: int = 0


@dataclass(frozen=True)
class Answered:
    """An answer that was bought, now or earlier. `calls` is 0 when it comes from the cache."""

    answer: Answer
    asked: Mapping[str, str]
    model: str
    tokens: Tokens
    cost_usd: float
    calls: int = 0


@dataclass(frozen=True)
class NotAnswered:
    """Why there is no answer. `calls` and `cost_usd` count what was paid for nothing.

    `final`: asking again right now would not help.
    """

    status: Literal["deferred", "pending_batch", "failed"]
    reason: str
    calls: int = 0
    cost_usd: float = 0.0
    final: bool = False


Outcome = Answered | NotAnswered


class UnusableAnswer(ValueError):
    """The model answered, and was paid, but not in the form asked for: refused, cut off or malformed."""


def content_hash(value: Any) -> str:
    """SHA-256 of a JSON value in canonical form."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def answer_format(categories: list[str], with_facets: bool) -> dict[str, Any]:
    """The `text.format` of a request: a strict JSON schema in which only the given category names can be said."""
    schema = Answer.model_json_schema()
    schema["$defs"]["AnsweredFinding"]["properties"]["category"] = {"type": "string", "enum": categories}
    if not with_facets:
        schema["$defs"].pop("Facets")
        schema["properties"]["facets"] = {"type": "null"}
    return {"type": "json_schema", "name": "session_findings", "strict": True, "schema": schema}


def read_response(body: Mapping[str, Any]) -> Answer:
    """The answer in a Responses API object. Raises UnusableAnswer with the reason where there is none."""
    if body.get("status") == "incomplete":
        raise UnusableAnswer(f"answer cut off: {(body.get('incomplete_details') or {}).get('reason') or 'no reason'}")
    if body.get("status") == "failed" or body.get("error"):
        raise UnusableAnswer(f"the model failed: {(body.get('error') or {}).get('message') or 'no message'}")
    texts = []
    for item in body.get("output") or []:
        for part in item.get("content") or [] if item.get("type") == "message" else []:
            if part.get("type") == "refusal":
                raise UnusableAnswer(f"refused: {part.get('refusal') or 'no reason'}")
            if part.get("type") == "output_text":
                texts.append(part.get("text") or "")
    try:
        return Answer.model_validate_json("".join(texts))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise UnusableAnswer(f"malformed answer: {first['msg']} at {list(first['loc'])}") from error


def read_tokens(body: Mapping[str, Any]) -> Tokens | None:
    """What a Responses API object says was used; None where it says nothing."""
    usage = body.get("usage")
    if not usage:
        return None
    cached = (usage.get("input_tokens_details") or {}).get("cached_tokens") or 0
    return Tokens(usage["input_tokens"], cached, usage["output_tokens"])
