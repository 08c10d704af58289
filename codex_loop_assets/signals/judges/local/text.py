"""The user's own words in a message: without client wrappers, pasted logs, code and quotations.

Machine text matters too, but only as machine text: the same pasted error twice says that it is still there, whatever
words it holds. So a message is split into prose and pasted text. What does not belong here: what words mean (`cues`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_FENCE = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
_INLINE_CODE = re.compile(r"`[^`\n]*`")
_QUOTATION = re.compile(r"\"[^\"\n]{2,}\"|“[^”\n]{2,}”|„[^“”\n]{2,}[“”]|«[^»\n]{2,}»|「[^」\n]{2,}」|『[^』\n]{2,}』")
_URL = re.compile(r"https?://\S+")
_TAGGED = re.compile(r"<(\w+)[^>]*>.*?</\1>", re.DOTALL)
_IMAGE = re.compile(r"\[Image #\d+\]")
_HAN = re.compile(r"[\u4e00-\u9fff]")
_KANA = re.compile(r"[\u3040-\u30ff]")
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")


@dataclass(frozen=True)
class Message:
    """A message split into what the person wrote and what was pasted; the counts say what was taken out of the prose.

    `lines` are the person's lines verbatim, for quotations; `prose` is the same without code, addresses and quotations.
    `template` is the beginning of a stored prompt that a command put around the person's words, else ''.
    """

    lines: tuple[str, ...]
    prose: str
    template: str
    pasted: str
    quotations: int
    code: int
    pasted_lines: int


class Splitter:
    """Splits messages by the patterns of the section `text` of the settings."""

    def __init__(self, settings: Mapping[str, Any]):
        self._machine = re.compile("|".join(f"(?:{pattern})" for pattern in settings["machine_lines"]))
        self._headings: Sequence[str] = settings["request_headings"]
        self._template = re.compile("|".join(settings["stored_prompts"]))
        self._arguments = re.compile(settings["stored_prompt_arguments"], re.DOTALL)
        self._template_length: int = settings["stored_prompt_characters"]
        self._document_length: int = settings["document_characters"]
        self._document_edge: int = settings["document_edge_characters"]
        self._pasted_limit: int = settings["pasted_characters"]

    def split(self, text: str) -> Message:
        for heading in self._headings:
            text = text.rpartition(heading)[2]
        template = ""
        if self._template.search(text):
            template, text = text[: self._template_length], "\n".join(self._arguments.findall(text))
        code = _FENCE.findall(text)
        text = _TAGGED.sub(" ", _FENCE.sub("\n", text))
        prose_lines, pasted = [], list(code)
        for line in text.splitlines():
            (pasted if line.strip() and self._machine.search(line) else prose_lines).append(line)
        prose = "\n".join(prose_lines)
        prose, inline = _INLINE_CODE.subn(" ", _URL.sub(" ", prose))
        prose, quoted = _QUOTATION.subn(" ", _IMAGE.sub(" ", prose))
        return Message(
            lines=tuple(line for line in prose_lines if line.strip()),
            prose=self._shortened(prose.strip().replace("’", "'")),
            template=template,
            pasted="\n".join(pasted)[: self._pasted_limit],
            quotations=quoted,
            code=inline + len(code),
            pasted_lines=len(pasted),
        )

    def _shortened(self, prose: str) -> str:
        """Of a document, its beginning and end: people say there what they want of the text in between."""
        if len(prose) <= self._document_length:
            return prose
        return f"{prose[: self._document_edge]}\n{prose[-self._document_edge :]}"


class LanguageGuesser:
    """Tells the six languages of the judge apart: by script where that suffices, by common words else."""

    def __init__(self, words: Mapping[str, str], letters: Mapping[str, str]):
        self._words = {language: frozenset(joined.split("|")) for language, joined in words.items()}
        self._letters = {language: re.compile(pattern) for language, pattern in letters.items()}

    def scores(self, prose: str) -> dict[str, float]:
        """Points per language; empty where nothing tells."""
        if kana := len(_KANA.findall(prose)):
            return {"ja": 3.0 + kana}
        if han := len(_HAN.findall(prose)):
            return {"zh": 3.0 + han}
        found = _WORD.findall(prose.lower())
        points = {language: float(sum(word in words for word in found)) for language, words in self._words.items()}
        for language, letters in self._letters.items():
            points[language] += 1.5 * bool(letters.search(prose.lower()))
        return {language: count for language, count in points.items() if count}

    def guess(self, prose: str, before: Mapping[str, float], default: str = "en") -> str:
        """The language of one message; the points of the session `before` it decide when it is short."""
        own = self.scores(prose)
        total = {name: 2 * own.get(name, 0.0) + 0.5 * before.get(name, 0.0) for name in {*own, *before}}
        return max(sorted(total), key=lambda name: total[name]) if total else default
