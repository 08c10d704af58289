"""The question: instructions, categories and one window of a session as the body of a request.

The wording is in config/prompts/llm_judge.md. Text from a trace, and categories made from traces, appear as escaped
JSON inside marked blocks of the input and never in the instructions.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

from codex_loop_assets.signals.judges.base import NOVEL
from codex_loop_assets.signals.judges.llm.exchange import (
    INTENTS,
    OUTCOMES,
    Request,
    answer_format,
    content_hash,
)
from codex_loop_assets.signals.judges.llm.windows import Window, data_line
from codex_loop_assets.signals.redaction import redact
from codex_loop_assets.signals.schema import Category, SignalSchema

START, END = "<<<TRANSCRIPT", "TRANSCRIPT>>>"
NOVEL_VERSION = "1"


@cache
def instructions() -> str:
    """The fixed part of every question."""
    return (resources.files("codex_loop_assets") / "config" / "prompts" / "llm_judge.md").read_text("utf-8")


def wording_version() -> str:
    """Hash of everything in a question that is not the session, the categories or the model."""
    return content_hash([instructions(), answer_format([NOVEL], True), START, END, NOVEL_VERSION])[:12]


def window_key(window: Window, settings: Mapping[str, Any]) -> str:
    """Name of what the model reads: equal keys can share answers, whatever categories they were asked about."""
    return content_hash([wording_version(), settings["model"], settings["reasoning_effort"], window.lines])


def wanted(schema: SignalSchema) -> dict[str, str]:
    """What is to be asked about a session: semantic categories of the schema and `novel`, with their versions."""
    return {name: category.version for name, category in schema.semantic().items()} | {NOVEL: NOVEL_VERSION}


def question(
    thread_id: str, window: Window, asked: Mapping[str, str], schema: SignalSchema, settings: Mapping[str, Any]
) -> Request:
    """The request that asks about `asked` in one window. Facets are asked for together with `novel`."""
    names = sorted(asked)
    whole = NOVEL in asked
    categories = [_defined(schema.categories[name]) for name in names if name != NOVEL]
    facets = (
        f"Facets are asked for. intent: {', '.join(INTENTS)}. outcome: {', '.join(OUTCOMES)}. `novel` is allowed."
        if whole
        else "No facets are asked for (null). `novel` is not allowed: report only the categories given."
    )
    blocks = [f"CATEGORIES\n{data_line(categories)}\n\n{facets}", f"{START}\n{window.lines}\n{END}"]
    body: dict[str, Any] = {
        "model": settings["model"],
        "instructions": instructions(),
        "input": [{"role": "user", "content": [{"type": "input_text", "text": block} for block in blocks]}],
        "text": {"format": answer_format(names, whole)},
        "max_output_tokens": settings["max_output_tokens"],
        "store": False,
    }
    if settings["reasoning_effort"]:
        body["reasoning"] = {"effort": settings["reasoning_effort"]}
    return Request(thread_id, window_key(window, settings), content_hash(body), dict(asked), body)


def _defined(category: Category) -> dict[str, Any]:
    # A promoted category was named and described from traces, so its words pass the outlet like any other.
    return {
        "name": category.name,
        "type": category.type,
        "definition": redact(category.definition),
        "counts": [redact(text) for text in category.inclusion_criteria],
        "does_not_count": [redact(text) for text in category.exclusion_criteria],
        "severity_rule": redact(category.severity_rule),
    }
