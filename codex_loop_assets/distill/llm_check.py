"""A check written by a language model, for segments in which nothing was checked.

It is asked for only while a key is set, and marked. Its answer is a script that runs
in the task's container only; whether it tells right from wrong is for the same real runs to show as for every other
check.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from codex_loop_assets.distill.model import Model, NoAnswer


@dataclass(frozen=True)
class WrittenCheck:
    """A script that a model wrote, and the model's name."""

    script: str
    model: str


class NoCheck(ValueError):
    """No check came out; the message says why."""


def written(words: str, patch: str, thread_id: str, model: Model, settings: Mapping[str, Any]) -> WrittenCheck:
    """A check for the redacted request and patch. Raises NoCheck. `settings` is the `llm_verifier` part."""
    if not settings["enabled"]:
        raise NoCheck("models write no checks here")
    if len(patch) > settings["maximum_patch_characters"]:
        raise NoCheck("the solution is too large to write a check for")
    data = {"request": words, "accepted_solution": patch}
    try:
        answer = model.ask(thread_id, "verifier", data, ("script", "reason"))
    except NoAnswer as error:
        raise NoCheck(str(error)) from error
    return _checked(answer, model.name, settings)


def _checked(answer: Mapping[str, str], model: str, settings: Mapping[str, Any]) -> WrittenCheck:
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
    return WrittenCheck(script + "\n", model)
