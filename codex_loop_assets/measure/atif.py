"""One thread as ATIF (Agent Trajectory Interchange Format), the form in which Harbor and trainers read sessions.

What belongs here: the mapping from the canonical tables to trajectory documents. Files are written by the caller.
Only fields that ATIF 1.4 already had are used, except for embedded sub-agents, which came with 1.7; what has no field
of its own (exit codes, approvals, policies) stands in `extra`.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import polars as pl

from codex_loop_assets.canon import kinds, lineage, usage
from codex_loop_assets.signals.model import CanonTables
from codex_loop_assets.signals.redaction import redact as packaged_redact

SCHEMA_VERSIONS = ("ATIF-v1.4", "ATIF-v1.7")
EMBEDDING = "ATIF-v1.7"
MAIN = "trajectory.json"

Row = Mapping[str, Any]
Redact = Callable[[str, str], str]
_REASONING = ("agent_reasoning", "reasoning")
_SPAWNS = ("bridge", "collab_agent_spawn_end", "sub_agent_activity", "function_call_output")
_NOTICES = ("error", "stream_error", "warning", "turn_aborted", "exited_review_mode")
_METRICS = {
    "prompt_tokens": "input_tokens",
    "completion_tokens": "output_tokens",
    "cached_tokens": "cached_input_tokens",
}


class NothingToExport(ValueError):
    """The thread holds no record that is a step."""


def trajectories(
    thread_id: str,
    canon: CanonTables,
    *,
    schema_version: str = SCHEMA_VERSIONS[0],
    split_compaction: bool = False,
    redact: Redact = packaged_redact,
) -> dict[str, dict[str, Any]]:
    """File name -> trajectory of a thread, `trajectory.json` first.

    canon: tables of the thread and of those sub-agents that are at hand. In ATIF-v1.7 sub-agents are embedded, in
    ATIF-v1.4 they are files of their own (`trajectory.subagent-N.json`) that the parent refers to. `split_compaction`:
    the thread's part after each context compaction is a file of its own (`trajectory.cont-N.json`), linked by
    `continued_trajectory_ref`. Raises NothingToExport, and ValueError for an unknown schema version.
    """
    if schema_version not in SCHEMA_VERSIONS:
        raise ValueError(f"no ATIF schema {schema_version!r}; known: {', '.join(SCHEMA_VERSIONS)}")
    embed = schema_version == EMBEDDING
    parents = _family(thread_id, canon)
    places = {child: f"trajectory.subagent-{number}.json" for number, child in enumerate(list(parents)[1:], 1)}
    threads = {}
    for thread in parents:
        own = {child: place for child, place in places.items() if parents[child] == thread}
        walk = _Thread(thread, canon, own, embed, redact)
        threads[thread] = walk.parts(split_compaction and thread == thread_id)
    if not threads[thread_id]:
        raise NothingToExport(f"thread {thread_id} holds no message, call or other step")
    children = {thread: _document(thread, schema_version, parts[0]) for thread, parts in threads.items() if parts}
    names = [MAIN, *(f"trajectory.cont-{number}.json" for number in range(1, len(threads[thread_id])))]
    files: dict[str, dict[str, Any]] = {}
    for name, following, part in zip(names, [*names[1:], None], threads[thread_id], strict=True):
        files[name] = _document(thread_id, schema_version, part)
        if embed:
            files[name] |= {"trajectory_id": f"{thread_id}{name.removeprefix('trajectory').removesuffix('.json')}"}
            _embed(files[name], part, threads, children)
        if following:
            files[name]["continued_trajectory_ref"] = following
    if not embed:
        files |= {place: children[child] for child, place in places.items()}
    return files


def _family(thread_id: str, canon: CanonTables) -> dict[str, str | None]:
    """The thread and, each after its parent, its sub-agents that have something to show -> their parents."""
    named = lineage.parents(canon.events.sort("thread_id", "ordinal")).rows()
    recorded = canon.sessions.select("thread_id", "parent_thread_id").drop_nulls().rows()
    by_parent: dict[str, list[str]] = defaultdict(list)
    at_hand = set(canon.turns["thread_id"]) | set(canon.tool_calls["thread_id"])
    for child, parent in dict([*named, *recorded]).items():
        if child in at_hand:
            by_parent[parent].append(child)
    found: dict[str, str | None] = {thread_id: None}
    pending = [thread_id]
    for thread in pending:
        new = [child for child in sorted(by_parent[thread]) if child not in found]
        found |= dict.fromkeys(new, thread)
        pending.extend(new)
    return found


@dataclass
class _Part:
    """A stretch of one thread between compactions: its steps, its tokens, and the sub-agents referred to in it."""

    agent: dict[str, Any]
    steps: list[dict[str, Any]] = field(default_factory=list)
    tokens: dict[str, int] = field(default_factory=dict)
    children: list[str] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)


def _document(thread_id: str, schema_version: str, part: _Part) -> dict[str, Any]:
    totals = {f"total_{name}": part.tokens[source] for name, source in _METRICS.items() if source in part.tokens}
    final = {**totals, "total_steps": len(part.steps)}
    if "reasoning_output_tokens" in part.tokens:
        final["extra"] = {"total_reasoning_tokens": part.tokens["reasoning_output_tokens"]}
    return {
        "schema_version": schema_version,
        "session_id": thread_id,
        "agent": part.agent,
        "steps": [{"step_id": number, **step} for number, step in enumerate(part.steps, 1)],
        "final_metrics": final,
        "extra": part.extra,
    }


def _embed(document: dict, part: _Part, threads: Mapping[str, list[_Part]], children: Mapping[str, dict]) -> None:
    """Put every sub-agent that the part leads to, directly or through others, beside its steps."""
    wanted = list(part.children)
    for child in wanted:
        wanted.extend(other for other in threads[child][0].children if other not in wanted)
    if wanted:
        document["subagent_trajectories"] = [{**children[child], "trajectory_id": child} for child in wanted]


class _Thread:
    """Walks one thread's records in reading order and writes down steps."""

    def __init__(
        self, thread_id: str, canon: CanonTables, places: Mapping[str, str], embed: bool, redact: Redact
    ) -> None:
        mine = pl.col("thread_id") == thread_id
        self.thread_id, self.places, self.embed, self._redact = thread_id, places, embed, redact
        self.events = canon.events.filter(mine).sort("ordinal")
        self.session = next(canon.sessions.filter(mine).iter_rows(named=True), {})
        self.turns = _by_place(canon.turns.filter(mine))
        self.calls = _by_place(canon.tool_calls.filter(mine))
        self.children = _children(self.events, places)
        self.tokens = {row["ordinal"]: row for row in _increases(self.events).iter_rows(named=True)}
        self.model = {(row["run"], row["turn_id"]): row["model"] for row in canon.turns.filter(mine).to_dicts()}
        self._reasons: list[str] = []
        self._unclaimed: dict[str, int] = defaultdict(int)
        self._step: dict[str, Any] | None = None
        self._answered = False
        self._part = _Part(self._agent())

    def parts(self, split: bool) -> list[_Part]:
        """The thread in one part, or one per stretch between compactions; parts without a step are left out."""
        found = [self._part]
        for event in self.events.iter_rows(named=True):
            if event["kind"] == kinds.COMPACTION:
                self._flush()
                if split and self._part.steps:
                    self._part = _Part(self._agent())
                    found.append(self._part)
                message = self._text(event["text"]) or "The context was compacted."
                self._add("system", event, message, extra={"kind": "context_compaction"})
            else:
                self._take(event)
        self._flush()
        self._place_the_rest()
        filled = [part for part in found if part.steps]
        for number, part in enumerate(filled):
            part.extra = self._extra() | ({"continuation": number} if number else {})
        return filled

    def _take(self, event: Row) -> None:
        kind, at = event["kind"], (event["run"], event["seq"])
        if at in self.turns:
            for turn in self.turns.pop(at):
                self._user(event, turn)
        if at in self.calls:
            for call in self.calls.pop(at):
                self._call(event, call)
        if kind in kinds.CALL_OUTPUTS or kind in kinds.CALL_ENDS:
            self._answered = True
        elif kind in _REASONING and event["text"]:
            self._reason(event)
        elif kind in kinds.ASSISTANT_WORDS and event["role"] == "assistant" and event["text"]:
            self._say(event)
        elif kind == "message" and event["text"] and (event["role"] != "user" or _scaffold(event)):
            self._context(event, {"role": event["role"]})
        elif kind in _NOTICES:
            self._context(event, {"kind": kind})
        if event["ordinal"] in self.tokens:
            self._count(self.tokens[event["ordinal"]])
        if kind in _SPAWNS:
            self._refer([child for child, ordinal in self.children.items() if ordinal == event["ordinal"]], event)

    def _user(self, event: Row, turn: Row) -> None:
        self._flush()
        extra = {"kind": turn["kind"]} | _present(turn, "turn_id", "approval_policy", "sandbox_policy", "cwd")
        extra |= {name: True for name in ("rolled_back", "interrupted", "undone") if turn[name]}
        message = self._text(turn["user_message"])
        self._add("user", event, message or f"[{turn['kind']}]", extra=self._clean(extra))

    def _context(self, event: Row, extra: dict[str, Any]) -> None:
        self._flush()
        self._add("system", event, self._text(event["text"]) or _wordless(event), extra=extra)

    def _reason(self, event: Row) -> None:
        if self._answered:
            self._step = None
        self._reasons.append(self._text(event["text"]))

    def _say(self, event: Row) -> None:
        self._open(event, self._text(event["text"]))

    def _call(self, event: Row, call: Row) -> None:
        if call["actor"] == "user":
            self._shell(event, call)
            return
        if self._step is None or self._answered:
            self._open(event, "")
        step = self._step
        known = [made["tool_call_id"] for made in step.get("tool_calls", ())]
        if call["call_id"] in known:
            step = self._open(event, "")
        name = self._text(call["tool"] or call["name"])
        made = {"tool_call_id": call["call_id"], "function_name": name, "arguments": self._arguments(call)}
        step.setdefault("tool_calls", []).append(made)
        if call["output"] is not None:
            self._observe(step, {"source_call_id": call["call_id"], "content": self._text(call["output"])})
        facts = _present(call, "name", "status", "exit_code", "success", "approval", "duration_ms", "cwd")
        if call["actor"] != "agent":
            facts["actor"] = call["actor"]
        told = {"tool_call_id": call["call_id"], **self._clean(facts)}
        step.setdefault("extra", {}).setdefault("tool_calls", []).append(told)

    def _shell(self, event: Row, call: Row) -> None:
        """A command that the user ran: its output stands in the step of the turn it opened."""
        self._flush()
        last = self._part.steps[-1] if self._part.steps else {}
        if last.get("extra", {}).get("kind") != "shell" or "observation" in last:
            last = self._add("user", event, "", extra={"kind": "shell"})
        last["message"] = self._text(f"!{call['command'] or ''}")
        last["extra"] |= _present(call, "exit_code")
        self._observe(last, {"content": self._text(call["output"])})

    def _arguments(self, call: Row) -> dict[str, Any]:
        """The arguments as an object. Text that is none (a patch, cut or broken JSON) stands under `input`."""
        raw = call["arguments"]
        if raw is None:
            return {"command": self._text(call["command"])} if call["command"] else {}
        text = self._text(raw)
        try:
            found = json.loads(text, parse_constant=str)
        except (ValueError, RecursionError):
            return {"input": text}
        return self._clean(found) if isinstance(found, dict) else {"input": text}

    def _open(self, event: Row, message: str) -> dict[str, Any]:
        """A new step of the agent, with the reasoning and the tokens that came before it."""
        self._step = self._add("agent", event, message)
        self._answered = False
        model = self.model.get((event["run"], event["turn_id"]))
        if model and model != self._part.agent.get("model_name"):
            self._step["model_name"] = self._text(model)
        if self._reasons:
            self._step["reasoning_content"] = "\n\n".join(self._reasons)
            self._reasons = []
        if self._unclaimed:
            waiting, self._unclaimed = dict(self._unclaimed), defaultdict(int)
            self._measure(self._step, waiting)
        return self._step

    def _count(self, row: Row) -> None:
        spent = {name: row[name] for name in usage.FIELDS if row[name] is not None}
        for name, value in spent.items():
            self._part.tokens[name] = self._part.tokens.get(name, 0) + value
        if not any(spent.values()):
            return
        if self._step is not None:
            self._measure(self._step, spent)
            return
        for name, value in spent.items():
            self._unclaimed[name] += value

    def _measure(self, step: dict[str, Any], spent: Mapping[str, int]) -> None:
        metrics = step.setdefault("metrics", {})
        for name, source in _METRICS.items():
            if source in spent:
                metrics[name] = metrics.get(name, 0) + spent[source]

    def _refer(self, found: list[str], event: Row) -> None:
        """Refer to sub-agents where the parent's record first names them."""
        if not found:
            return
        step = self._step or self._add("system", event, "A sub-agent worked on this thread's behalf.")
        references = []
        for child in found:
            del self.children[child]
            key = {"trajectory_id": child} if self.embed else {"trajectory_path": self.places[child]}
            references.append({"session_id": child} | key)
            self._part.children.append(child)
        results = step.setdefault("observation", {"results": []})["results"]
        answer = [result for result in results if result.get("source_call_id") == event["call_id"] is not None]
        if not answer:
            results.append({})
        (answer or results)[-1].setdefault("subagent_trajectory_ref", []).extend(references)

    def _place_the_rest(self) -> None:
        """Sub-agents that only their own metadata ties to this thread."""
        left = [child for child, ordinal in self.children.items() if ordinal is None]
        if left and self.events.height:
            self._refer(left, self.events.row(self.events.height - 1, named=True))

    def _observe(self, step: dict[str, Any], result: dict[str, Any]) -> None:
        step.setdefault("observation", {"results": []})["results"].append(result)

    def _flush(self) -> None:
        """End the agent's step; reasoning and tokens that led to no words and no call have one of their own."""
        if (self._reasons or self._unclaimed) and self._part.steps:
            self._open({"ts": None, "run": None, "turn_id": None}, "")
        self._step, self._answered = None, False

    def _add(self, source: str, event: Row, message: str, extra: dict[str, Any] | None = None) -> dict[str, Any]:
        step: dict[str, Any] = {"source": source, "message": message}
        if event["ts"] is not None:
            step["timestamp"] = _iso(event["ts"])
        if extra:
            step["extra"] = extra
        self._part.steps.append(step)
        return step

    def _agent(self) -> dict[str, Any]:
        session = self.session
        agent = {"name": "codex", "version": session.get("cli_version") or "unknown"}
        if session.get("model"):
            agent["model_name"] = session["model"]
        extra = {name: session.get(name) for name in ("originator", "session_source", "model_provider")}
        return self._clean(agent | ({"extra": _filled(extra)} if _filled(extra) else {}))

    def _extra(self) -> dict[str, Any]:
        names = ("source", "repository_url", "commit_hash", "branch", "cwd", "outcome", "parent_thread_id")
        return self._clean(_filled({name: self.session.get(name) for name in names}))

    def _text(self, text: str | None) -> str:
        # JSON can spell half a surrogate pair, which no UTF-8 file and no strict reader can hold.
        return self._redact(text or "", self.thread_id).encode("utf-8", "replace").decode("utf-8")

    def _clean(self, value: Any) -> Any:
        """The value with every text in it redacted."""
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, dict):
            return {self._text(key): self._clean(item) for key, item in value.items()}
        return [self._clean(item) for item in value] if isinstance(value, list) else value


