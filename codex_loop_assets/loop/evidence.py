"""What lies behind a cluster: its member signals, their calls and turns, and the facts those records share.

What belongs here: selecting and counting evidence, and the SQL that selects the same rows from the catalogue. What does
not: what to make of it (`advice`), who is affected (`affected`), wording (`tickets`).
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date

import polars as pl

from codex_loop_assets.loop.excerpt import excerpt, literal
from codex_loop_assets.loop.fragments import shared_fragments

_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
_OPTION = re.compile(r"-|\d+[smh]?$")  # `timeout 60 …`, `nice -n 5 …`
_CALL_KEY = "(c.thread_id, c.run, c.seq_start, c.call_id)"
_CALLS = (
    "s JOIN tool_calls c ON c.thread_id = s.thread_id AND c.run = s.run\n"
    "    AND (c.call_id = s.call_id OR c.seq_start BETWEEN s.seq_start AND s.seq_end)"
)
_TURNS = (
    "s JOIN turns t ON t.thread_id = s.thread_id AND t.run = s.run\n"
    "    AND s.seq_start BETWEEN t.seq_start AND t.seq_end"
)


@dataclass(frozen=True)
class Evidence:
    """The records behind one cluster as of a day. `calls` and `turns` hold each record once, however many signals
    share it."""

    cluster_id: str
    as_of: date
    signals: pl.DataFrame
    calls: pl.DataFrame
    turns: pl.DataFrame
    sessions: pl.DataFrame
    exemplar_ids: tuple[str, ...] = ()

    @property
    def members_sql(self) -> str:
        """A WITH clause that names the member signals `s` in the catalogue."""
        return (
            "WITH s AS (SELECT x.* FROM cluster_members m JOIN signals x ON x.signal_id = m.signal_id\n"
            f"           WHERE m.cluster_id = {literal(self.cluster_id)} AND m.dt = DATE '{self.as_of}')"
        )


@dataclass(frozen=True)
class Fact:
    """Something concrete that the evidence shows: `value` occurs in `count` of `total` records, in `sessions` sessions.

    `sql` gives the three numbers in the catalogue as `statement` words them; `value` never holds a secret.
    """

    name: str
    value: str
    count: int
    total: int
    sessions: int
    sql: str

    @property
    def statement(self) -> str:
        return f"{self.count} of {self.total}, in {self.sessions} sessions"


def gather(
    cluster_id: str, as_of: date, frames: Mapping[str, pl.DataFrame], exemplar_ids: Iterable[str] = ()
) -> Evidence:
    """The evidence of a cluster on the newest day of its membership up to `as_of`.

    `frames` holds cluster_members, signals, tool_calls, turns and sessions. `exemplar_ids` are the signals nearest to
    the cluster's centre, the nearest first. A cluster without members gives empty frames.
    """
    members = frames["cluster_members"].filter((pl.col("cluster_id") == cluster_id) & (pl.col("dt") <= as_of))
    newest = members["dt"].max() or as_of
    members = members.filter(pl.col("dt") == newest)
    signals = frames["signals"].join(members.select("signal_id"), on="signal_id", how="semi")
    signals = signals.sort("occurred_at", "signal_id", nulls_last=True)
    return Evidence(
        cluster_id,
        newest,
        signals,
        _calls(signals, frames["tool_calls"]),
        _turns(signals, frames["turns"]),
        frames["sessions"].join(signals.select("thread_id").unique(), on="thread_id", how="semi").sort("thread_id"),
        tuple(exemplar_ids),
    )


def _calls(signals: pl.DataFrame, calls: pl.DataFrame) -> pl.DataFrame:
    place = signals.select("thread_id", "run", signal_call="call_id", first="seq_start", last="seq_end")
    inside = pl.col("seq_start").is_between(pl.col("first"), pl.col("last"))
    joined = calls.join(place, on=["thread_id", "run"])
    matching = joined.filter((pl.col("call_id") == pl.col("signal_call")).fill_null(False) | inside)
    keys = ["thread_id", "run", "seq_start", "call_id"]
    return matching.select(calls.columns).unique(keys, keep="first").sort(keys)


def _turns(signals: pl.DataFrame, turns: pl.DataFrame) -> pl.DataFrame:
    place = signals.select("thread_id", "run", first="seq_start")
    joined = turns.join(place, on=["thread_id", "run"])
    holding = joined.filter(pl.col("first").is_between(pl.col("seq_start"), pl.col("seq_end")))
    keys = ["thread_id", "run", "seq_start"]
    return holding.select(turns.columns).unique(keys, keep="first").sort(keys)


def facts(evidence: Evidence, settings: Mapping) -> dict[str, Fact]:
    """The concrete things the evidence shares, by name: command (failing), denied_command, ran (any), error (a piece of
    failing output), message (a piece of quoted records), phrase (a piece of what people said where a judge found
    friction), path, category, repository, approval_policy, sandbox_policy. A fact that fewer than `facts.minimum`
    records share is left out; only `quotation`, the start of a telling message, and `complaint`, of one in which a judge found
    friction, may be one person's."""
    wanted = settings["facts"]
    failed = evidence.calls.filter(pl.col("success").fill_null(True).not_() | (pl.col("exit_code").fill_null(0) != 0))
    denied = evidence.calls.filter(pl.col("approval").is_in(["denied", "abort"]).fill_null(False))
    failed_calls = _Source(failed, _CALL_KEY, f"{_CALLS} WHERE c.success = false OR c.exit_code <> 0", "c.thread_id")
    denied_calls = _Source(denied, _CALL_KEY, f"{_CALLS} WHERE c.approval IN ('denied', 'abort')", "c.thread_id")
    calls = _Source(evidence.calls, _CALL_KEY, _CALLS, "c.thread_id")
    turns = _Source(evidence.turns, "(t.thread_id, t.run, t.seq_start)", _TURNS, "t.thread_id")
    sessions = _Source(
        evidence.sessions, "n.thread_id", "s JOIN sessions n ON n.thread_id = s.thread_id", "n.thread_id"
    )
    signals = _Source(evidence.signals, "s.signal_id", "s", "s.thread_id")
    error = _fragment("error", failed_calls, "c.output", _error_lines(failed, wanted), wanted)
    telling = failed.filter(pl.col("output").str.contains(error.value, literal=True)) if error else failed
    candidates = [
        # The command that ends in the shared error, so that the two are said of the same calls.
        _containing("command", failed_calls, "c.command", _programs(telling, wanted)),
        _containing("ran", calls, "c.command", _programs(evidence.calls, wanted)),
        _fragment("message", signals, "s.evidence", _quotes(evidence, wanted), wanted),
        _containing("denied_command", denied_calls, "c.command", _denied_programs(denied, wanted)),
        error,
        _fragment("phrase", turns, "t.user_message", _complaints(evidence), wanted),
        _listed("path", calls, "c.paths"),
        _equal("category", signals, "s.category"),
        _equal("approval_policy", turns, "t.approval_policy"),
        _equal("sandbox_policy", turns, "t.sandbox_policy"),
        _equal("repository", sessions, "n.repository"),
    ]
    found = [fact for fact in candidates if fact and fact.count >= wanted["minimum"]]
    said = {"quotation": evidence.signals, "complaint": evidence.signals.filter(pl.col("detector") != "mechanical")}
    for name, moments in said.items():
        found.append(_containing(name, turns, "t.user_message", _messages(evidence, moments, wanted)))
    found = [fact for fact in found if fact]
    return {fact.name: replace(fact, sql=f"{evidence.members_sql}\n{fact.sql}") for fact in found}


