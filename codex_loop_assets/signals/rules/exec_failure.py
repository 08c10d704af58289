"""exec_failure: a command that was meant to work did not."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

import polars as pl

from codex_loop_assets.signals.checks import CheckPatterns, with_checks
from codex_loop_assets.signals.command_line import family
from codex_loop_assets.signals.failures import FailurePatterns, excuse, plain_output, printed, telling_lines
from codex_loop_assets.signals.model import CanonTables, Evidence, Moment
from codex_loop_assets.signals.patterns import matching
from codex_loop_assets.signals.quoting import show, show_command
from codex_loop_assets.signals.rules.rule import rule

_NOT_A_FAILURE = ("declined", "aborted", "timed_out", "running")
_REFUSED = ("denied", "abort")
# Early eras have no events for the agent's words, only the items that the model wrote.
_WORDS = ("agent_message", "agent_reasoning", "message", "reasoning")
_MISSING = re.compile(r"(?:^|[\s:])([\w.+-]{1,40}): (?:command )?not found|command not found: ([\w.+-]{1,40})", re.M)
# Calls within which a sandboxed command is run again with permission, and characters of words that are looked at.
_RETRY_WINDOW = 6
_ANNOUNCEMENT_LENGTH = 600
_REASON_LENGTH = 160
_SANDBOX_LENGTH = 4_000


class _Words(NamedTuple):
    """Each time the agent spoke in a session, in order: (run, seq); whether it `expects` a failure there, or `looks` at
    the state first."""

    places: list[tuple[int, int]]
    expects: list[bool]
    looks: list[bool]


@dataclass
class _Episode:
    """Consecutive failures of one thing in one session, and whether it worked in the end."""

    thing: str
    attempts: list[dict[str, Any]] = field(default_factory=list)
    last_turn: int = 0
    recovered: bool = False

    def __post_init__(self) -> None:
        # Looked for in every command until the episode ends.
        self.telling_word = self.thing.rsplit(" ", 1)[-1].lower()


@rule(
    category="exec_failure",
    version="1",
    looks_for="Shell commands of the agent with a failing exit code, grouped into episodes: failures of the same "
    "program and subcommand (or script) without a success in between are one signal.",
    evidence="Every failing call of the episode with the line of its output that names the error.",
    near_misses=(
        "a search, comparison or test expression with a negative answer (grep, rg, diff, test, which exit 1)",
        "a probe: --version, git diff --exit-code, docker ps, curl to a local server that is not up yet",
        "reading or listing a file or a page that is not there while finding the way",
        "a test that fails while every edit so far is proven, or after an edit of tests only: it shows what was "
        "there, or is meant to",
        "a check that failed, and passed after the edit it led to: its failure was the task",
        "a run that the agent announced to fail (reproduction, red-green)",
        "a command that the sandbox stopped and that worked when it was run again with permission",
        "a process stopped by a signal, a pipe closed early, nothing to commit",
        "commands refused, interrupted, timed out (categories of their own), and commands typed by the person",
    ),
    needs=("exit_codes",),
)
def find(canon: CanonTables, thresholds: Mapping[str, Any]) -> list[Moment]:
    patterns, checks = FailurePatterns.read(thresholds), CheckPatterns.read(thresholds)
    columns = ("thread_id", "run", "turn_id", "seq_start", "name", "command", "exit_code", "success", "paths")
    of_failures = ("output", "occurred_at", "call_id", "seq_end", "status", "approval")
    own = pl.col("name").is_in(("shell", "apply_patch")) & (pl.col("actor") != "user")
    only_failures = pl.when(pl.col("exit_code") != 0).then(pl.col(*of_failures))
    calls = canon.tool_calls.lazy().filter(own).select(*columns, only_failures).collect()
    failing = calls.filter(
        (pl.col("name") == "shell") & (pl.col("exit_code") != 0) & ~pl.col("status").is_in(_NOT_A_FAILURE)
    )
    if failing.is_empty():
        return []
    threads = failing["thread_id"].unique()
    ordered = with_checks(canon, calls.filter(pl.col("thread_id").is_in(threads.implode())), checks)
    ordered = ordered.sort("thread_id", "run", "seq_start")
    # A long session has tens of thousands of calls, nearly all of which worked: as Python objects those have only what
    # failures are compared with.
    rows = ordered.select(*columns, "check").to_dicts()
    failed = ordered.with_row_index("row").filter(pl.col("exit_code") != 0).select("row", *of_failures)
    for row, *more in failed.iter_rows():
        rows[row].update(zip(of_failures, more, strict=True))
    _read_outputs(rows, patterns, checks)
    words = _words(canon, threads, patterns)
    episodes = []
    for thread, own_rows in groupby(rows, key=itemgetter("thread_id")):
        said = words.get(thread, _Words([], [], []))
        episodes += _Session(list(own_rows), said, thresholds, patterns, checks).episodes()
    return _moments(episodes, thresholds, patterns)


def _words(canon: CanonTables, threads: pl.Series, patterns: FailurePatterns) -> dict[str, _Words]:
    """What the agent said in those of these sessions where it announced anything."""
    other_roles = pl.col("role").is_in(("user", "developer", "system")).fill_null(False)
    own_words = pl.col("kind").is_in(_WORDS) & ~other_roles & (pl.col("text") != "")
    last_words = pl.col("text").str.slice(-_ANNOUNCEMENT_LENGTH)
    said = (
        canon.events.lazy()
        .filter(pl.col("thread_id").is_in(threads.implode()) & own_words)
        .select("thread_id", "run", "seq", last_words)
        .collect()
    )
    expects, looks = matching(said["text"], patterns.expected, patterns.looks_first)
    marked = said.select("thread_id", "run", "seq", expects.alias("expects"), looks.alias("looks"))
    telling = marked.filter((pl.col("expects") | pl.col("looks")).any().over("thread_id"))
    found = {}
    for (thread,), group in telling.sort("thread_id", "run", "seq").group_by("thread_id"):
        found[thread] = _Words(group.select("run", "seq").rows(), group["expects"].to_list(), group["looks"].to_list())
    return found


def _read_outputs(calls: list[dict[str, Any]], patterns: FailurePatterns, checks: CheckPatterns) -> None:
    """Add to each failing call what it `printed`, and whether a check `reported` that something did not hold."""
    failing = [call for call in calls if call["name"] == "shell" and call["exit_code"]]
    for call, seen in zip(failing, printed([call["output"] or "" for call in failing], patterns), strict=True):
        call["printed"] = seen
    failed_checks = [call for call in failing if call["check"]]
    for call, reported in zip(failed_checks, checks.reported([one["output"] for one in failed_checks]), strict=True):
        call["reported"] = reported


class _Session:
    """The calls of one session read in order: which failures count, grouped into episodes."""

    def __init__(
        self,
        calls: list[dict[str, Any]],
        words: _Words,
        thresholds: Mapping[str, Any],
        patterns: FailurePatterns,
        checks: CheckPatterns,
    ) -> None:
        self._calls, self._thresholds = calls, thresholds
        self._words = words
        self._patterns, self._checks = patterns, checks
        # Paths edited since a check last passed, and since a check last ran; runs of each check since the last edit.
        self._unproven: list[str] = []
        self._since_check: list[str] = []
        self._runs: Counter[str] = Counter()

    def episodes(self) -> Iterator[_Episode]:
        """Episodes as they close: by a success, by too many turns without another failure, or at the end."""
        running: dict[str, _Episode] = {}
        turn_number, turn = 0, None
        for index, call in enumerate(self._calls):
            if (call["run"], call["turn_id"]) != turn:
                turn_number, turn = turn_number + 1, (call["run"], call["turn_id"])
                for stale in [
                    one for one in running.values() if turn_number - one.last_turn > self._thresholds["gap_turns"]
                ]:
                    yield running.pop(stale.thing)
            if call["name"] == "apply_patch":
                self._note_edit(call)
            elif call["exit_code"] == 0:
                done = self._succeeded(call["command"] or "", running)
                if done is not None:
                    done.recovered = True
                    yield running.pop(done.thing)
            elif call["exit_code"] is not None and self._went_wrong(index):
                thing = _thing(call)
                episode = running.setdefault(thing, _Episode(thing))
                episode.attempts.append(call)
                episode.last_turn = turn_number
            self._note_check(call)
        yield from running.values()

    @staticmethod
    def _succeeded(command: str, running: Mapping[str, _Episode]) -> _Episode | None:
        """The open episode whose thing this command does; the line is read only where it can be one."""
        if not running:
            return None
        lowered = command.lower()
        if any(episode.telling_word in lowered for episode in running.values()):
            return running.get(family(command))
        return None

    def _note_edit(self, patch: Mapping[str, Any]) -> None:
        if patch["success"] is not False:
            self._unproven += patch["paths"] or [""]
            self._since_check += patch["paths"] or [""]
            self._runs.clear()

    def _note_check(self, call: Mapping[str, Any]) -> None:
        if call["check"] and call["exit_code"] is not None:
            self._since_check = []
            self._runs[family(call["command"])] += 1
            if call["exit_code"] == 0:
                self._unproven = []

    def _went_wrong(self, index: int) -> bool:
        call = self._calls[index]
        command, output, exit_code = call["command"] or "", call["output"] or "", call["exit_code"]
        if call["status"] in _NOT_A_FAILURE or call["approval"] in _REFUSED:
            return False
        if exit_code == -1 and "execution error" not in output[:200]:
            return False
        if excuse(command, exit_code, call["printed"], self._patterns) or self._sandbox_retry_worked(index):
            return False
        if exit_code in (126, 127):
            return True
        return not (self._announced(index) or (call["check"] and self._found_or_meant(index)))

    def _sandbox_retry_worked(self, index: int) -> bool:
        """The sandbox stopped the command and the same command then ran: Codex's ordinary way to ask for permission."""
        call = self._calls[index]
        following = self._calls[index + 1 : index + 1 + _RETRY_WINDOW]
        if not any(other["command"] == call["command"] and other["exit_code"] == 0 for other in following):
            return False
        return self._patterns.sandbox.search((call["output"] or "")[:_SANDBOX_LENGTH]) is not None

    def _announced(self, index: int) -> bool:
        """Whether the agent's words since its previous call say that it expects the failure."""
        call = self._calls[index]
        since = self._calls[index - 1]["seq_start"] if index and self._calls[index - 1]["run"] == call["run"] else 0
        # By bisection: looking through all words at every call made long sessions cost the square of their length.
        first = bisect_right(self._words.places, (call["run"], since))
        after = bisect_left(self._words.places, (call["run"], call["seq_start"]))
        last = slice(max(first, after - 2), after)
        return any(self._words.expects[last]) or (call["check"] and any(self._words.looks[last]))

    def _found_or_meant(self, index: int) -> bool:
        """Whether a failing check shows what was there before, or what tests written first are meant to show."""
        call = self._calls[index]
        command, reported = call["command"] or "", call["reported"]
        if self._since_check and all(self._patterns.test_paths.search(path) for path in self._since_check):
            return reported
        if self._unproven or self._runs[family(command)] >= self._thresholds["baseline_runs"]:
            return False
        return (reported and self._checks.is_test(command)) or self._fixed_later(index)

    def _fixed_later(self, index: int) -> bool:
        """Whether the agent then edited something and the same check passed: the failure was the task."""
        thing, edited = family(self._calls[index]["command"] or ""), False
        for call in self._calls[index + 1 :]:
            edited = edited or (call["name"] == "apply_patch" and call["success"] is not False)
            if edited and call["exit_code"] == 0 and call["name"] == "shell" and family(call["command"] or "") == thing:
                return True
        return False


