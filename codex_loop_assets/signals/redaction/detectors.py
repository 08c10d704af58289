"""Detectors of the section `redaction`, compiled: which literal announces what, and how far the secret reaches.

A detector is asked only at its anchors and looks only at the text around them, so that its cost follows the hits and
not the length of the text. Patterns come from detect-secrets where it knows the format, else from the settings.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from codex_loop_assets.signals.redaction.library import plugin
from codex_loop_assets.signals.redaction.values import ValueJudge

# After `password`, `client_secret` and the like: a tail that still names the value, a closing quote or bracket, a type
# annotation, the operator, and the value in quotes (perhaps escaped inside JSON) or bare up to a separator.
_ASSIGNMENT = r"""(?i:{keyword})
  (?i:[_.-]?(?:access|key|token|value|prod|production|staging|dev|test|live|main|primary|default|base|base64|b64|[0-9]{{1,2}})){{0,3}}
  (?![A-Za-z0-9_-])
  (?: \\?["'`]?\]?\)?
      (?:[ \t]{{0,4}}:[ \t]{{0,4}}(?:str|string|String|&str|SecretStr|text)[ \t]{{0,4}}(?==))?
      [ \t]{{0,12}} (?P<operator>:=|=>|={{1,3}}|:|>(?=[^<>\s]{{4,200}}</)|[ ](?=[^-\s])) [ \t]{{0,16}} )
  (?: [bBrRuUfF]{{0,2}}(?P<quote>\\?["'`])(?P<quoted>(?:(?!(?P=quote))[^\r\n]){{1,400}})(?P=quote)
    | (?P<bare>[^\s"'`,;&<>\\]{{1,400}}(?:&(?!\w+=)[^\s"'`,;&<>\\]{{0,100}}){{0,4}}) )"""
_NAME = string.ascii_letters + string.digits + "_-."
_SHELL_LEAD = re.compile(r"(?:^|[\n;]|\\n|(?:^|\s|&)(?:-e|export|set|env|ENV|ARG|declare -x)[ \t])[ \t]*\Z|\$env:\Z")
_FLAG_LEAD = (*tuple(string.whitespace + "\"'`[(,"), "\\n", "\\r", "\\t")
_DIRECTIVES = ("ENV ", "SetEnv ", "setenv ")
_SETTING_LEAD = re.compile(r"(?:^|\n|\\n)[ ]{0,24}(?:- )?[\"']?[A-Za-z0-9_.-]{0,40}\Z")
_CONNECTION_LEAD = (";", "; ", "?", "&")


@dataclass(frozen=True)
class Claim:
    """One stretch of text to hide: characters [start, end), what it is, and its detector's place in the order."""

    start: int
    end: int
    kind: str
    order: int
    placeholder: str | None


@dataclass(frozen=True)
class Detector:
    """Patterns tried at an anchor. `accept` sees the text and the span of the hidden value and may refuse it.

    `compiled` gives the patterns and the group that holds the secret. It is a call, because most detectors never meet an
    anchor of theirs, and compiling all took most of a process's first redaction.
    """

    kind: str
    order: int
    anchors: tuple[str, ...]
    compiled: Callable[[], tuple[tuple[re.Pattern[str], ...], int | str | None]]
    preceded_by: re.Pattern[str] | None
    include_preceding: bool
    before: int
    after: int
    reach: int
    bounded: bool
    context_chars: int
    accept: Callable[[str], bool]
    assignment: Callable[[str, int, re.Match[str]], tuple[int, int] | None] | None
    placeholder: str | None

    def claims(self, text: str, anchor: int) -> Iterator[Claim]:
        """Stretches to hide around the anchor found at offset `anchor`."""
        start = anchor
        if self.preceded_by is not None:
            context_start = max(0, anchor - self.context_chars)
            preceding = self.preceded_by.search(text[context_start:anchor])
            if preceding is None:
                return
            if self.include_preceding:
                start = context_start + preceding.start()
        patterns, group = self.compiled()
        for pattern in patterns:
            match = self._match(pattern, text, anchor)
            if match is None:
                continue
            span = self._span(text, anchor, start, match, group)
            if span is not None and span[0] < span[1]:
                yield Claim(*span, self.kind, self.order, self.placeholder)

    def _match(self, pattern: re.Pattern[str], text: str, anchor: int) -> re.Match[str] | None:
        if not self.before and not self.after:
            match = pattern.match(text, anchor, anchor + self.reach)
            cut = match is not None and match.end() == anchor + self.reach
            return pattern.match(text, anchor) if cut else match
        return pattern.search(text, max(0, anchor - self.before), anchor + self.after)

    def _span(
        self, text: str, anchor: int, start: int, match: re.Match[str], group: int | str | None
    ) -> tuple[int, int] | None:
        if self.assignment is not None:
            return self.assignment(text, anchor, match)
        if group is not None:
            start, end = match.span(group)
        else:
            start, end = (start if self.include_preceding else match.start()), match.end()
        touched = self.bounded and (
            (start > 0 and text[start - 1].isalnum() and not text.endswith(("\\n", "\\r", "\\t"), 0, start))
            or (end < len(text) and text[end].isalnum())
        )
        return None if touched or not self.accept(text[start:end]) else (start, end)


def load_detectors(settings: Mapping[str, Any]) -> list[Detector]:
    """The detectors of the section `redaction`. A wrong pattern or plugin raises where the detector is first asked."""
    judge = ValueJudge(settings)
    return [_detector(entry, order, judge, settings) for order, entry in enumerate(settings["detectors"])]


def _detector(entry: Mapping[str, Any], order: int, judge: ValueJudge, settings: Mapping[str, Any]) -> Detector:
    preceded_by = entry.get("preceded_by")
    return Detector(
        kind=entry["kind"],
        order=order,
        anchors=_spellings(entry["anchors"], entry.get("ignore_case", False)),
        compiled=cache(partial(_patterns, entry)),
        preceded_by=re.compile(rf"(?:{preceded_by})\Z", re.VERBOSE) if preceded_by else None,
        include_preceding=entry.get("include_preceding", False),
        before=entry.get("before", 0),
        after=entry.get("after", 0),
        reach=entry.get("reach", settings["reach"]),
        bounded=entry.get("bounded", False),
        context_chars=entry.get("context_chars", settings["context_chars"]),
        accept=_acceptance(entry, judge),
        assignment=_assignment(judge, entry.get("short_values", False)) if "assignment" in entry else None,
        placeholder=entry.get("placeholder"),
    )


def _patterns(entry: Mapping[str, Any]) -> tuple[tuple[re.Pattern[str], ...], int | str | None]:
    if "plugin" in entry:
        return tuple(plugin(entry["plugin"]).denylist), entry.get("group")
    if "assignment" in entry:
        return (re.compile(_ASSIGNMENT.format(keyword=entry["assignment"]), re.VERBOSE),), None
    pattern = re.compile(entry["pattern"], re.VERBOSE | (re.IGNORECASE if entry.get("ignore_case") else 0))
    return (pattern,), "secret" if "secret" in pattern.groupindex else None


def _spellings(anchors: list[str], ignore_case: bool) -> tuple[str, ...]:
    if not ignore_case:
        return tuple(anchors)
    return tuple(
        dict.fromkeys(
            form
            for anchor in anchors
            for form in (anchor, anchor.lower(), anchor.upper(), anchor.title(), anchor.capitalize())
        )
    )


def _acceptance(entry: Mapping[str, Any], judge: ValueJudge) -> Callable[[str], bool]:
    check = entry.get("check")
    if check == "assigned":
        strict = entry.get("strict", True)
        return lambda value: judge.is_assigned_secret(value, quoted=not strict, shell=not strict)
    if check == "spoken":
        return judge.is_spoken_secret
    if check == "email":
        return judge.is_personal_address
    if check == "user":
        return judge.is_user_name
    if check == "jwt":
        return _is_formally_valid_jwt
    return lambda value: True


def _is_formally_valid_jwt(token: str) -> bool:
    return plugin("jwt.JwtTokenDetector").is_formally_valid(token)


def _assignment(judge: ValueJudge, short_values: bool) -> Callable[[str, int, re.Match[str]], tuple[int, int] | None]:
    """How far the value of an assignment reaches, or None where it is not worth hiding.

    A space as operator counts only after a command line flag; bare text counts most in a shell or .env line and in a
    connection string, where everything is a value, and with `short_values` in a line of YAML or properties, where
    `hunter2` is one.
    """

    def span(text: str, anchor: int, match: re.Match[str]) -> tuple[int, int] | None:
        before = text[max(0, anchor - 64) : anchor]
        if match["quoted"] is not None:
            group, value = "quoted", match["quoted"]
        else:
            group, value = "bare", match["bare"].rstrip(")}].:" if match["operator"] != "=" else ")}]")
        lead, operator = _lead(before), match["operator"]
        if operator == " " and lead not in ("flag", "directive"):
            return None
        tight = operator == "=" and not text[match.end("operator") : match.end("operator") + 1].isspace()
        shell = group == "bare" and (
            operator in " >"
            or (tight and lead != "")
            or (
                short_values
                and (operator == ":" or tight)
                and _is_setting_line(before, text, match.end(group), judge, value)
            )
        )
        start = match.start(group)
        return (start, start + len(value)) if judge.is_assigned_secret(value, group == "quoted", shell) else None

    return span


def _lead(before: str) -> str:
    """What a name that continues after `before` belongs to: a command line `flag`, a `directive` that takes its value
    after a blank, a shell or .env `line`, a `connection` string; '' for anything else."""
    stem = before.rstrip(_NAME)
    name = before[len(stem) :]
    if name.startswith("-") and (name.endswith("-") or name.startswith("-D")) and _is_start(stem):
        return "flag"
    if stem.endswith(_DIRECTIVES):
        return "directive"
    if stem.endswith(_CONNECTION_LEAD):
        return "connection"
    return "line" if not any(map(str.islower, name)) and _SHELL_LEAD.search(stem[-16:]) else ""


def _is_start(stem: str) -> bool:
    return not stem or stem.endswith(_FLAG_LEAD)


def _is_setting_line(before: str, text: str, end: int, judge: ValueJudge, value: str) -> bool:
    return (
        any(map(str.isdigit, value))
        and not judge.is_code(value)
        and _SETTING_LEAD.search(before) is not None
        and _is_line_end(text, end)
    )


def _is_line_end(text: str, position: int) -> bool:
    return text[position : position + 1] in ("", "\n", "\r") or text.startswith(("\\n", " #"), position)
