"""The rules on real sessions: counts agree with a recount by a few lines, and both formats tell the same."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from codex_loop_assets.signals.observability import session_observability
from codex_loop_assets.signals.rules import detect
from codex_loop_assets.signals.schema import load_schema
from codex_loop_assets_tests.signals.test_planted_moments import canon_of

SHARED = Path(__file__).parents[2] / "../shared"
CORPUS = SHARED / "corpus/rollouts"
REWRAP = SHARED / "tools/rollouts_to_spines.py"
SCHEMA = load_schema()
pytestmark = pytest.mark.skipif(not CORPUS.is_dir(), reason="no real sessions beside this checkout")


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("real")
    (root / "sessions").symlink_to(CORPUS.resolve(), target_is_directory=True)
    return root


@pytest.fixture(scope="module")
def found(home) -> list[dict]:
    return detect(canon_of(home), SCHEMA).to_dicts()


def payloads() -> Iterator[tuple[str, dict]]:
    """(thread or file, payload) of every typed line, read with the standard library alone."""
    for path in sorted(CORPUS.rglob("*.jsonl")):
        for line in path.read_text("utf-8", errors="replace").splitlines():
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if isinstance(record, dict) and isinstance(record.get("payload"), dict):
                yield str(path), record["payload"]


def test_refusals_agree_with_a_recount_of_codexs_own_words(found):
    refused = ("exec command rejected by user", "patch rejected by user")
    expected = sum(
        payload.get("type") in ("function_call_output", "custom_tool_call_output")
        and str(payload.get("output")).strip() in refused
        for _, payload in payloads()
    )
    assert sum(row["category"] in ("denial_exec", "denial_patch") for row in found) == expected > 0


def test_patch_failures_agree_with_a_recount(found):
    failing = "apply_patch verification failed"
    expected = sum(
        payload.get("type") in ("function_call_output", "custom_tool_call_output")
        and str(payload.get("output")).startswith(failing)
        for _, payload in payloads()
    )
    evidence = [json.loads(row["evidence"]) for row in found if row["category"] == "patch_failure"]
    shown = sum(str(item.get("quote", "")).startswith(failing) for items in evidence for item in items)
    assert shown == expected > 0


def test_every_exec_failure_rests_on_calls_that_failed(found, home):
    codes = {
        (row["thread_id"], row["call_id"]): row["exit_code"] for row in canon_of(home).tool_calls.iter_rows(named=True)
    }
    failures = [row for row in found if row["category"] == "exec_failure"]
    assert failures
    for row in failures:
        assert all(codes[row["thread_id"], item["call_id"]] not in (0, None) for item in json.loads(row["evidence"]))


def test_the_same_sessions_as_spines_show_the_same(found, tmp_path):
    subprocess.run([sys.executable, str(REWRAP), str(CORPUS), str(tmp_path)], check=True, capture_output=True)
    rewrapped = detect(canon_of(tmp_path), SCHEMA).to_dicts()
    told_by_both = ("exec_failure", "denial_exec", "patch_failure", "interrupt", "clean_plan", "timeout")
    counts = [
        Counter(row["category"] for row in rows if row["category"] in told_by_both) for rows in (found, rewrapped)
    ]
    assert counts[0] == counts[1]


def test_every_finding_could_be_seen_in_its_session(found, home):
    seen = session_observability(canon_of(home), SCHEMA).filter("observable")
    observable = set(seen.select("thread_id", "category").iter_rows())
    assert not [row for row in found if (row["thread_id"], row["category"]) not in observable]