@dataclass(frozen=True)
class _Source:
    """Records a fact is counted in: the frame, and the same rows in the catalogue (FROM clause, row key, session)."""

    frame: pl.DataFrame
    key: str
    joined: str
    thread: str

    def fact(self, name: str, value: str, hit: pl.Expr, condition: str) -> Fact:
        hits = self.frame.filter(hit.fill_null(False))
        sql = (
            f"SELECT count(DISTINCT {self.key}) FILTER (WHERE {condition}) || ' of ' || count(DISTINCT {self.key})\n"
            f"    || ', in ' || count(DISTINCT {self.thread}) FILTER (WHERE {condition}) || ' sessions'\n"
            f"FROM {self.joined}"
        )
        return Fact(name, value, hits.height, self.frame.height, hits["thread_id"].n_unique(), sql)


def _safe(value: str) -> bool:
    """A value that the outlet would change cannot be shown, and a query for the changed text would find nothing."""
    return bool(value.strip()) and excerpt(value, None, limit=10_000) == value and "\x00" not in value


def _first_safe(counter: Counter[str]) -> str | None:
    # Among equally frequent ones the longest says most: the exception, not the "1 failed" of the summary.
    ranked = sorted(counter.items(), key=lambda item: (-item[1], -len(item[0]), item[0]))
    return next((value for value, _ in ranked if _safe(value)), None)


