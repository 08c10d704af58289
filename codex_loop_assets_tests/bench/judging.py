"""The local judge: CPU per 1,000 sessions, beside the mechanical rules and the regex baseline over the same sessions in the
same process, and one promoted category on top. Sessions: the fixtures', read once before."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

from codex_loop_assets_tests.signals.judges.evidence import canon_of

FIXTURES = Path(__file__).parents[2] / "fixtures"
ROUNDS = 5
_LATER = datetime(2030, 1, 1, tzinfo=UTC)
_POSITIVES = tuple(
    f"please use {tool} here and not {other}, as the readme of the {part} says"
    for tool, other in (("pnpm", "npm"), ("uv", "pip"), ("ruff", "black"))
    for part in ("shop", "api", "worker", "docs")
)


def main() -> None:
    """Print CPU seconds per 1,000 sessions, and per message typed by a person."""
    from codex_loop_assets.signals.judges.baseline import RegexBaseline
    from codex_loop_assets.signals.judges.local import LocalJudge
    from codex_loop_assets.signals.judges.run import judge_day
    from codex_loop_assets.signals.rules import detect
    from codex_loop_assets.signals.schema import Category, SignalSchema, load_schema

    canon, schema = canon_of(FIXTURES / "codex_home"), load_schema()
    promoted = Category(
        name="tool_preference", type="friction", definition="The person repeats which tool to use.", status="promoted",
        positives=_POSITIVES, hard_negatives=("which tool formats the code here?",),
    )  # fmt: skip
    wider = SignalSchema(categories={**schema.categories, promoted.name: promoted})
    sessions, messages = canon.sessions.height, int(canon.turns["human"].sum())
    local, baseline = LocalJudge(), RegexBaseline()
    times = {
        "mechanical rules": _cpu(lambda: detect(canon, schema)),
        "regex baseline": _cpu(lambda: judge_day(canon, schema, baseline, _LATER)),
        "local judge": _cpu(lambda: judge_day(canon, schema, local, _LATER)),
        "local judge and a promoted category": _cpu(lambda: judge_day(canon, wider, local, _LATER)),
    }
    print(
        f"{sessions} sessions with {messages} messages of people, {date.today()}, CPU of one process, best of {ROUNDS}"
    )
    rules = times["mechanical rules"]
    for name, seconds in times.items():
        per_thousand, per_message = seconds / sessions * 1000, seconds / messages * 1000
        print(
            f"{name}: {per_thousand:.2f} s per 1,000 sessions, {per_message:.2f} ms per message, "
            f"{seconds / rules:.2f}x the rules"
        )


def _cpu(work: Callable[[], object]) -> float:
    """CPU seconds of the quickest of several rounds, after one that loads what is loaded once."""
    work()
    best = float("inf")
    for _ in range(ROUNDS):
        started = time.process_time()
        work()
        best = min(best, time.process_time() - started)
    return best
