"""A small, complete set of frames: 14 days of sessions in two repositories with one planted problem (pytest without its
plugin, in `shop`) and some delight. Tests change it and look at what tickets, reports and verdicts make of it."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta

import polars as pl

from codex_loop_assets.signals.model import signal_id
from codex_loop_assets.tables import TABLES

FIRST = date(2026, 3, 1)
TODAY = date(2026, 3, 14)
CLUSTER = "clu_pytest"
ERROR = "ModuleNotFoundError: No module named 'pytest_asyncio'"


def at(day: date, hour: int = 9, minute: int = 0) -> datetime:
    return datetime(day.year, day.month, day.day, hour, minute, tzinfo=UTC)


def thread(number: int) -> str:
    return f"019d0000-0000-7000-8000-{number:012d}"


def session(number: int, day: date, failing: bool) -> dict:
    return {
        "thread_id": thread(number), "source": "rollout", "machine": "laptop", "home": "ada" if number % 2 else "grace",
        "originator": "codex_cli_rs", "session_source": "cli", "cli_version": "0.61.0" if failing else "0.60.1",
        "model": "gpt-5.2", "started_at": at(day), "ended_at": at(day, 10), "cwd": "/srv/shop",
        "repository_url": "https://example.org/acme/shop.git" if failing else "https://example.org/acme/docs.git",
        "repository": "shop" if failing else "docs", "commit_hash": f"{number:040x}", "branch": "main", "turn_count": 1,
        "human_turn_count": 1, "tool_call_count": 2, "failed_tool_call_count": 2 if failing else 0, "run_count": 1,
        "compaction_count": 0, "error_count": 0, "approvals_observable": False, "human": True, "excluded": False,
        "is_eval": False, "outcome": "completed", "outcome_reason": "last turn completed", "total_tokens": 1200,
    }  # fmt: skip


def turn(number: int, day: date, failing: bool) -> dict:
    words = "run the tests of <b>shop</b> and fix `what` fails | # now" if failing else "describe the API in the docs"
    return {
        "thread_id": thread(number), "run": 0, "turn_id": "1", "seq_start": 3, "seq_end": 12, "occurred_at": at(day),
        "ended_at": at(day, 9, 5), "turn_index": 0, "user_message": words, "final_message": "Done.",
        "end_state": "completed",
        "model": "gpt-5.2", "approval_policy": "on-request", "sandbox_policy": "workspace-write", "source": "rollout",
        "kind": "prompt", "human": True, "rolled_back": False, "interrupted": False, "undone": False,
        "compaction_count": 0,
        "tool_call_count": 2, "failed_tool_call_count": 2 if failing else 0, "duration_ms": 300_000,
        "total_tokens": 1200,
    }  # fmt: skip


def call(number: int, seq: int, day: date, failing: bool) -> dict:
    return {
        "thread_id": thread(number), "run": 0, "turn_id": "1", "call_id": f"call_{number}_{seq}", "seq_start": seq,
        "seq_end": seq + 1, "occurred_at": at(day), "name": "shell", "tool": "shell",
        "command": "cd shop && timeout 60 pytest -q tests" if failing else "ls docs", "exit_code": 1 if failing else 0,
        "exit_code_from": "event", "success": not failing, "status": "failed" if failing else "completed",
        "approval_requests": 0, "ambiguous_approval": False, "paths": ["tests/test_cart.py"], "actor": "agent",
        "output": f"collecting\n{ERROR}\n1 failed" if failing else "index.md", "source": "rollout",
    }  # fmt: skip


def signal(number: int, day: date, category: str = "exec_failure", kind: str = "friction") -> dict:
    return {
        "signal_id": signal_id(thread(number), 0, 5, category), "thread_id": thread(number), "run": 0, "turn_id": "1",
        "call_id": f"call_{number}_5", "seq_start": 5, "seq_end": 8, "occurred_at": at(day), "type": kind,
        "category": category, "severity": 3 if number % 3 == 0 else 2, "confidence": 0.9, "detector": "mechanical",
        "detector_version": "1", "schema_version": "s1",
        "description": "pytest fails twice because a plugin is missing",
        "evidence": json.dumps([{"seq": 5, "call_id": f"call_{number}_5", "quote": ERROR}]),
        "detectors": ["mechanical"],
    }  # fmt: skip


def frames(today: date = TODAY, affected: int = 10) -> dict[str, pl.DataFrame]:
    """All tables. Session n starts on day n (cyclic); the first `affected` hold the planted problem."""
    numbers = range(1, 31)
    days = {number: FIRST + timedelta(days=(number - 1) % 14) for number in numbers}
    failing = {number for number in numbers if number <= affected}
    signals = [signal(number, days[number]) for number in failing]
    signals += [
        signal(number, days[number], "fast_completion", "delight")
        for number in numbers
        if number not in failing and number % 2
    ]
    rows = {
        "spines": [spine(number, days[number]) for number in numbers] + [broken_spine(FIRST)],
        "sessions": [session(number, days[number], number in failing) for number in numbers],
        "turns": [turn(number, days[number], number in failing) for number in numbers],
        "tool_calls": [call(number, seq, days[number], number in failing) for number in numbers for seq in (5, 7)],
        "signals": signals,
        "judge_coverage": [coverage(number) for number in numbers],
        "clusters": [cluster(today, affected)],
        "cluster_members": [member(row, today) for row in signals],
        "cluster_events": [{"dt": FIRST + timedelta(days=3), "kind": "birth", "cluster_id": CLUSTER, "other_id": "",
        "overlap": 0.0, "size": 4}],
        "cluster_registry": [registry_row(today, affected)],
        "schema_proposals": [proposal(today)],
        "harbor_datasets": [task(number) for number in (1, 2)] + [lost_candidate()],
        "task_validations": [verdict(1, "validated"), verdict(2, "needs_review")],
        "scorecard": [score("exec_failure", 0.95, True), score("fast_completion", 0.6, False)],
    }  # fmt: skip
    return {name: table.frame(rows.get(name, [])) for name, table in TABLES.items()}


def spine(number: int, day: date) -> dict:
    return {
        "thread_id": thread(number), "source": "rollout", "home": "ada" if number % 2 else "grace",
        "path": f"sessions/rollout-{number}.jsonl", "status": "ingested", "bytes": 4096, "lines": 14, "records": 12,
        "fingerprint": f"{number:064x}", "lines_read": 12, "lines_skipped": 2, "lines_torn": 0,
        "skipped": json.dumps({"delta": 2}), "unknown_kinds": "{}", "notes": "[]", "era": "E", "started_at": at(day),
        "started_from": "metadata", "last_record_at": at(day, 10), "files": "[]",
    }  # fmt: skip


def broken_spine(day: date) -> dict:
    return spine(99, day) | {"status": "quarantined", "reason": "no session_meta record", "records": 0, "lines_read": 0,
                             "lines_torn": 12, "notes": '["torn tail"]'}  # fmt: skip


def coverage(number: int) -> dict:
    return {"thread_id": thread(number), "detector": "local_judge", "detector_version": "1", "schema_version": "s1",
            "status": "judged", "findings": 0, "rejected": 0, "calls": 0, "cost_usd": 0.0}  # fmt: skip


def cluster(today: date, size: int) -> dict:
    return {
        "dt": today, "cluster_id": CLUSTER, "type": "friction", "label": "pytest fails: plugin missing",
        "label_from": "local",
        "description": "pytest fails twice because a plugin is missing", "size": size, "severity": 2.3,
        "status": "live",
        "parent_ids": [], "born": FIRST + timedelta(days=3), "last_arrival": today, "session_count": size,
        "user_count": 2,
        "repository_count": 1, "top_category": "exec_failure", "terms": ["pytest", "plugin"],
        "exemplar_ids": [signal_id(thread(1), 0, 5, "exec_failure")], "counterexample_ids": [], "facets": "{}",
        "trend": json.dumps([1, 0, 2, 1, 3, 1, 2]), "cohesion": 0.9, "action": "create_ticket",
        "action_reason": "frequent and severe", "embedding_model": "test/8",
    }  # fmt: skip


def member(row: dict, today: date) -> dict:
    return {"dt": today, "signal_id": row["signal_id"], "cluster_id": CLUSTER if row["type"] == "friction" else None,
            "type": row["type"], "arrived": row["occurred_at"].date(), "signal_day": row["occurred_at"].date(),
            "via": "fit", "similarity": 0.9}  # fmt: skip


def registry_row(today: date, size: int) -> dict:
    return {"cluster_id": CLUSTER, "heir_id": CLUSTER, "lineage_root": CLUSTER, "type": "friction",
            "label": "pytest fails: plugin missing", "status": "live", "size": size, "action": "create_ticket",
            "fingerprint": "f1", "as_of": today}  # fmt: skip


def proposal(today: date) -> dict:
    return {
        "dt": today, "proposal_id": "proposal_1", "cluster_id": CLUSTER, "name": "missing_test_plugin",
        "type": "friction",
        "definition": "A test run fails because a plugin is not installed.",
        "inclusion_criteria": ["an import of a plugin fails"],
        "exclusion_criteria": ["a test fails"], "severity_rule": "2, 3 when repeated",
        "recommended_action": "create_ticket",
        "positives": "[]", "hard_negatives": "[]", "overlap": "{}", "backtest": "{}", "sample_count": 10,
        "session_count": 10,
        "confidence": 0.8, "confidence_reasons": ["cohesive"], "status": "open",
    }  # fmt: skip


def task(number: int) -> dict:
    return {
        "cluster_id": CLUSTER, "candidate_id": f"cand_{number}", "signal_ids": [], "thread_id": thread(number),
        "run": 0,
        "seq_start": 3, "seq_end": 12, "stage": "built", "reason": "", "task_name": f"codex-loop/shop-{number}",
        "task_dir": f"harbor/datasets/{CLUSTER}/shop-{number}", "dataset_dir": f"harbor/datasets/{CLUSTER}",
        "digest": "sha256:0", "environment_kind": "hermetic", "verifier_kind": "command", "solution_from": "session",
        "repository": "shop", "language": "python", "instruction": "run the tests", "verifier_command": "pytest -q",
        "set_kind": "target",
    }  # fmt: skip


def lost_candidate() -> dict:
    return {"cluster_id": CLUSTER, "candidate_id": "cand_3", "signal_ids": [], "thread_id": thread(3),
        "stage": "segment",
            "reason": "no command failed before and passed after"}  # fmt: skip


def verdict(number: int, status: str) -> dict:
    return {"cluster_id": CLUSTER, "candidate_id": f"cand_{number}", "digest": "sha256:0", "check": "verdict",
        "attempt": 0,
            "status": status, "reason": "nop 0, oracle 1" if status == "validated" else "repeats disagree"}  # fmt: skip


def score(category: str, precision: float, above: bool) -> dict:
    return {"truth": "planted_fixtures", "detector": "mechanical", "category": category, "language": "all",
        "matching": "exact",
            "true_positives": 19, "false_positives": 1, "false_negatives": 2, "precision": precision,
            "precision_low": precision - 0.1,
            "precision_high": min(1.0, precision + 0.04), "recall": 0.9, "recall_low": 0.8, "recall_high": 0.95,
            "f1": 0.92,
            "bar": 0.8, "above_bar": above, "detector_version": "1"}  # fmt: skip
