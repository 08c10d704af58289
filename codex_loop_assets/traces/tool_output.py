"""Exit codes, durations, refusals and running processes hidden in the text of a tool's output.

Stock rollouts hold no exec events: what a command did is only in the text shown to the model, whose form changed over
the versions. A form is accepted only at the start of the text, because a command's own output can contain the same
phrases.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, NamedTuple

import orjson

from codex_loop_assets.traces.settings import ReadSettings
from codex_loop_assets.traces.values import INT32_MAX, cut, integer, mapping, sequence, string


class OutputFacts(NamedTuple):
    """What the text says. `state`: refused, policy, aborted, not_run, bad_patch, timed_out, failed_to_start, running,
    or None; `session_id`: of a process that is still running."""

    text: str
    exit_code: int | None = None
    duration_ms: int | None = None
    state: str | None = None
    session_id: str | None = None


_FREEFORM = re.compile(
    r"Exit code: (-?\d+)\nWall time: ([\d.]+) seconds\n(?:Total output lines: \d+\n)?(?:Output:\n|Output:$)?"
)
_UNIFIED = re.compile(
    r"(?:Chunk ID: [^\n]*\n)?Wall time: ([\d.]+) seconds\n"
    r"(?:Process exited with code (-?\d+)|Process running with session ID ([^\n]+))\n"
)
_ABORTED = re.compile(r"aborted by user after ([\d.]+) ?s|Wall time: ([\d.]+) seconds\naborted by user")
_TIMEOUT = re.compile(r"command timed out after (\d+) milliseconds")
_USER_SHELL = re.compile(
    r"<user_shell_command>\s*<command>\s*(.*?)\s*</command>\s*<result>\s*Exit code: (-?\d+)\s*\n"
    r"Duration: ([\d.]+) seconds\s*\nOutput:\n?(.*?)\s*</result>",
    re.DOTALL,
)
_TOTAL_LINES = re.compile(r"Total output lines: \d+\n\n")
_REFUSALS = ("exec command rejected by user", "patch rejected by user")
_POLICY = ("rejected by user approval settings", "reject command", "approval policy")


def output_text(output: Any) -> str:
    """The output's text: a string, the text parts of a list joined by newlines, or the content of a legacy object."""
    if type(output) is str:
        return output
    if type(output) is list:
        return "\n".join(p["text"] for p in output if type(p) is dict and type(p.get("text")) is str)
    if type(output) is dict and "content" in output:
        return output_text(output["content"])
    return string(output) or ""


def output_facts(output: Any) -> OutputFacts:
    """Facts of one tool output. Never raises."""
    text = output if type(output) is str else output_text(output)
    first = text[:1]
    if first == "{":
        return _json_facts(text)
    if first in "ECWPaecpW":
        return _text_facts(text)
    return OutputFacts(text)


def user_shell_facts(text: str) -> tuple[str, OutputFacts] | None:
    """(command, facts) of a `<user_shell_command>` message, or None."""
    match = _USER_SHELL.match(text.lstrip())
    if match is None:
        return None
    command, code, seconds, output = match.groups()
    return command, OutputFacts(output, integer(int(code), INT32_MAX), _to_ms(seconds))


def _json_facts(text: str) -> OutputFacts:
    # Only the writer's own object counts; a command may print JSON that happens to have an "output" key.
    if '"output"' not in text[:40]:
        return OutputFacts(text)
    try:
        value = mapping(orjson.loads(text))
    except ValueError:
        return OutputFacts(text)
    metadata = mapping(value.get("metadata"))
    if "exit_code" not in metadata:
        return OutputFacts(text)
    inner = string(value.get("output")) or ""
    if head := _TOTAL_LINES.match(inner):
        inner = inner[head.end() :]
    seconds = metadata.get("duration_seconds")
    duration = int(seconds * 1000) if type(seconds) in (int, float) and 0 <= seconds < 1e9 else None
    code = integer(metadata["exit_code"], INT32_MAX)
    return OutputFacts(inner, code, duration, _stopped(inner, code))


def _text_facts(text: str) -> OutputFacts:
    match = _FREEFORM.match(text)
    if match:
        body = text[match.end() :]
        code = integer(int(match[1]), INT32_MAX)
        return OutputFacts(body, code, _to_ms(match[2]), _stopped(body, code))
    match = _UNIFIED.match(text)
    if match:
        body = text[match.end() :].partition("Output:\n")[2]
        if match[3] is not None:
            return OutputFacts(body, None, _to_ms(match[1]), "running", match[3].strip())
        return OutputFacts(body, integer(int(match[2]), INT32_MAX), _to_ms(match[1]))
    return OutputFacts(text, state=_state(text), duration_ms=_aborted_ms(text))


def _stopped(text: str, code: int | None) -> str | None:
    """`timed_out` where Codex's own words open the output. A command that ended well may print the same words."""
    return "timed_out" if code != 0 and _TIMEOUT.match(text) else None


def _state(text: str) -> str | None:
    start = text[:400]
    if start.strip() in _REFUSALS:
        return "refused"
    if start.startswith("exec_command failed"):
        return "refused" if 'Rejected("rejected by user")' in start else "failed_to_start"
    if start.startswith("patch rejected") or start.startswith("exec command rejected"):
        return "policy"
    if _ABORTED.match(start):
        return "aborted"
    if start.startswith("execution error:"):
        return "not_run"
    if start.startswith("apply_patch verification failed"):
        return "bad_patch"
    if _TIMEOUT.match(start):
        return "timed_out"
    return None


def _aborted_ms(text: str) -> int | None:
    match = _ABORTED.match(text)
    return _to_ms(match[1] or match[2]) if match else None


def _to_ms(seconds: str) -> int | None:
    try:
        value = float(seconds)
    except ValueError:
        return None
    return int(value * 1000) if value < 1e9 else None


def cut_output(text: str, settings: ReadSettings) -> str | None:
    """The text cut to the limit. Codex's own mark of what it left out stays readable: it stands in the middle, which goes."""
    if len(text) <= settings.text_limit:
        return text
    mark = _marks(settings.truncation_marks).search(text)
    kept = cut(text, settings.text_limit)
    if mark is None or mark[0] in kept:
        return kept
    return cut(text, settings.text_limit, f", with them {mark[0]}")


@lru_cache(maxsize=4)
def _marks(patterns: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(patterns))


def image_count(parts: Any) -> int:
    """How many images a content list holds."""
    return sum(1 for p in sequence(parts) if type(p) is dict and "image" in str(p.get("type")))
