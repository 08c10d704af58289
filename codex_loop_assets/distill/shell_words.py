"""Reading a recorded command line as plain words, and writing such words back so that a shell takes them as words only.

A trace's command line is data. Only lines made of simple commands joined by `&&` are understood; anything that
substitutes, redirects into files, pipes into programs that change the outcome, or continues over lines is refused, and
then it can neither prove nor set up a task.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

_OPERATORS = frozenset({"&&", "|"})
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=.*", re.DOTALL)
_PLAIN = re.compile(r"[A-Za-z0-9_@%+=:,./?*\[\]-]+")
_MERGE = re.compile(r"\s+2>&1(?=\s|$)|\s+2>\s*/dev/null(?=\s|$)")
_FORBIDDEN = re.compile(r"[\0-\x08\x0a-\x1f\x7f`]|\$[({A-Za-z_]")


class NotSimple(ValueError):
    """The command line is more than simple commands joined by `&&`; the message says what was met."""


@dataclass(frozen=True)
class Simple:
    """One command: assignments in front of it and its words."""

    assignments: tuple[str, ...]
    words: tuple[str, ...]

    @property
    def line(self) -> str:
        """The words with single blanks, for matching only."""
        return " ".join(self.words)


def parse(command: str, display_filters: list[str]) -> list[Simple]:
    """The commands of a line. A pipe into a display filter (`| tail -20`) is dropped with what follows it.

    Raises NotSimple.
    """
    text = _MERGE.sub("", command.strip())
    if _FORBIDDEN.search(text):
        raise NotSimple("substitution or control characters")
    lexer = shlex.shlex(text, posix=True, punctuation_chars=";&|<>()")
    lexer.whitespace_split = True
    lexer.commenters = ""
    try:
        tokens = list(lexer)
    except ValueError as error:
        raise NotSimple(str(error)) from error
    commands: list[Simple] = []
    current: list[str] = []
    for position, token in enumerate(tokens):
        if token == "|" and position + 1 < len(tokens) and tokens[position + 1] in display_filters:
            if {"&&", ";", "||"} & set(tokens[position:]):
                raise NotSimple("commands after a pipe")
            break
        if token == "&&":
            commands.append(_simple(current))
            current = []
        elif set(token) <= set(";&|<>()"):
            raise NotSimple(f"operator {token}")
        else:
            current.append(token)
    return [*commands, _simple(current)]


def _simple(tokens: list[str]) -> Simple:
    count = 0
    while count < len(tokens) and _ASSIGNMENT.fullmatch(tokens[count]):
        count += 1
    if count == len(tokens):
        raise NotSimple("no command")
    return Simple(tuple(tokens[:count]), tuple(tokens[count:]))


def render(command: Simple) -> str:
    """The command for bash. Globs stay globs; every other special character is quoted."""
    assigned = [f"{name}={shlex.quote(value)}" for name, value in (pair.split("=", 1) for pair in command.assignments)]
    return " ".join([*assigned, *(word if _PLAIN.fullmatch(word) else shlex.quote(word) for word in command.words)])
