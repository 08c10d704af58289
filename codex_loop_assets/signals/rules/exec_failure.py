"""exec_failure: a command that was meant to work did not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from codex_loop_assets.signals.command_line import family, shortened
from codex_loop_assets.signals.failures import FailurePatterns, excuse, telling_line
from codex_loop_assets.signals.model import CanonTables, Evidence, Moment
from codex_loop_assets.signals.rules.rule import rule

_NOT_A_FAILURE = ("declined", "aborted", "timed_out", "running")
_REFUSED = ("denied", "abort")
_WORDS = ("agent_message", "agent_reasoning")


@dataclass
class _Episode:
    """Consecutive failures of one thing in one session, and whether it worked in the end."""

    attempts: list[dict[str, Any]] = field(default_factory=list)
    recovered: bool = False


@rule(
    category="exec_failure",
    version="1",
    looks_for="Shell commands of the agent with a failing exit code, grouped into episodes: failures of the same "
    "program and "
    "subcommand (or script) without a success in between are one signal.",
    evidence="Every failing call of the episode with the line of its output that names the error.",
    near_misses=(
        "a search, comparison or test expression with a negative answer (grep, rg, diff, test, which exit 1)",
        "a probe: --version, git diff --exit-code, docker ps, curl to a local server that is not up yet",
        "reading or listing a file that is not there while finding the way",
        "a test run before the first edit of a turn, or after an edit of tests only: the failure was there or "
        "was meant",
        "a run that the agent announced to fail (reproduction, red-green)",
        "a command that the sandbox stopped and that worked when it was run again with permission",
        "a process stopped by a signal, a pipe closed early, nothing to commit",
        "commands refused, interrupted, timed out (categories of their own), and commands typed by the person",
    ),
    needs=("exit_codes",),
)
def find(canon: CanonTables, thresholds: Mapping[str, Any]) -> list[Moment]:
    patterns = FailurePatterns.read(thresholds)
    shell = canon.tool_calls.filter(
        (pl.col("name") == "shell") & (pl.col("actor") != "user") & pl.col("exit_code").is_not_null()
    )
    failing = shell.filter(
        (pl.col("exit_code") != 0)
        & ~pl.col("status").is_in(_NOT_A_FAILURE)
        & ~pl.col("approval").is_in(_REFUSED).fill_null(False)
    )
    if failing.is_empty():
        return []
    threads = failing["thread_id"].unique().implode()
    calls = _columns(canon.tool_calls.filter(pl.col("thread_id").is_in(threads))).sort("thread_id", "run", "seq_start")
    said = canon.events.filter(pl.col("thread_id").is_in(threads) & pl.col("kind").is_in(_WORDS)).select(
        "thread_id", "run", "seq", "text"
    )
    return [
        _moment(episode, thresholds, patterns)
        for (thread_id,), thread_calls in calls.group_by("thread_id", maintain_order=True)
        for episode in _episodes(
            thread_calls.to_dicts(), _Announcements(said, str(thread_id), patterns), thresholds, patterns
        )
    ]


def _columns(calls: pl.DataFrame) -> pl.DataFrame:
    return calls.filter((pl.col("name").is_in(("shell", "apply_patch"))) & (pl.col("actor") != "user")).select(
        "thread_id", "run", "turn_id", "call_id", "seq_start", "seq_end", "occurred_at", "name", "command", "exit_code",
        "status", "approval", "success", "paths", "arguments",
        pl.when((pl.col("exit_code") != 0) | (pl.col("success") == False)).then(pl.col("output")).alias("output"),  # noqa: E712
    )  # fmt: skip


class _Announcements:
    """What the agent said shortly before a record, to see whether it expected the failure."""

    def __init__(self, said: pl.DataFrame, thread_id: str, patterns: FailurePatterns) -> None:
        self._said = said.filter(pl.col("thread_id") == thread_id).sort("run", "seq")
        self._patterns = patterns

    def expected(self, call: Mapping[str, Any], since: int) -> bool:
        """Whether the words between record `since` and the call announce a failure."""
        words = self._said.filter(
            (pl.col("run") == call["run"]) & (pl.col("seq") > since) & (pl.col("seq") < call["seq_start"])
        )["text"]
        return any(self._patterns.expected.search(text[-600:]) for text in words.tail(2) if text)


def _episodes(
    calls: list[dict[str, Any]], announced: _Announcements, thresholds: Mapping[str, Any], patterns: FailurePatterns
) -> Iterator[_Episode]:
    open_episodes: dict[str, _Episode] = {}
    turn_number, previous_turn, previous_seq = 0, None, 0
    edits = _EditsOfTurn(patterns)
    for index, call in enumerate(calls):
        turn = (call["run"], call["turn_id"])
        if turn != previous_turn:
            turn_number, previous_turn = turn_number + 1, turn
            edits = _EditsOfTurn(patterns)
            for key in [
                key
                for key, episode in open_episodes.items()
                if turn_number - episode.attempts[-1]["turn_number"] > thresholds["gap_turns"]
            ]:
                yield open_episodes.pop(key)
        if call["name"] == "apply_patch":
            edits.note(call)
            continue
        command = call["command"] or ""
        if call["exit_code"] == 0:
            if open_episodes and (key := _episode_key(command, open_episodes)):
                open_episodes[key].recovered = True
                yield open_episodes.pop(key)
            edits.check_ran(command)
        elif _went_wrong(call, calls, index, edits, announced, previous_seq, thresholds, patterns):
            call["turn_number"] = turn_number
            open_episodes.setdefault(_key(command, call["output"] or ""), _Episode()).attempts.append(call)
            edits.check_ran(command)
        else:
            edits.check_ran(command)
        previous_seq = call["seq_start"]
    yield from open_episodes.values()


class _EditsOfTurn:
    """What the agent edited since the turn began and since the last check, as far as patches show it."""

    def __init__(self, patterns: FailurePatterns) -> None:
        self._patterns = patterns
        self.any_edit = False
        self.since_check: list[str] = []
        self.checks_before_edit = 0

    def note(self, patch: Mapping[str, Any]) -> None:
        if patch["success"] is not False:
            self.any_edit = True
            self.since_check += patch["paths"] or []

    def check_ran(self, command: str) -> None:
        if self._patterns.is_check(command):
            self.checks_before_edit += not self.any_edit
            self.since_check = []

    def only_tests_changed(self) -> bool:
        return bool(self.since_check) and all(self._patterns.test_paths.search(path) for path in self.since_check)


def _went_wrong(
    call: Mapping[str, Any],
    calls: list[dict[str, Any]],
    index: int,
    edits: _EditsOfTurn,
    announced: _Announcements,
    previous_seq: int,
    thresholds: Mapping[str, Any],
    patterns: FailurePatterns,
) -> bool:
    command, output, exit_code = call["command"] or "", call["output"] or "", call["exit_code"]
    if call["status"] in _NOT_A_FAILURE or call["approval"] in _REFUSED or exit_code is None:
        return False
    if exit_code == -1 and "execution error" not in output[:200]:
        return False
    if excuse(command, exit_code, output, patterns) or _sandbox_retry_worked(
        call, calls[index + 1 : index + 7], patterns
    ):
        return False
    if exit_code in (126, 127) or not patterns.is_test(command):
        return not (patterns.is_check(command) and announced.expected(call, previous_seq))
    if announced.expected(call, previous_seq) or edits.only_tests_changed():
        return False
    return edits.any_edit or edits.checks_before_edit >= thresholds["baseline_runs"]


def _sandbox_retry_worked(call: Mapping[str, Any], following: list[dict[str, Any]], patterns: FailurePatterns) -> bool:
    """The sandbox stopped the command and the same command then ran: Codex's ordinary way to ask for more
    permission."""
    if not patterns.sandbox.search(call["output"] or ""):
        return False
    return any(other["command"] == call["command"] and other["exit_code"] == 0 for other in following)


def _key(command: str, output: str) -> str:
    """The thing that failed: a missing program whatever it was to do, else the command's family."""
    head = output[:2_000]
    if "command not found" in head:
        missing = head.split(": command not found", 1)[0].rsplit(":", 1)[-1].strip()
        if missing and len(missing) < 40 and "\n" not in missing and missing.isprintable():
            return f"missing {missing}" if missing.replace("-", "").replace("_", "").isalnum() else family(command)
    return family(command)