def _by_place(rows: pl.DataFrame) -> dict[tuple[int, int], list[Row]]:
    found: dict[tuple[int, int], list[Row]] = defaultdict(list)
    for row in rows.sort("run", "seq_start").iter_rows(named=True):
        found[row["run"], row["seq_start"]].append(row)
    return dict(found)


def _children(events: pl.DataFrame, places: Mapping[str, str]) -> dict[str, int | None]:
    """Sub-agents of the thread -> ordinal of the record that first names them (None: no record of the parent does)."""
    found: dict[str, int | None] = {}
    texts = events.filter(pl.col("kind").is_in(_SPAWNS)).select("ordinal", "text", "detail")
    for ordinal, text, detail in texts.iter_rows():
        for child in places:
            if child not in found and (child in (detail or "") or child in (text or "")):
                found[child] = ordinal
    return found


def _increases(events: pl.DataFrame) -> pl.DataFrame:
    return usage.increases(events.with_columns(pl.lit(0).alias("thread"), pl.lit(0).alias("turn")))


def _scaffold(event: Row) -> bool:
    return (event["detail"] or "").startswith('{"scaffold"')


def _wordless(event: Row) -> str:
    """What a record without words is: its kind, and the reason that it states."""
    stated = json.loads(event["detail"] or "{}").get("reason")
    return f"{event['kind']}: {stated}" if isinstance(stated, str) else event["kind"]


def _present(row: Row, *names: str) -> dict[str, Any]:
    return _filled({name: row[name] for name in names})


def _filled(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