def _containing(name: str, source: _Source, target: str, counter: Counter[str]) -> Fact | None:
    value = _first_safe(counter)
    column = pl.col(target.split(".")[1])
    return value and source.fact(
        name, value, column.str.contains(value, literal=True), f"contains({target}, {literal(value)})"
    )


def _fragment(name: str, source: _Source, target: str, texts: list[tuple[str, str]], settings: Mapping) -> Fact | None:
    value = next(filter(_safe, shared_fragments(texts, settings["fragment"])), None)
    column = pl.col(target.split(".")[1])
    return value and source.fact(
        name, value, column.str.contains(value, literal=True), f"contains({target}, {literal(value)})"
    )


def _equal(name: str, source: _Source, target: str) -> Fact | None:
    column = target.split(".")[1]
    value = _first_safe(Counter(source.frame[column].drop_nulls().to_list()))
    return value and source.fact(name, value, pl.col(column) == value, f"{target} = {literal(value)}")


def _listed(name: str, source: _Source, target: str) -> Fact | None:
    column = target.split(".")[1]
    value = _first_safe(Counter(path for paths in source.frame[column].drop_nulls().to_list() for path in set(paths)))
    return value and source.fact(
        name, value, pl.col(column).list.contains(value), f"list_contains({target}, {literal(value)})"
    )


def _programs(calls: pl.DataFrame, settings: Mapping) -> Counter[str]:
    named = (program(command, settings) for command in calls["command"].drop_nulls().to_list())
    return Counter(name for name in named if name)


def _denied_programs(calls: pl.DataFrame, settings: Mapping) -> Counter[str]:
    # That people refuse patches says nothing about which; the path does.
    named = _programs(calls, settings)
    return Counter({name: count for name, count in named.items() if name not in settings["generic_programs"]})


def program(command: str, settings: Mapping) -> str | None:
    """The program a command line runs, as it is written there: `pytest`, `git push`, `python -m build`.

    Leading `cd … &&`, assignments and wrappers (`settings["wrappers"]`) are skipped; for a tool with subcommands
    (`settings["multi_tools"]`) the subcommand belongs to the name. None for an empty line.
    """
    last = re.split(r"&&|;|\n", command.strip())
    stages = [stage.strip() for stage in last if stage.strip() and not stage.strip().startswith("cd ")]
    if not stages:
        return None
    words, wrapped = stages[0].split(), False
    while len(words) > 1 and (
        words[0] in settings["wrappers"] or _ASSIGNMENT.match(words[0]) or (wrapped and _OPTION.match(words[0]))
    ):
        wrapped = wrapped or words[0] in settings["wrappers"]
        words = words[1:]
    # An option names no subcommand: `python -` reads a script, `git -C DIR pull` runs elsewhere.
    if words[0] in settings["multi_tools"] and len(words) > 1 and (words[1] == "-m" or not words[1].startswith("-")):
        taken = words[:3] if words[1] == "-m" else words[:2]
        return " ".join(taken) if " ".join(taken) in command else words[0]
    return words[0]


