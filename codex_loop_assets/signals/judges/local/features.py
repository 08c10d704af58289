"""What the judge sees of each message: numbers about its words and its place in the course of the session.

Features come in named groups, so that an ablation can leave one out. All are between about 0 and 3, and none looks at
the wording beyond the cue groups; the model weighs them. What does not belong here: weights, thresholds, categories.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from codex_loop_assets.settings import section
from codex_loop_assets.signals.judges.base import TranscriptTurn
from codex_loop_assets.signals.judges.baseline import Expressions
from codex_loop_assets.signals.judges.local import similarity
from codex_loop_assets.signals.judges.local.cues import AGENT_GROUPS, GROUPS, AgentCues, Cues
from codex_loop_assets.signals.judges.local.text import LanguageGuesser, Message, Splitter

_SHOUTED = re.compile(r"\b[A-Z]{3,}\b")
_STRONG_MARKS = re.compile(r"[!！]{2,}|[?？]{2,}|[?!？！]{2,}")
_ANGRY_SIGNS = re.compile("[😡😤🤬😭🙄😠💢🤦]|\\[裂开\\]|:\\(|-_-|\\.\\.\\.$|…$")
_HAPPY_SIGNS = re.compile("[🎉🙏😍👏🥳❤🚀👍👌😊😀😄]|:\\)|:D|\\^\\^|\\bhaha|\\blol")
_AHEAD = 3
_ANSWER_HEAD = 600
_SHORT = 60
_FEW_GRAMS = 6
_FEW_WORDS = 2


@dataclass(frozen=True)
class Read:
    """A message as read: its parts, its language, its cues, those of the agent's answer to it, and which categories the
    baseline's expressions find in it."""

    turn: TranscriptTurn
    message: Message
    language: str
    cues: Mapping[str, int]
    answer: Mapping[str, float]
    grams: frozenset[str]
    pasted: frozenset[str]
    expressed: Mapping[str, float]
    names: frozenset[str]
    words: frozenset[str]


class Reader:
    """Reads the spoken turns of a session and turns each into features."""

    def __init__(self, settings: Mapping[str, Any]):
        self._splitter = Splitter(settings["text"])
        self._languages = LanguageGuesser(settings["languages"], settings["letters"])
        self._cues = Cues(settings["cues"])
        self._agent = AgentCues(settings["agent"], settings["text"]["agent_characters"])
        self._expressions = Expressions(section("regex_baseline")["patterns"])
        self._expressed: Sequence[str] = settings["expressed"]

    def read(self, turns: Sequence[TranscriptTurn]) -> list[Read]:
        """The turns in order, each with its language told by its own words and those before it."""
        points: dict[str, float] = {}
        found = []
        for turn in turns:
            message = self._splitter.split(turn.user_message)
            language = self._languages.guess(message.prose, points)
            for name, count in self._languages.scores(message.prose).items():
                points[name] = points.get(name, 0.0) + count
            found.append(self._read(turn, message, language))
        return found

    def _read(self, turn: TranscriptTurn, message: Message, language: str) -> Read:
        matched = self._expressions.find(message.prose)
        return Read(
            turn=turn,
            message=message,
            language=language,
            cues=self._cues.count(message.prose, language),
            answer=self._agent.find(turn.agent_message),
            grams=similarity.grams(message.prose),
            pasted=similarity.pasted_lines(message.pasted),
            expressed={name: float(name in matched) for name in self._expressed},
            names=similarity.names(message.prose + "\n" + message.pasted),
            words=similarity.words(message.prose),
        )


def features(read: Sequence[Read]) -> list[dict[str, float]]:
    """One dict per message: `group.name` -> value. Every dict has the same keys."""
    return [
        _words(item)
        | _form(item)
        | _course(read, index)
        | _likeness(read, index)
        | _answer(item)
        | _mix(read, index)
        | _rule(read, index)
        for index, item in enumerate(read)
    ]


def _words(item: Read) -> dict[str, float]:
    return {f"cue.{group}": min(2.0, float(item.cues[group])) for group in GROUPS}


