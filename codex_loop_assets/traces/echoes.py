"""Marking records that say again what the record before said.

Codex writes one prompt up to five times (submission, item, event, ...) and one assistant message up to four times. The first
record keeps the text; each further kind of record with the same text is an echo: kept as a row with `detail.echo`, without
the text. The same kind again is no echo but somebody saying it twice.
"""

from __future__ import annotations

from codex_loop_assets.traces.row import DETAIL, KIND, ROLE, TEXT, Content

_SPOKEN = frozenset({"user_turn", "user_input", "user_message", "message", "agent_message"})
_ECHO = '{"echo":true}'


class Echoes:
    """Remembers the last words of user and assistant within one source."""

    def __init__(self) -> None:
        self._text: dict[str, str] = {}
        self._kinds: dict[str, set[str]] = {}
        self._reasoned = False

    def mark(self, content: Content, form: str) -> tuple[Content, bool]:
        """(content, whether these are new words of the user). `form` tells apart records of one kind, such as an item and
        an event."""
        kind = content[KIND]
        if kind == "agent_reasoning":
            self._reasoned = True
        elif kind == "reasoning":
            repeats, self._reasoned = self._reasoned, False
            return (_echo(content) if repeats else content), False
        if kind not in _SPOKEN:
            return content, False
        role, text = content[ROLE], content[TEXT]
        if text is None or role not in ("user", "assistant") or _is_scaffold(content):
            return content, False
        # A submission is what somebody sent just now, whatever was said before.
        if form != "submission" and self._text.get(role) == text and form not in self._kinds[role]:
            self._kinds[role].add(form)
            return _echo(content), False
        self._text[role], self._kinds[role] = text, {form}
        return content, role == "user"


def _is_scaffold(content: Content) -> bool:
    return content[DETAIL] is not None and content[DETAIL].startswith('{"scaffold":')


def _echo(content: Content) -> Content:
    return (*content[:TEXT], None, *content[TEXT + 1 : DETAIL], _ECHO)