def _error_lines(calls: pl.DataFrame, settings: Mapping) -> list[tuple[str, str]]:
    """(session, line) of output lines that look like errors and are not about the code under work."""
    error, own_work = re.compile(settings["error_line"]), re.compile(settings["own_work"])
    lines = []
    for thread, output in calls.select("thread_id", "output").drop_nulls().iter_rows():
        telling = (line.strip() for line in output.splitlines() if error.search(line) and not own_work.search(line))
        lines += [(thread, line) for line in list(dict.fromkeys(telling))[-settings["fragment"]["lines"] :]]
    return lines


def _quotes(evidence: Evidence, settings: Mapping) -> list[tuple[str, str]]:
    """(session, record) quoted by the rules that find failures (a judge quotes people, not records). Those that JSON
    would write differently cannot be counted by text."""
    own_work = re.compile(settings["own_work"])
    return [
        (signal["thread_id"], record["quote"])
        for signal in evidence.signals.select("evidence", "thread_id", "detector", "category").to_dicts()
        if signal["detector"] == "mechanical" and signal["category"] in settings["message_categories"]
        for record in quotations(signal, limit=240)
        if record["quote"] and not own_work.search(record["quote"]) and _plain_in_json(record["quote"])
    ]


def _plain_in_json(text: str) -> bool:
    return json.dumps(text, ensure_ascii=False) == f'"{text}"'


def _complaints(evidence: Evidence) -> list[tuple[str, str]]:
    """(session, line) of what people said in the turns of the moments that a judge found: not the requests that merely
    stand in the same turn as a failing command."""
    judged = evidence.signals.filter(pl.col("detector") != "mechanical")
    turns = _turns(judged, evidence.turns)
    return [
        (thread, line.strip())
        for thread, words in turns.select("thread_id", "user_message").drop_nulls().iter_rows()
        for line in words.splitlines()
    ]


def _messages(evidence: Evidence, signals: pl.DataFrame, settings: Mapping) -> Counter[str]:
    """Beginnings of what people wrote where the signals are, the moment nearest to the cluster's centre first."""
    nearest = {signal_id: position for position, signal_id in enumerate(evidence.exemplar_ids)}
    ranked = sorted(
        signals.to_dicts(),
        key=lambda row: (
            nearest.get(row["signal_id"], len(nearest)),
            -row["severity"],
            -row["confidence"],
            row["signal_id"],
        ),
    )
    counter: Counter[str] = Counter()
    for weight, signal in enumerate(reversed(ranked), start=1):
        inside = (pl.col("thread_id") == signal["thread_id"]) & (pl.col("run") == signal["run"])
        holding = pl.lit(signal["seq_start"]).is_between(pl.col("seq_start"), pl.col("seq_end"))
        for words in evidence.turns.filter(inside & holding)["user_message"].to_list():
            start = words.strip().split("\n")[0][: settings["quotation_length"]].rstrip()
            if len(start) >= settings["error_length"][0]:
                counter[start] = weight
    return counter


def quotations(signal: Mapping, limit: int) -> list[dict]:
    """The records a signal names: {seq, call_id, quote}, the quotation redacted and cut."""
    try:
        records = json.loads(signal["evidence"])
    except json.JSONDecodeError:
        return []
    return [
        {
            "seq": record.get("seq"),
            "call_id": record.get("call_id"),
            "quote": excerpt(record.get("quote"), signal["thread_id"], limit),
        }
        for record in records
        if isinstance(record, dict)
    ]
