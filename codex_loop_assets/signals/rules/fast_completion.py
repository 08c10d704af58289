"""fast_completion: a real change, finished within very few requests, that demonstrably works."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from codex_loop_assets.signals.checks import CheckPatterns, taken_back, work
from codex_loop_assets.signals.model import CanonTables, Evidence, Moment
from codex_loop_assets.signals.patterns import any_of, whole_words
from codex_loop_assets.signals.quoting import show, show_command
from codex_loop_assets.signals.reading import groups, refusals, top_level
from codex_loop_assets.signals.rules.rule import rule


@rule(
    category="fast_completion",
    version="1",
    looks_for="Sessions of a person with few requests, at least one applied edit, and after the last edit a sign of "
    "success: a test, build or other check passed, the program just written ran, the change was committed, or the "
    "person closed with a word of content.",
    evidence="The first request, the last edit, and the record that shows success.",
    near_misses=(
        "a short session that only answered a question: no edit",
        "few requests and an edit, but nothing that shows that it works",
        "a check that passed before the last edit, that ran no test, or that only parses (php -l)",
        "a session with a refusal, interrupt, undo, rollback or error, or whose last check failed",
        "sessions without a person, and sub-agents",
    ),
    needs=("exit_codes", "user_messages"),
)
def find(canon: CanonTables, thresholds: Mapping[str, Any]) -> list[Moment]:
    few = top_level(canon).filter(
        pl.col("human")
        & pl.col("human_turn_count").is_between(1, thresholds["maximum_requests"])
        & ~pl.col("outcome").is_in(("aborted", "errored", "abandoned"))
    )
    few = few.join(refusals(canon), on="thread_id", how="anti")["thread_id"]
    done, content, checks = work(canon, few, thresholds), _Content(thresholds), CheckPatterns.read(thresholds)
    threads = done["thread_id"].unique().implode()
    own_turns = canon.turns.filter(pl.col("thread_id").is_in(threads)).sort("thread_id", "run", "seq_start")
    turns = {rows[0]["thread_id"]: rows for rows in groups(own_turns, "thread_id")}
    moments = []
    for steps in groups(done, "thread_id"):
        thread_turns = turns.get(steps[0]["thread_id"], [])
        asked = [turn for turn in thread_turns if turn["human"] and turn["user_message"].strip()]
        if asked and not any(taken_back(turn) for turn in thread_turns):
            sign = _sign_of_success(steps, asked[1:], content)
            if sign is not None:
                tested = bool(sign[0].call_id) and checks.is_test(sign[0].quote or "")
                moments.append(_moment(asked, steps, sign, thread_turns[-1]["seq_end"], tested))
    return moments


class _Content:
    """Whether a message is short and says that the person is content; a word of doubt in it says the opposite."""

    def __init__(self, thresholds: Mapping[str, Any]) -> None:
        self._words = whole_words(thresholds["content_words"])
        self._marks = any_of(thresholds["content_marks"])
        self._doubts = whole_words(thresholds["doubts"])
        self._doubt_marks = any_of(thresholds["doubt_marks"])
        self._length = thresholds["content_length"]

    def shown_by(self, words: str) -> bool:
        if len(words) > self._length or self._doubts.search(words) or self._doubt_marks.search(words):
            return False
        return bool(self._words.search(words) or self._marks.search(words))


def _sign_of_success(
    steps: list[dict[str, Any]], later: list[dict[str, Any]], content: _Content
) -> tuple[Evidence, str] | None:
    """What shows, after the last edit, that the work is done: its record, and words for it."""
    edits = [index for index, step in enumerate(steps) if step["what"] == "edit"]
    if not edits:
        return None
    last_edit, after = steps[edits[-1]], steps[edits[-1] + 1 :]
    written = {path.rsplit("/", 1)[-1] for index in edits for path in steps[index]["paths"] or []}
    checks = [step for step in after if step["what"] in ("check_passed", "check_failed")]
    if checks and checks[-1]["what"] == "check_failed":
        return None
    for step in reversed(after):
        if step["what"] in ("check_passed", "committed") or (step["what"] == "ran" and _runs(step["command"], written)):
            shown = "passed" if step["what"] == "check_passed" else "worked"
            evidence = Evidence(step["seq_end"], step["call_id"], step["command"], step["run"])
            return evidence, f"`{show_command(step['command'], step['thread_id'], 80)}` {shown} after the last edit"
    for turn in reversed(later):
        words = turn["user_message"]
        after_edit = (turn["run"], turn["seq_start"]) > (last_edit["run"], last_edit["seq_start"])
        if after_edit and content.shown_by(words):
            evidence = Evidence(turn["seq_start"], quote=words, run=turn["run"])
            return evidence, f"the user then wrote “{show(words, turn['thread_id'], 80)}”"
    return None


def _runs(command: str, written: set[str]) -> bool:
    return any(word.rsplit("/", 1)[-1] in written for word in command.split())


def _moment(
    asked: list[dict[str, Any]], steps: list[dict[str, Any]], sign: tuple[Evidence, str], end: int, tested: bool
) -> Moment:
    first, edit = asked[0], [step for step in steps if step["what"] == "edit"][-1]
    evidence, shown = sign
    messages = "one request" if len(asked) == 1 else f"{len(asked)} messages"
    return Moment(
        thread_id=first["thread_id"],
        run=first["run"],
        turn_id=first["turn_id"],
        seq_start=first["seq_start"],
        seq_end=max(end, first["seq_start"]),
        occurred_at=first["occurred_at"],
        severity=2,
        confidence=0.8 if tested else 0.65,
        description=f"Finished within {messages}: “{show(first['user_message'], first['thread_id'], 110)}”; {shown}",
        evidence=(
            Evidence(first["seq_start"], quote=first["user_message"]),
            Evidence(edit["seq_start"], edit["call_id"], run=edit["run"]),
            evidence,
        ),
    )