def _form(item: Read) -> dict[str, float]:
    prose = item.message.prose
    length = len(prose)
    letters = sum(character.isalpha() for character in prose) or 1
    return {
        "form.short": float(length < 25),
        "form.long": float(length > 250),
        "form.very_long": float(length > 800),
        "form.no_prose": float(length == 0),
        "form.lines": min(1.0, prose.count("\n") / 6),
        "form.question": float(prose.rstrip().endswith(("?", "？"))),
        "form.any_question": float("?" in prose or "？" in prose),
        "form.exclaims": float("!" in prose or "！" in prose),
        "form.strong_marks": float(bool(_STRONG_MARKS.search(prose))),
        "form.shouts": min(2.0, len(_SHOUTED.findall(prose)) / 2)
        if sum(map(str.isupper, prose)) / letters > 0.3
        else 0.0,
        "form.angry_sign": float(bool(_ANGRY_SIGNS.search(prose))),
        "form.happy_sign": float(bool(_HAPPY_SIGNS.search(prose))),
        "form.pasted": float(item.message.pasted_lines > 0),
        "form.only_pasted": float(item.message.pasted_lines > 0 and length < 15),
        "form.quotation": float(item.message.quotations > 0),
        "form.slash": float(prose.startswith("/")),
    }


def _course(read: Sequence[Read], index: int) -> dict[str, float]:
    before = read[index - 1] if index else None
    after = read[index + 1] if index + 1 < len(read) else None
    agent = before.answer if before else dict.fromkeys(AGENT_GROUPS, 0.0)
    return {
        "course.first": float(index == 0),
        "course.aborted": float(bool(before and before.turn.aborted)),
        "course.rolled_back": float(bool(before and (before.turn.rolled_back or before.turn.undone))),
        **{f"course.agent_{group}": agent[group] for group in AGENT_GROUPS if group not in ("stops", "reverses")},
        "course.then_works": float(bool(after and after.cues["success"] and not after.cues["failure"])),
        "course.then_persists": float(bool(after and after.cues["persistence"] and not after.cues["request"])),
        "course.then_praised": float(bool(after and (after.cues["praise"] or after.cues["thanks"]))),
        "course.last": float(after is None),
    }


def _likeness(read: Sequence[Read], index: int) -> dict[str, float]:
    item, earlier = read[index], read[max(0, index - _AHEAD) : index]
    first = read[0]
    answer = earlier[-1].turn.agent_message[:_ANSWER_HEAD] if earlier else ""
    likes = [_alike(item, other) for other in earlier] or [0.0]
    held = [
        similarity.containment(item.grams, other.grams)
        for other in (*earlier, first)
        if other is not item and len(item.grams) >= _FEW_GRAMS
    ] or [0.0]
    pasted = [similarity.containment(item.pasted, other.pasted) for other in earlier] or [0.0]
    known = frozenset().union(*(other.names for other in (first, *earlier))) if index else frozenset()
    said = frozenset().union(*(other.words for other in (first, *earlier))) if index else frozenset()
    after = read[index + 1 : index + 1 + _AHEAD]
    return {
        "likeness.chars": max(likes),
        "likeness.same": float(max(likes) > 0.8),
        "likeness.held": max(held),
        "likeness.pasted": max(pasted),
        "likeness.names": similarity.containment(item.names, known),
        "likeness.words": similarity.containment(item.words, said) * (len(item.words) >= _FEW_WORDS),
        "likeness.new_words": float(bool(item.words)) * (1 - similarity.containment(item.words, said)),
        "likeness.answer_words": similarity.containment(item.words, similarity.words(answer)),
        "likeness.answer_names": similarity.containment(item.names, similarity.names(answer)),
        "likeness.repeated_later": max((_alike(item, other) for other in after), default=0.0),
    }


def _alike(left: Read, right: Read) -> float:
    """Likeness of the words of two messages; none where a different stored prompt or other numbers tell them apart.

    Of very short messages only the same one again counts, and not an "ok" or a "continue".
    """
    if left.message.template != right.message.template:
        return 0.0
    if min(len(left.grams), len(right.grams)) < _FEW_GRAMS and not left.message.template:
        routine = left.cues["success"] or left.cues["request"]
        return float(not routine and left.message.prose.lower() == right.message.prose.lower() != "")
    if left.message.template and not left.grams and not right.grams:
        return 1.0
    alike = similarity.dice(left.grams, right.grams)
    return alike if alike < 0.6 or similarity.same_numbers(left.message.prose, right.message.prose) else 0.0