def _thing(call: Mapping[str, Any]) -> str:
    """What failed: a program that is not installed, whatever it was to do, else the command's family."""
    missing = _missing_program(call)
    return f"missing {missing}" if missing else family(call["command"] or "")


def _missing_program(call: Mapping[str, Any]) -> str | None:
    found = _MISSING.search(plain_output(call["output"] or "")[:2_000]) if call["exit_code"] == 127 else None
    return (found[1] or found[2]) if found else None


def _moments(episodes: list[_Episode], thresholds: Mapping[str, Any], patterns: FailurePatterns) -> list[Moment]:
    telling = iter(telling_lines([call["output"] or "" for one in episodes for call in one.attempts], patterns))
    moments = []
    for episode in episodes:
        reasons = [show(next(telling), call["thread_id"], _REASON_LENGTH) for call in episode.attempts]
        moments.append(_moment(episode, reasons, thresholds))
    return moments


def _moment(episode: _Episode, reasons: list[str], thresholds: Mapping[str, Any]) -> Moment:
    first, last, count = episode.attempts[0], episode.attempts[-1], len(episode.attempts)
    reason = reasons[-1]
    check = last["check"]
    mild = check or _missing_program(last) is not None
    severity = 1 + (count >= thresholds["strong_attempts"]) + (not episode.recovered and (count > 1 or not mild))
    evidence = [
        Evidence(call["seq_end"], call["call_id"], said or None, call["run"])
        for call, said in zip(episode.attempts, reasons, strict=True)
    ]
    return Moment(
        thread_id=first["thread_id"],
        run=first["run"],
        turn_id=first["turn_id"],
        call_id=first["call_id"],
        seq_start=first["seq_start"],
        seq_end=max(call["seq_end"] for call in episode.attempts if call["run"] == first["run"]),
        occurred_at=first["occurred_at"],
        severity=severity,
        confidence=round(min(0.95, (0.65 if check else 0.75) + 0.1 * (count - 1) + (0.1 if reason else -0.15)), 2),
        description=_description(episode, reason),
        evidence=tuple(evidence),
    )


def _description(episode: _Episode, reason: str) -> str:
    last, count = episode.attempts[-1], len(episode.attempts)
    command = show_command(last["command"], last["thread_id"])
    times = "" if count == 1 else f" {count} times"
    missing = _missing_program(last)
    if missing:
        return f"`{missing}` is not installed where the agent works: `{command}` failed{times} (exit code 127)"
    code = "could not be started" if last["exit_code"] == -1 else f"exit code {last['exit_code']}"
    outcome = f"a later `{episode.thing}` worked" if episode.recovered else "it was not seen to work later"
    return f"Command `{command}` failed{times} ({code}{': ' + reason if reason else ''}); {outcome}"
