"""One day's judging: which sessions a judge reads, and the rows that say what came of each.

What belongs here: the quiet period, exclusions, isolation of failures, rows of `semantic_signals` and `judge_coverage`.
What does not: how a judge decides. Every session of the day has exactly one coverage row per judge; a session that was
not judged is never a finding, nor the absence of one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from codex_loop_assets import settings as configuration
from codex_loop_assets.signals.judges.base import (
    Finding,
    Judge,
    JudgeResult,
    ManyJudge,
    PartialJudge,
    Transcript,
    verify,
)
from codex_loop_assets.signals.judges.transcript import transcripts
from codex_loop_assets.signals.model import CanonTables, DetectedBy, Evidence, Moment, detection_row
from codex_loop_assets.signals.redaction import redact
from codex_loop_assets.signals.schema import SignalSchema
from codex_loop_assets.tables import JUDGE_COVERAGE, SEMANTIC_SIGNALS


def judge_day(
    canon: CanonTables,
    schema: SignalSchema,
    judge: Judge,
    now: datetime,
    settings: Mapping[str, Any] | None = None,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Judge the sessions of one day: frames of `semantic_signals` and `judge_coverage`.

    `now` (UTC) decides which sessions have been quiet long enough; `settings` is the section `judges`. A session whose
    judging raises gets a `failed` row and does not stop the others.
    """
    settings = settings if settings is not None else configuration.section("judges")
    signals: list[dict] = []
    ready, others = _sorted(canon, now, settings)
    coverage = [_coverage_row(thread, judge, schema, status, reason) for thread, status, reason in others]
    for transcript, result in zip(ready, _results(judge, ready, schema), strict=True):
        kept, rejected = verify(result.findings, transcript, schema) if result.status == "judged" else ((), 0)
        coverage.append(_result_row(transcript.thread_id, judge, schema, result, len(kept), rejected))
        by = DetectedBy(judge.name, judge.version, schema.version, result.model)
        signals.extend(_signal_row(finding, transcript, by) for finding in kept)
    return SEMANTIC_SIGNALS.frame(signals), JUDGE_COVERAGE.frame(coverage)


def to_be_judged(canon: CanonTables, now: datetime, settings: Mapping[str, Any] | None = None) -> list[Transcript]:
    """The sessions that `judge_day` would have a judge read."""
    return _sorted(canon, now, settings if settings is not None else configuration.section("judges"))[0]


def _sorted(
    canon: CanonTables, now: datetime, settings: Mapping[str, Any]
) -> tuple[list[Transcript], list[tuple[str, str, str | None]]]:
    """Sessions to be read, and thread id, status and reason of the others."""
    by_thread = transcripts(canon.turns, canon.tool_calls)
    ready, others = [], []
    for session in canon.sessions.iter_rows(named=True):
        transcript = by_thread.get(session["thread_id"], Transcript(session["thread_id"], ()))
        status, reason = _standing(session, transcript, now, settings["quiet_hours"])
        if status == "ready":
            ready.append(transcript)
        else:
            others.append((session["thread_id"], status, reason))
    return ready, others


def _standing(session: dict, transcript: Transcript, now: datetime, quiet_hours: float) -> tuple[str, str | None]:
    """`ready`, or the coverage status and reason of a session that is not to be judged now."""
    if session["excluded"]:
        return "excluded", session["exclusion_reason"] or "excluded session"
    if not transcript.spoken_turns:
        return "nothing_to_judge", "no message typed by a person"
    last = session["ended_at"] or session["started_at"]
    if last is not None and now - last < timedelta(hours=quiet_hours):
        return "active", f"last record less than {quiet_hours:g} hours ago; judged once it is quiet"
    return "ready", None


def _results(judge: Judge, ready: Sequence[Transcript], schema: SignalSchema) -> list[JudgeResult]:
    if not isinstance(judge, ManyJudge):
        return [_judged(judge, transcript, schema) for transcript in ready]
    missing = JudgeResult("failed", reason="the judge gave no answer about this session")
    answers = judge.judge_many(ready, schema) if ready else {}
    return [answers.get(transcript.thread_id, missing) for transcript in ready]


def _judged(judge: Judge, transcript: Transcript, schema: SignalSchema) -> JudgeResult:
    try:
        return judge.judge(transcript, schema)
    except Exception as error:  # whatever one session does to a judge, the others are judged
        return JudgeResult("failed", reason=f"{type(error).__name__}: {error}")


def _coverage_row(thread_id: str, judge: Judge, schema: SignalSchema, status: str, reason: str | None) -> dict:
    return {
        "thread_id": thread_id,
        "detector": judge.name,
        "detector_version": judge.version,
        "schema_version": schema.version,
        "status": status,
        "reason": redact(reason, thread_id) if reason else None,
        "left_out": list(judge.left_out(schema)) if isinstance(judge, PartialJudge) else [],
        "findings": 0,
        "rejected": 0,
        "calls": 0,
    }


def _result_row(
    thread_id: str, judge: Judge, schema: SignalSchema, result: JudgeResult, kept: int, rejected: int
) -> dict:
    facets = json.dumps(dict(result.facets), ensure_ascii=False, sort_keys=True) if result.facets else None
    return _coverage_row(thread_id, judge, schema, result.status, result.reason) | {
        "findings": kept,
        "rejected": result.rejected + rejected,
        "calls": result.usage.calls,
        "input_tokens": result.usage.input_tokens,
        "output_tokens": result.usage.output_tokens,
        "cost_usd": result.usage.cost_usd,
        "facets": redact(facets, thread_id) if facets else None,
    }


def _signal_row(finding: Finding, transcript: Transcript, by: DetectedBy) -> dict[str, object]:
    turn = transcript.turn(finding.run, finding.seq_start)
    if turn is None:
        raise ValueError(f"a verified finding names the turn {finding.run}:{finding.seq_start}, which does not exist")
    moment = Moment(
        thread_id=transcript.thread_id,
        run=turn.run,
        seq_start=turn.seq_start,
        seq_end=turn.seq_start,
        severity=finding.severity,
        confidence=round(finding.confidence, 4),
        description=finding.description,
        evidence=(Evidence(turn.seq_start, quote=finding.quote),),
        turn_id=turn.turn_id,
        occurred_at=turn.occurred_at,
    )
    return detection_row(moment.redacted(redact), finding.category, finding.type, by)