def _answer(item: Read) -> dict[str, float]:
    return {f"answer.{group}": item.answer[group] for group in AGENT_GROUPS if group != "asks"} | {
        "answer.tools_failed": float(item.turn.failed_tools > 0),
        "answer.aborted": float(item.turn.aborted),
        "answer.rolled_back": float(item.turn.rolled_back or item.turn.undone),
        "answer.short": float(len(item.turn.agent_message) < 60),
    }


def _rule(read: Sequence[Read], index: int) -> dict[str, float]:
    """What the baseline's expressions find: at all, and in words that follow an answer, ask nothing and blame nobody's own
    mistake. What the baseline knows the judge knows too."""
    item = read[index]
    question = "?" in item.message.prose or "？" in item.message.prose or item.cues["question"] > 0
    told = float(index > 0 and not question and not item.cues["self_correction"])
    return {f"rule.{name}": found for name, found in item.expressed.items()} | {
        f"rule.{name}_told": found * told for name, found in item.expressed.items()
    }


def _mix(read: Sequence[Read], index: int) -> dict[str, float]:
    """What only a combination shows: a cue means one thing after a claimed fix and another in a new request."""
    item = read[index]
    before = read[index - 1].answer if index else dict.fromkeys(AGENT_GROUPS, 0.0)
    cue = {group: float(item.cues[group] > 0) for group in GROUPS}
    answer = item.answer
    later = float(index > 0)
    question = max(float("?" in item.message.prose or "？" in item.message.prose), cue["question"])
    tells = later * (1 - question) * (1 - cue["request"]) * (1 - cue["success"])
    sorry = max(answer["admits"], answer["reverses"])
    claimed = later * before["claim"]
    short = float(len(item.message.prose) < _SHORT)
    previous = read[index - 1].turn if index else None
    stopped = previous is not None and (previous.aborted or previous.failed_tools > 0)
    return {
        "mix.persists_told": cue["persistence"] * tells,
        "mix.persists_diagnosed": cue["persistence"] * later * answer["diagnoses"],
        "mix.persists_in_request": cue["persistence"] * cue["request"],
        "mix.reports": max(cue["failure"], cue["persistence"]) * claimed * (1 - cue["request"]),
        "mix.tells_diagnosed": tells * answer["diagnoses"] * claimed,
        "mix.tells_short": tells * short * claimed,
        "mix.rejects_admitted": max(cue["contrast"], cue["accuse"], cue["prohibition"]) * later * sorry,
        "mix.accuses_later": cue["accuse"] * later,
        "mix.contrast_later": cue["contrast"] * later * (1 - question),
        "mix.undo_done": cue["undo"] * later * answer["reverses"],
        "mix.undo_asked": cue["undo"] * later * (1 - question),
        "mix.orders_stop": cue["prohibition"] * short * float(stopped),
        "mix.giveup_accepted": cue["giveup"] * later * answer["stops"],
        "mix.asks_only": question * (1 - cue["accuse"]) * (1 - sorry),
        "mix.asks_tool": question * cue["tool"] * max(answer["platform"], answer["cannot"]),
        "mix.tool_limits": cue["tool"]
        * max(answer["platform"], answer["cannot"], before["platform"], before["cannot"]),
        "mix.praise_taken": max(cue["praise"], cue["thanks"]) * answer["glad"],
        "mix.praise_failed": cue["praise"] * max(cue["failure"], cue["persistence"]) * later,
        "mix.time_praised": cue["time"] * max(cue["praise"], answer["glad"]),
        "mix.answered_question": later * before["asks"] * (1 - question),
        "mix.works_in_part": cue["success"] * max(cue["failure"], cue["persistence"]) * claimed * (1 - cue["request"]),
        "mix.works_then_next": cue["success"] * cue["request"],
        "mix.tone_admitted": cue["tone"] * sorry,
        "mix.tone_later": cue["tone"] * later,
    }
