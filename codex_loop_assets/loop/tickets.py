"""From a cluster to a ticket: row, Markdown, claims, and the life events of the day.

What belongs here: the parts of a ticket and how they come together. What does not: when one opens (`opening`, `cause`),
evidence (`evidence`, `affected`), advice (`advice`), life (`life`), the check of claims (`claims`), where tickets are sent (`sinks`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import polars as pl

from codex_loop_assets.discovery.ask import Asker
from codex_loop_assets.loop import advice_llm, affected, claims, life, ticket_text
from codex_loop_assets.loop.advice import LONGEST_TITLE, Advice, suggest, title
from codex_loop_assets.loop.cause import Cause, beside, cause, placed, still_shared
from codex_loop_assets.loop.claims import Claim, ClaimBook, Finding
from codex_loop_assets.loop.due import observation
from codex_loop_assets.loop.evidence import Evidence, Fact, facts, gather
from codex_loop_assets.loop.excerpt import escape, excerpt, literal
from codex_loop_assets.loop.opening import Case, refusal
from codex_loop_assets.settings import section
from codex_loop_assets.tables import TABLES

NEEDED = (
    "clusters",
    "cluster_members",
    "cluster_registry",
    "signals",
    "sessions",
    "turns",
    "tool_calls",
    "harbor_datasets",
    "task_validations",
    "scorecard",
)
REASONS_SHOWN = 3


@dataclass(frozen=True)
class Ticket:
    """A ticket as of a day. `frame` is its row of `tickets` (empty when another cluster's partition holds the ticket);
    `events` are to be appended to the log; `findings` say why it may not be published (then nothing is sent)."""

    frame: pl.DataFrame
    markdown: str
    title: str
    events: tuple[life.Event, ...]
    claims: tuple[Claim, ...]
    advice: Advice
    findings: tuple[Finding, ...]

    @property
    def row(self) -> dict | None:
        return self.frame.row(0, named=True) if self.frame.height else None


@dataclass(frozen=True)
class _Subject:
    """What a ticket is about: the cluster, its evidence, the facts it shares, its tasks, and the ticket's state if
    any."""

    cluster: Mapping
    evidence: Evidence
    facts: Mapping[str, Fact]
    tasks: list[dict]
    identity: str
    state: life.State | None
    name: str
    same_problem: tuple[str, ...] = ()
    history: tuple[life.Event, ...] = ()


def build(
    cluster_id: str,
    frames: Mapping[str, pl.DataFrame],
    log: Iterable[life.Event],
    today: date,
    settings: Mapping | None = None,
    *,
    force: bool = False,
    asker: Asker | None = None,
) -> Ticket:
    """The ticket of a cluster as of `today`.

    `frames` holds the tables of NEEDED; the newest cluster state up to `today` counts. `log` is the whole ticket log.
    `force` opens a ticket that the thresholds would not (a person asked for it). With an `asker` a model writes the
    advice, held to the same checks; without one, or where its advice does not stand, templates do. Raises KeyError
    for a cluster never seen.
    """
    settings = settings or section("tickets")
    decided = decide(cluster_id, frames, log, today, settings, force=force)
    if decided.subject is None:
        return decided.row_only
    return _assembled(decided.subject, frames, decided.blocked, list(decided.events), today, settings, asker)


@dataclass(frozen=True)
class Decided:
    """What a day means for a cluster's ticket, before anything is written: the life events, why none opens (`blocked`),
    and what the ticket would be about. `row_only` stands for a ticket without a text of its own."""

    events: tuple[life.Event, ...]
    blocked: str | None = None
    subject: _Subject | None = None
    row_only: Ticket | None = None


def decide(
    cluster_id: str,
    frames: Mapping[str, pl.DataFrame],
    log: Iterable[life.Event],
    today: date,
    settings: Mapping | None = None,
    *,
    force: bool = False,
) -> Decided:
    """Whether the cluster has, opens, or hands over a ticket; arguments as of `build`."""
    settings = settings or section("tickets")
    log = list(log)
    cluster = newest_state(cluster_id, frames["clusters"], today)
    registry = frames["cluster_registry"]
    states = life.fold(log)
    identity = life.fingerprint(cluster_id, registry, states)
    state = states.get(life.ticket_id(identity))
    if cluster["status"] == "merged":
        ticket = _merged(cluster, identity, state, registry, states, today)
        return Decided(ticket.events, row_only=ticket)
    if life.holder(identity, registry, states) not in {cluster_id, None}:
        return Decided((), row_only=_held_elsewhere())
    same = _same_problem(cluster, frames, settings)
    elder = _elder(state, same, registry, states)
    if state and elder and not force:
        ticket = _handed_over(cluster, state, elder, today)
        return Decided(ticket.events, row_only=ticket)
    evidence = gather(cluster_id, today, frames, cluster["exemplar_ids"])
    shared = facts(evidence, settings)
    tasks = _tasks(cluster_id, frames)
    root = cause(evidence, shared, cluster["terms"], settings)
    twin = elder or _called_the_same(root, identity, states)
    case = Case(cluster, evidence, tasks, root, frames["scorecard"], twin and twin.ticket_id)
    blocked = None if force or state else refusal(case, settings)
    name = _title(cluster, shared, root, settings)
    lost = bool(state and state.cause) and not still_shared(evidence, *state.cause.values(), settings)
    naming = life.Naming(name, root and root.as_dict(), anew=lost)
    seen = _observation(evidence, today)
    events = [] if blocked else life.advance(state, identity, seen, _opening(cluster), settings, naming)
    history = life.ordered([*_history(log, identity), *events])
    after = life.fold(history).get(life.ticket_id(identity))
    return Decided(
        tuple(events), blocked, _Subject(cluster, evidence, shared, tasks, identity, after, name, tuple(same), history)
    )


def _same_problem(cluster: Mapping, frames: Mapping[str, pl.DataFrame], settings: Mapping) -> list[str]:
    """Live friction patterns whose signals stand beside this one's (see `cause`), the closest first."""
    registry, members = frames["cluster_registry"], frames["cluster_members"].filter(pl.col("dt") == cluster["dt"])
    if cluster["type"] != "friction":
        return []
    live = registry.filter((pl.col("status") == "live") & (pl.col("type") == "friction"))["cluster_id"]
    place = placed(members, live, frames["signals"], frames["turns"])
    return [neighbour.cluster_id for neighbour in beside(cluster["cluster_id"], place, settings)]


def _elder(
    state: life.State | None, same: Iterable[str], registry: pl.DataFrame, states: Mapping[str, life.State]
) -> life.State | None:
    """The oldest ticket that the same problem has already, if it is older than this one's."""
    others = (states.get(life.ticket_id(life.fingerprint(name, registry, states))) for name in same)
    known = [other for other in others if other and other.status != "merged" and other != state]
    oldest = min(known, key=lambda other: (other.opened_on, other.ticket_id), default=None)
    if oldest and state and (state.opened_on, state.ticket_id) <= (oldest.opened_on, oldest.ticket_id):
        return None
    return oldest


def newest_state(cluster_id: str, clusters: pl.DataFrame, today: date) -> dict:
    """The cluster's row of the newest day up to `today`. Raises KeyError when there is none."""
    rows = clusters.filter((pl.col("cluster_id") == cluster_id) & (pl.col("dt") <= today)).sort("dt")
    if not rows.height:
        raise KeyError(f"no cluster {cluster_id!r} up to {today}")
    return rows.row(-1, named=True)


def _history(log: Iterable[life.Event], identity: str) -> list[life.Event]:
    return [event for event in log if event.fingerprint == identity]


def _opening(cluster: Mapping) -> str:
    return excerpt(cluster["action_reason"], None)


def _observation(evidence: Evidence, today: date) -> life.Observation:
    return observation(evidence.cluster_id, evidence.signals, evidence.sessions, today)


def _held_elsewhere() -> Ticket:
    """What a cluster's partition holds whose ticket is in another cluster's."""
    return Ticket(TABLES["tickets"].empty(), "", "", (), (), Advice((), "templates"), ())


def _merged(cluster, identity, state, registry, states, today) -> Ticket:
    """A merged cluster's own ticket closes as part of the heir's; where both are one ticket, the heir's partition has
    it."""
    heir = registry.filter(pl.col("cluster_id") == cluster["cluster_id"])["heir_id"].to_list()
    heir_identity = life.fingerprint(heir[0] if heir else cluster["merged_into"], registry, states)
    if state is None or heir_identity == identity:
        return _held_elsewhere()
    events = life.merge(state, life.ticket_id(heir_identity), today, "its cluster became part of")
    return _closed_into(cluster, state, events)


def _handed_over(cluster: Mapping, state: life.State, elder: life.State, today: date) -> Ticket:
    """Two tickets turned out to be about one problem: the younger closes as part of the elder."""
    events = life.merge(state, elder.ticket_id, today, "its moments stand beside those of")
    return _closed_into(cluster, state, events)


def _closed_into(cluster: Mapping, state: life.State, events: list[life.Event]) -> Ticket:
    """The row and text of a ticket that is part of another one."""
    reason = events[0].reason if events else state.reason
    name = state.title or _title(cluster, {}, None, section("tickets"))
    row = {
        "ticket_id": state.ticket_id,
        "cluster_id": cluster["cluster_id"],
        "fingerprint": state.fingerprint,
        "title": name,
        "status": "merged",
        "reason": reason,
        "priority": "P3",
        "labels": [],
        "signal_count": cluster["size"],
        "session_count": cluster["session_count"],
        "validated_tasks": 0,
        "path": f"tickets/{state.ticket_id}.md",
        "opened_on": state.opened_on,
        "updated_on": events[0].day if events else state.updated_on,
    }
    text = f"# {escape(name)}\n\nClosed: {escape(reason)}.\n"
    return Ticket(TABLES["tickets"].frame([row]), text, name, tuple(events), (), Advice((), "templates"), ())


def _called_the_same(root: Cause | None, identity: str, states: Mapping[str, life.State]) -> life.State | None:
    """The ticket that another cluster has for the same shared thing."""
    if root is None:
        return None
    others = (state for state in states.values() if state.fingerprint != identity and state.status != "merged")
    same = [state for state in others if state.cause and state.cause["value"] == root.fact.value]
    return min(same, key=lambda state: (state.opened_on, state.ticket_id), default=None)


def _title(cluster: Mapping, shared: Mapping[str, Fact], root: Cause | None, settings: Mapping) -> str:
    called_after = root and root.fact.name
    if root and "phrase" in shared and shared["phrase"].sessions < root.fact.sessions:
        shared = {name: fact for name, fact in shared.items() if name != "phrase"}  # It would say less than the cause.
    name = excerpt(
        title(cluster["top_category"], shared, cluster["label"], called_after, settings), None, LONGEST_TITLE
    )
    return name[:1].upper() + name[1:] if name == excerpt(cluster["label"], None, LONGEST_TITLE) else name


def _assembled(
    subject: _Subject,
    frames: Mapping[str, pl.DataFrame],
    blocked: str | None,
    events: list[life.Event],
    today: date,
    settings: Mapping,
    asker: Asker | None,
) -> Ticket:
    cluster, evidence = subject.cluster, subject.evidence
    book = ClaimBook()
    numbers = _numbers(evidence, subject.tasks, book)
    facets = [
        (facet, book.add(f"sessions by {facet.column}", affected.query(evidence, facet), facet.statement))
        for facet in affected.differing(evidence, frames["sessions"], settings)
    ]
    advice = _advice(subject, book, settings, None if blocked else asker)
    listed = _listed(cluster, evidence, settings["evidence"]["shown"])
    resolved = book.add("evidence pointers that resolve", _pointers_sql(listed), len(listed))
    without_task = [] if subject.tasks else _without_task(cluster["cluster_id"], frames["harbor_datasets"], book)
    findings = [] if blocked else claims.check(book.claims, advice, frames, settings)
    row = _row(subject, numbers, blocked, today, settings)
    parts = ticket_text.Parts(
        row,
        cluster,
        evidence,
        numbers,
        facets,
        listed,
        resolved,
        subject.tasks,
        advice,
        findings,
        book.claims,
        frames,
        _labelled(subject.same_problem, frames["cluster_registry"]),
        subject.history,
        without_task,
    )
    markdown = ticket_text.render(parts, settings)
    frame = TABLES["tickets"].frame([row])
    return Ticket(frame, markdown, row["title"], tuple(events), tuple(book.claims), advice, tuple(findings))


def _without_task(cluster_id: str, datasets: pl.DataFrame, book: ClaimBook) -> list[tuple[str, Claim]]:
    """Why the cluster's segments became no task, the most frequent reasons first, with the claim that counts each."""
    rows = datasets.filter(
        (pl.col("cluster_id") == cluster_id) & (pl.col("stage") != "built") & (pl.col("reason") != "")
    )
    counted = rows.group_by("reason").len().sort("len", "reason", descending=[True, False]).head(REASONS_SHOWN)
    where = f"FROM harbor_datasets WHERE cluster_id = {literal(cluster_id)} AND stage <> 'built'"
    return [
        (
            reason,
            book.add("segments that became no task", f"SELECT count(*) {where} AND reason = {literal(reason)}", count),
        )
        for reason, count in counted.iter_rows()
        if excerpt(reason, None, limit=10_000) == reason  # Else the query would show what the outlet takes out.
    ]


def _labelled(clusters: Iterable[str], registry: pl.DataFrame) -> list[tuple[str, str]]:
    """(cluster id, label) of clusters."""
    labels = dict(registry.select("cluster_id", "label").iter_rows())
    return [(name, labels.get(name, "")) for name in clusters]


def _advice(subject: _Subject, book: ClaimBook, settings: Mapping, asker: Asker | None) -> Advice:
    if asker is not None:
        listed = _listed(subject.cluster, subject.evidence, settings["evidence"]["shown"])
        examples = [excerpt(signal["description"], signal["thread_id"], 400) for signal in listed]
        written = advice_llm.suggest(asker, subject.cluster, examples, subject.facts, book.of_fact, settings)
        if written is not None:
            return written
    return suggest(subject.cluster["top_category"], subject.facts, book.of_fact, settings)


def _row(subject: _Subject, numbers: Mapping[str, Claim], blocked: str | None, today: date, settings: Mapping) -> dict:
    """The row of `tickets`."""
    state, ticket_id = subject.state, life.ticket_id(subject.identity)
    return {
        "ticket_id": ticket_id,
        "cluster_id": subject.cluster["cluster_id"],
        "fingerprint": subject.identity,
        "title": (state and state.title) or subject.name,
        "status": state.status if state else "not_opened",
        "reason": blocked or state.reason,
        "priority": priority(subject.cluster, subject.evidence, today, settings),
        "labels": _labels(subject.cluster, settings),
        "signal_count": numbers["signals"].value,
        "session_count": numbers["sessions"].value,
        "dataset_dir": next((task["dataset_dir"] for task in subject.tasks if task["dataset_dir"]), None),
        "validated_tasks": numbers["validated"].value,
        "path": f"tickets/{ticket_id}.md" if state else None,
        "opened_on": state.opened_on if state else today,
        "updated_on": state.updated_on if state else today,
    }


def _tasks(cluster_id: str, frames: Mapping[str, pl.DataFrame]) -> list[dict]:
    """Built tasks of the cluster with the verdict of their validation (`unvalidated` where none was made)."""
    verdicts = (
        frames["task_validations"]
        .filter(pl.col("check") == "verdict")
        .select("cluster_id", "candidate_id", verdict="status", verdict_reason="reason")
    )
    built = frames["harbor_datasets"].filter((pl.col("cluster_id") == cluster_id) & (pl.col("stage") == "built"))
    joined = built.join(verdicts, on=["cluster_id", "candidate_id"], how="left")
    filled = joined.with_columns(
        pl.col("verdict").fill_null("unvalidated"), pl.col("verdict_reason").fill_null("not run yet")
    )
    return filled.sort("task_name", "candidate_id", nulls_last=True).to_dicts()


def _numbers(evidence: Evidence, tasks: list[dict], book: ClaimBook) -> dict[str, Claim]:
    members, signals = evidence.members_sql, evidence.signals
    behind = "n.thread_id IN (SELECT thread_id FROM s)"
    return {
        "signals": book.add("signals", f"{members}\nSELECT count(*) FROM s", signals.height),
        "sessions": book.add(
            "sessions", f"{members}\nSELECT count(DISTINCT thread_id) FROM s", signals["thread_id"].n_unique()
        ),
        "homes": book.add(
            "Codex homes",
            f"{members}\nSELECT count(DISTINCT n.home) FROM sessions n WHERE {behind}",
            evidence.sessions["home"].n_unique(),
        ),
        "repositories": book.add(
            "repositories",
            f"{members}\nSELECT count(DISTINCT n.repository) FROM sessions n WHERE {behind}",
            evidence.sessions["repository"].drop_nulls().n_unique(),
        ),
        "severity": book.add(
            "mean severity, 1 mild to 3 strong",
            f"{members}\nSELECT coalesce(avg(severity), 0) FROM s",
            float(signals["severity"].mean() or 0),
        ),
        "validated": book.add(
            "validated tasks",
            "SELECT count(*) FROM task_validations v JOIN harbor_datasets d USING (cluster_id, candidate_id)\n"
            f"WHERE v.cluster_id = {literal(evidence.cluster_id)} AND v.\"check\" = 'verdict'"
            " AND v.status = 'validated'"
            " AND d.stage = 'built'",
            sum(task["verdict"] == "validated" for task in tasks),
        ),
    }


def _listed(cluster: Mapping, evidence: Evidence, shown: int) -> list[dict]:
    """Signals to show: the exemplars nearest to the cluster's centre, then the most severe, one per session first."""
    rank = {signal_id: position for position, signal_id in enumerate(cluster["exemplar_ids"])}
    ordered = sorted(
        evidence.signals.to_dicts(),
        key=lambda signal: (rank.get(signal["signal_id"], len(rank)), -signal["severity"], signal["signal_id"]),
    )
    seen: set[str] = set()
    first = [signal for signal in ordered if not (signal["thread_id"] in seen or seen.add(signal["thread_id"]))]
    rest = [signal for signal in ordered if signal not in first]
    return [*first, *rest][:shown]


def _pointers_sql(signals: list[dict]) -> str:
    """How many of these signals are there with their session and with a turn or call that holds the record."""
    ids = ", ".join(literal(signal["signal_id"]) for signal in signals) or "NULL"
    return (
        f"SELECT count(*) FROM signals x WHERE x.signal_id IN ({ids})\n"
        "    AND EXISTS (SELECT 1 FROM sessions n WHERE n.thread_id = x.thread_id)\n"
        "    AND (EXISTS (SELECT 1 FROM tool_calls c WHERE c.thread_id = x.thread_id AND c.call_id = x.call_id)\n"
        "        OR EXISTS (SELECT 1 FROM turns t WHERE t.thread_id = x.thread_id AND t.run = x.run\n"
        "            AND x.seq_start BETWEEN t.seq_start AND t.seq_end))"
    )


def priority(cluster: Mapping, evidence: Evidence, today: date, settings: Mapping) -> str:
    """P0 to P3: how many of severity, spread and growth reach their limit (`priority` settings)."""
    limits = settings["priority"]
    seen = _observation(evidence, today)
    newer = seen.arrivals(today - timedelta(days=6), today)
    older = seen.arrivals(today - timedelta(days=13), today - timedelta(days=7))
    reached = [
        cluster["severity"] >= limits["severity"],
        evidence.signals["thread_id"].n_unique() >= limits["sessions"],
        newer > 0 and newer >= limits["growth"] * older,
    ]
    return f"P{3 - sum(reached)}"


def _labels(cluster: Mapping, settings: Mapping) -> list[str]:
    prefix = settings["evidence"]["label_prefix"]
    return [
        prefix,
        f"{prefix}:{cluster['type']}",
        *([f"{prefix}:{cluster['top_category']}"] if cluster["top_category"] else []),
    ]
