"""Marking records that say again what the record before said.

Codex writes one prompt up to five times (submission, item, event, ...) and one assistant message up to four times.
The first record keeps the text; each further kind of record with the same text is an echo: kept as a row with
`detail.echo`, without the text. The same kind again is no echo but somebody saying it twice.
"""

from __future__ import annotations

from typing import Any

from codex_loop_assets.traces.row import DETAIL, KIND, ROLE, TEXT, Content

SPOKEN = frozenset(
    {"user_turn", "user_input", "user_message", "message", "agent_message", "agent_reasoning", "reasoning"}
)
"""Kinds that `Echoes.mark` wants to see."""
REPEATED_REASONING = "reasoning_repeated"
"""Skip reason of a reasoning item whose summary has just been seen as events; it may be skipped without decoding."""
_ECHO = '{"echo":true}'


class Echoes:
    """Remembers the last words of user and assistant within one source. `reasoned`: reasoning events have been seen
    that the next reasoning item repeats."""

    def __init__(self) -> None:
        self._text: dict[str, str] = {}
        self._forms: dict[str, set] = {}
        self.reasoned = False

    def mark(self, content: Content, form: Any) -> tuple[Content, bool]:
        """(content, whether these are new words of the user). `form` tells apart records of one kind, such as an item
        and an event."""
        kind = content[KIND]
        if kind == "agent_reasoning":
            self.reasoned = True
            return content, False
        if kind == "reasoning":
            repeats, self.reasoned = self.reasoned, False
            return (_echo(content) if repeats else content), False
        role, text = content[ROLE], content[TEXT]
        if text is None or (role != "user" and role != "assistant") or _is_scaffold(content):
            return content, False
        # A submission is what somebody sent just now, whatever was said before.
        if form != "submission" and self._text.get(role) == text and form not in self._forms[role]:
            self._forms[role].add(form)
            return _echo(content), False
        self._text[role], self._forms[role] = text, {form}
        return content, role == "user"


def _is_scaffold(content: Content) -> bool:
    return content[DETAIL] is not None and content[DETAIL].startswith('{"scaffold":')


def _echo(content: Content) -> Content:
    return (*content[:TEXT], None, *content[TEXT + 1 : DETAIL], _ECHO)
