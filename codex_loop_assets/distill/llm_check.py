"""A check written by a language model, for segments in which nothing was checked.

It is asked for only while a key is set, kept by the hash of the question, and marked. Its answer is a script that runs
in the task's container only; whether it tells right from wrong is for the same real runs to show as for every other
check.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

KEY_VARIABLE = "OPENAI_API_KEY"
_FORM = {
    "type": "json_schema",
    "name": "check",
    "strict": True,
    "schema": {
        "type": "object",
        "properties": {"script": {"type": "string"}, "reason": {"type": "string"}},
        "required": ["script", "reason"],
        "additionalProperties": False,
    },
}


@dataclass(frozen=True)
class WrittenCheck:
    """A script that a model wrote, and the model's name."""

    script: str
    model: str


class NoCheck(ValueError):
    """No check came out; the message says why."""


CheckWriter = Callable[[str, str], WrittenCheck]


def open_writer(settings: Mapping[str, Any], cache: Path) -> CheckWriter | None:
    """A writer of checks, None while no key is set or it is switched off. `settings` is the `llm_verifier` part.

    The writer takes the redacted request and patch, and raises NoCheck. Answers are kept below `cache`.
    """
    if not settings["enabled"] or not os.environ.get(KEY_VARIABLE):
        return None
    calls = 0

    def write(words: str, patch: str) -> WrittenCheck:
        nonlocal calls
        if len(patch) > settings["maximum_patch_characters"]:
            raise NoCheck("the solution is too large to write a check for")
        question = _question(words, patch, settings)
        kept = cache / f"{hashlib.sha256(json.dumps(question, sort_keys=True).encode()).hexdigest()}.json"
        if not kept.exists():
            if calls >= settings["maximum_calls_per_cluster"]:
                raise NoCheck("the cluster's share of model calls is used up")
            calls += 1
            _keep(kept, _ask(question, settings))
        return _checked(json.loads(kept.read_text("utf-8")), settings)

    return write


def _question(words: str, patch: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    prompt = (resources.files("codex_loop_assets") / "config" / "prompts" / "verifier.md").read_text("utf-8")
    return {
        "model": settings["model"],
        "instructions": prompt,
        "input": json.dumps({"request": words, "accepted_solution": patch}, ensure_ascii=False),
        "text": {"format": _FORM},
        "max_output_tokens": settings["max_output_tokens"],
    }


def _ask(question: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, str]:
    from openai import OpenAI, OpenAIError

    try:
        text = OpenAI(timeout=settings["timeout_seconds"]).responses.create(**question).output_text
        answer = json.loads(text)
        return {"script": str(answer["script"]), "reason": str(answer["reason"])}
    except (OpenAIError, ValueError, KeyError, TypeError) as error:
        raise NoCheck(f"the model gave no check: {type(error).__name__}") from error


def _keep(file: Path, answer: Mapping[str, str]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    scratch = file.with_suffix(f".{os.getpid()}.tmp")
    scratch.write_text(json.dumps(answer, sort_keys=True) + "\n", "utf-8")
    scratch.replace(file)


def _checked(answer: Mapping[str, str], settings: Mapping[str, Any]) -> WrittenCheck:
    """The answer as a check. Raises NoCheck where it is none, is too long, or is no Bash."""
    script = answer["script"].replace("\r\n", "\n").strip()
    if not script:
        raise NoCheck(f"the model sees no honest check: {answer['reason'][:160]}")
    if len(script) > settings["maximum_script_characters"] or "\0" in script:
        raise NoCheck("the model's check is too long")
    if any(place in script for place in ("/solution", "/logs/", "/tests/")):
        raise NoCheck("the model's check reads what belongs to the verifier")
    parsed = subprocess.run(["bash", "-n"], input=script.encode("utf-8", "replace"), capture_output=True, check=False)
    if parsed.returncode:
        raise NoCheck("the model's check is no valid script")
    return WrittenCheck(script + "\n", settings["model"])