def _episode_key(command: str, episodes: Mapping[str, _Episode]) -> str | None:
    found = family(command)
    return found if found in episodes else None


def _moment(episode: _Episode, thresholds: Mapping[str, Any], patterns: FailurePatterns) -> Moment:
    first, last, count = episode.attempts[0], episode.attempts[-1], len(episode.attempts)
    reason = telling_line(last["output"] or "", patterns)
    strong = count >= thresholds["strong_attempts"]
    check = patterns.is_check(last["command"] or "")
    return Moment(
        thread_id=first["thread_id"],
        run=first["run"],
        turn_id=first["turn_id"],
        call_id=first["call_id"],
        seq_start=first["seq_start"],
        seq_end=max(call["seq_end"] for call in episode.attempts),
        occurred_at=first["occurred_at"],
        severity=1 + strong + (not episode.recovered) if count > 1 else 1 + (not episode.recovered and not check),
        confidence=round(min(0.95, (0.65 if check else 0.75) + 0.1 * (count - 1) + (0.1 if reason else -0.15)), 2),
        description=_description(episode, reason),
        evidence=tuple(
            Evidence(call["seq_end"], call["call_id"], telling_line(call["output"] or "", patterns) or None)
            for call in episode.attempts
        ),
    )


def _description(episode: _Episode, reason: str) -> str:
    last, count = episode.attempts[-1], len(episode.attempts)
    how_often = "failed" if count == 1 else f"failed {count} times"
    code = "could not be started" if last["exit_code"] == -1 else f"exit code {last['exit_code']}"
    outcome = "; it worked later" if episode.recovered else "; it was not seen to work later"
    return (
        f"Command `{shortened(last['command'] or '')}` {how_often} ({code}{': ' + reason if reason else ''}){outcome}"
    )
