"""Every mechanical category: what it finds, and at least three things that look like it and are not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from codex_loop_assets.settings import section
from codex_loop_assets.signals.rules import detect
from codex_loop_assets.signals.rules.registry import rules
from codex_loop_assets.signals.schema import load_schema
from codex_loop_assets_tests.signals.session_tables import SessionTables as Session

SCHEMA = load_schema()
REFUSED = {"approval": "abort", "status": "declined", "exit_code": -1, "output": "exec command rejected by user"}
APPROVED = {"approval": "approved", "approval_requests": 1}
POLICY = {"status": "declined", "exit_code": -1, "output": "exec command rejected by user approval settings"}
BAD_PATCH = {"success": False, "status": "failed", "output": "apply_patch verification failed: Failed to find lines"}
TIMED_OUT = {"status": "timed_out", "output": "command timed out after 60000 milliseconds"}
STEPS = ("read the code", "change the rule", "run the tests")


def plan(done: int, steps: tuple[str, ...] = STEPS) -> tuple[tuple[str, str], ...]:
    states = ["completed" if n < done else "in_progress" if n == done else "pending" for n in range(len(steps))]
    return tuple(zip(steps, states, strict=True))


def planned(*versions: tuple[tuple[str, str], ...], **turn) -> Session:
    session = Session().ask("change it", **turn)
    for version in versions:
        session.plan(*version)
    return session


def edits(*pairs: tuple[str, str], path: str = "src/a.py") -> Session:
    session = Session().ask("tidy up")
    for removed, added in pairs:
        session.patch(path, removed, added)
    return session


def approvals(*waits: float, decision: str = "approved") -> Session:
    session = Session().ask("deploy")
    for wait in waits:
        session.run("git push", **APPROVED)
        session.event("exec_approval_request", call_id=f"c{wait}", turn_id="1")
        session.event("exec_approval", wait=timedelta(seconds=wait), decision=decision)
    return session


def fixed(check: str = "pytest -q", code: int = 0, output: str = "6 passed", **session) -> Session:
    return Session(**session).ask("fix the total").patch("src/cart.py").run(check, code, output)


A, B = "total = price", "total = price * count"
MOMENTS: dict[str, list[Callable[[], Session]]] = {
    "error_event": [
        lambda: Session().ask().event("error", text="You've hit your limit.", detail={"error": "usage_limit_exceeded"}),
        lambda: Session().ask().event("task_complete", detail={"error": '{"message":"context window exceeded"}'}),
    ],
    "patch_failure": [
        lambda: Session().ask().patch("src/a.py", **BAD_PATCH),
        lambda: Session().ask().patch("src/a.py", **BAD_PATCH).patch("src/a.py", **BAD_PATCH).patch("src/a.py"),
    ],
    "stream_error": [
        lambda: Session().ask().event("stream_error", text="Reconnecting... 1/5").event("stream_error", text="2/5"),
    ],
    "timeout": [
        lambda: Session().ask().run("pytest -q", 124, **TIMED_OUT).run("pytest -q -x", 124, **TIMED_OUT),
        lambda: Session().ask().run("make all", None, **TIMED_OUT),
    ],
    "denial_exec": [
        lambda: Session().ask().run("git push --force", **REFUSED),
        lambda: Session(approvals_observable=False).ask().run("rm -rf build", **{**REFUSED, "approval": None}),
    ],
    "denial_patch": [
        lambda: Session().ask().patch("src/a.py", success=False, status="declined", approval="denied"),
    ],
    "repeated_denial": [
        lambda: Session().ask().run("a", **REFUSED).ask().run("b", **REFUSED).ask().run("c", **REFUSED),
    ],
    "undo": [lambda: Session().ask().event("undo_completed", success=True, text="Undo restored snapshot")],
    "rollback": [lambda: Session().ask().event("thread_rolled_back", detail={"num_turns": 2})],
    "compaction": [
        lambda: Session().ask().event("compaction_boundary", detail={"kind": "remote"}).event("context_compacted"),
        lambda: Session().ask("", kind="compact").event("compaction_boundary", detail={"kind": "local"}),
    ],
    "repeated_compaction": [
        lambda: Session().ask().event("compaction_boundary").event("compaction_boundary").event("compaction_boundary"),
    ],
    "file_churn": [
        lambda: edits(("", "first_try = 1"), ("first_try = 1", "second_try = 2"), ("second_try = 2", "third_try = 3"),
                      ("third_try = 3", "fourth_try = 4"), ("", "another = 5")),
    ],
    "plan_update_churn": [
        lambda: planned(plan(0), plan(0, ("new one", "new two")), plan(0, ("other one", "other two")),
                        plan(0, ("last one", "last two"))),
    ],
    "diff_oscillation": [lambda: edits((A, B), (B, A), (A, B))],
    "truncation_warning": [
        lambda: Session().ask().event("warning", text="The output was truncated to fit."),
        lambda: Session().ask().run("cat build.log", 0, "line 1\n…3900 tokens truncated…\nline 99"),
        lambda: Session().ask().run("cat build.log", 0, "line 1\n[... omitted 327 of 583 lines ...]\nline 583"),
    ],
    "interrupt": [
        lambda: Session().ask(interrupted=True, end_state="aborted", abort_reason="interrupted").run("sleep 100", None)
        .event("turn_aborted", detail={"reason": "interrupted"}),
    ],
    "fast_completion": [
        fixed,
        lambda: fixed("npm test 2>&1 | tail -5", 0, "Tests: 6 passed, 6 total"),
        lambda: Session().ask("write once.py").patch("once.py").run("python3 once.py", 0, "a1"),
        lambda: Session().ask("set the port").patch("hosts.conf").ask("perfect, thanks"),
        lambda: Session().ask("rename it").patch("src/a.py").run("git commit -am rename", 0, "1 file changed"),
    ],
    "first_attempt_success": [
        fixed,
        lambda: fixed("npm run build", 0, "done"),
        lambda: Session().ask("fix it").run("php -l a.php", 255, "Parse error").patch("a.php").run("php -l a.php", 0),
    ],
    "zero_denial": [lambda: Session().ask().run("git push", **APPROVED)],
    "clean_plan": [lambda: planned(plan(0), plan(1), plan(2), plan(3))],
    "rapid_approvals": [lambda: approvals(2, 1, 3, 2)],
}  # fmt: skip

NEAR_MISSES: dict[str, list[Callable[[], Session]]] = {
    "error_event": [
        lambda: Session().ask().event("error", text="rollback failed", detail={"error": "thread_rollback_failed"}),
        lambda: Session().ask().say("The log says: error: You've hit your usage limit."),
        lambda: Session().ask().run("cat app.log", 0, "error: stream disconnected"),
        lambda: Session().ask().event("task_complete", text="done"),
    ],
    "patch_failure": [
        lambda: Session().ask().patch("src/a.py", success=False, status="declined", approval="denied"),
        lambda: Session().ask().patch("src/a.py", success=False, status="aborted"),
        lambda: Session().ask().run("git apply --check fix.patch", 1, "error: patch does not apply"),
        lambda: Session().ask().patch("src/a.py"),
    ],
    "stream_error": [
        lambda: Session().ask().run("curl https://example.org", 56, "stream disconnected"),
        lambda: Session().ask().event("error", text="unexpected status 401"),
        lambda: Session().ask("it says: Reconnecting... 1/5"),
    ],
    "timeout": [
        lambda: Session().ask().run("timeout 5 npm start", 124, **TIMED_OUT),
        lambda: Session().ask().run("npm run dev", 124, **TIMED_OUT),
        lambda: Session().ask().run("echo 'command timed out after 10 milliseconds'", 0, **TIMED_OUT),
        lambda: Session().ask().run("node --test", 0, "ok 1 - a request times out after 5 s"),
    ],
    "denial_exec": [
        lambda: Session(approvals_observable=False).ask().run("rm -rf build", **POLICY),
        lambda: Session().ask().run("git push", approval="unanswered", status="aborted", exit_code=None),
        lambda: Session(parent_thread_id="p", session_source="subagent:review").ask().run("git push", **REFUSED),
        lambda: Session().ask().run("cat notes.txt", 0, "the log: exec command rejected by user"),
        lambda: Session().ask().patch("src/a.py", success=False, status="declined", approval="denied"),
    ],
    "denial_patch": [
        lambda: Session().ask().patch("src/a.py", **BAD_PATCH),
        lambda: Session().ask().patch("a.py", success=False, status="declined",
                                      output="patch rejected: rejected by user approval settings"),
        lambda: Session().ask().patch("src/a.py", approval="unanswered", success=None, status="aborted"),
    ],
    "repeated_denial": [
        lambda: Session().ask().run("a", **REFUSED).ask().run("b", **REFUSED),
        lambda: Session(approvals_observable=False).ask().run("a", **POLICY).run("b", **POLICY).run("c", **POLICY),
        lambda: Session().ask().run("a", approval_requests=3, **REFUSED),
    ],
    "undo": [
        lambda: Session().ask("undo that please"),
        lambda: Session().ask().event("undo_completed", success=False, text="No ghost snapshot available to undo."),
        lambda: Session().ask().event("undo_started"),
        lambda: Session().ask().run("git checkout -- src/a.py", 0),
    ],
    "rollback": [
        lambda: Session().ask().event("thread_rolled_back", detail={"num_turns": 0}),
        lambda: Session().ask().event("error", text="no", detail={"error": "thread_rollback_failed"}),
        lambda: Session().ask().run("npx prisma migrate rollback", 0),
        lambda: Session(session_source="subagent:thread_spawn").ask().event("thread_rolled_back"),
    ],
    "compaction": [
        lambda: Session().ask().event("message", turn_id="auto-compact-0", text="context", role="developer"),
        lambda: Session().ask().event("warning", text="compaction failed"),
        lambda: Session().ask("summary: Another language model started to solve this problem"),
    ],
    "repeated_compaction": [
        lambda: Session().ask().event("compaction_boundary"),
        lambda: Session().ask().event("compaction_boundary").event("context_compacted").event("compaction_boundary"),
        lambda: Session().ask().event("context_compacted").event("warning", text="long conversation"),
    ],
    "file_churn": [
        lambda: edits(*[("", f"constant_{n} = {n}") for n in range(8)]),
        lambda: edits((A, B), (B, A)),
        lambda: edits(("", "draft_a = 1"), ("", "draft_b = 2"), ("draft_a = 1", "final_a = 1"), ("", "more_c = 3"),
                      ("draft_b = 2", "final_b = 2"), ("more_c = 3", "final_c = 3"), ("", "last_d = 4")),
        lambda: Session().ask().patch("a.py", A, B).ask().patch("a.py", B, A).ask().patch("a.py", A, B)
        .ask().patch("a.py", B, A).ask().patch("a.py", A, B),
    ],
    "plan_update_churn": [
        lambda: planned(plan(0), plan(1), plan(2), plan(3)),
        lambda: planned(plan(0), plan(0, ("new one", "new two"))),
        lambda: planned(*[plan(0, STEPS + tuple(f"extra {n}" for n in range(count))) for count in range(5)]),
    ],
    "diff_oscillation": [
        lambda: edits((A, B), (B, A)),
        lambda: edits((A, B), (B, "total = 0"), ("total = 0", A)),
        lambda: Session().ask().patch("a.py", A, B).ask("revert").patch("a.py", B, A).ask("again").patch("a.py", A, B),
    ],
    "truncation_warning": [
        lambda: Session().ask().run("cc -c util.c", 0, "warning: string literal truncated [-Wtruncate]"),
        lambda: Session().ask().run("cat a.txt", 0, "x\n[... omitted 2 of 258 lines ...]\ny"),
        lambda: Session().ask().event("warning", text="The setting `foo` is deprecated."),
        lambda: Session().ask().run("head -5 build.log", 0, "1\n2\n3\n4\n5"),
    ],
    "interrupt": [
        lambda: Session().ask(end_state="aborted", abort_reason="shutdown").event("turn_aborted"),
        lambda: Session().ask(end_state="aborted", abort_reason="approval_abort").run("a", **REFUSED),
        lambda: Session().ask(end_state="aborted", abort_reason="replaced").event("turn_aborted"),
        lambda: Session(parent_thread_id="p").ask(interrupted=True, end_state="aborted").event("turn_aborted"),
    ],
    "fast_completion": [
        lambda: Session().ask("what does it do?").say("It sums prices."),
        lambda: Session().ask("change it").patch("src/a.py").say("Done."),
        lambda: fixed(code=1, output="1 failed"),
        lambda: fixed(output="no tests ran in 0.01s"),
        lambda: Session().ask().run("pytest -q", 0, "6 passed").patch("src/a.py"),
        lambda: fixed(human=False, human_turn_count=0),
        lambda: Session().ask("set the port").patch("hosts.conf").ask("not perfect, it is still the old port"),
        lambda: fixed("npm test | tail -5", 0, "Tests: 2 failed, 4 passed, 6 total"),
        lambda: fixed("php -l src/cart.php", 0, "No syntax errors detected in src/cart.php"),
        lambda: fixed("bash -n run.sh && echo ok", 0, "ok"),
    ],
    "first_attempt_success": [
        lambda: Session().ask().patch("src/a.py").say("Done."),
        lambda: fixed(code=1, output="1 failed").patch("src/cart.py").run("pytest -q", 0, "6 passed"),
        lambda: Session().ask().run("pytest -q", 0, "6 passed").patch("src/a.py"),
        lambda: fixed(output="collected 0 items"),
        lambda: fixed("python -m py_compile src/cart.py", 0, ""),
        lambda: Session().ask(undone=True).patch("src/a.py").run("pytest -q", 0, "6 passed"),
    ],
    "zero_denial": [
        lambda: Session().ask().run("ls", 0),
        lambda: Session(approvals_observable=False).ask().run("git push", **APPROVED),
        lambda: Session().ask().run("git push", **APPROVED).run("rm x", **REFUSED),
        lambda: Session().ask().run("git push", approval="unanswered", approval_requests=1),
        lambda: Session().ask().run("git push", approval="auto"),
    ],
    "clean_plan": [
        lambda: planned(plan(0), plan(1), plan(2)),
        lambda: planned(plan(3), plan(3), plan(3)),
        lambda: planned(plan(0), plan(1, ("new", *STEPS[1:])), plan(3, ("new", *STEPS[1:]))),
        lambda: planned(plan(0, ("one", "two")), plan(1, ("one", "two")), plan(2, ("one", "two"))),
        lambda: planned(plan(0), plan(1), plan(3), interrupted=True),
    ],
    "rapid_approvals": [
        lambda: approvals(90, 120, 80, 70),
        lambda: approvals(0.05, 0.04, 0.05, 0.03),
        lambda: approvals(2, 1),
        lambda: approvals(2, 1, 2, 3).run("rm x", **REFUSED),
    ],
}  # fmt: skip

CASES = [(name, case) for name, cases in MOMENTS.items() for case in cases]
MISSES = [(name, case) for name, cases in NEAR_MISSES.items() for case in cases]


def found(session: Session, category: str) -> list[dict]:
    return [row for row in detect(session.tables(), SCHEMA).to_dicts() if row["category"] == category]


@pytest.mark.parametrize(("category", "case"), CASES, ids=[f"{name}-{n}" for n, (name, _) in enumerate(CASES)])
def test_a_moment_is_found_once(category, case):
    rows = found(case(), category)
    assert len(rows) == 1
    assert rows[0]["evidence"] != "[]" and "\n" not in rows[0]["description"]
    assert rows[0]["type"] == SCHEMA.categories[category].type


@pytest.mark.parametrize(("category", "case"), MISSES, ids=[f"{name}-{n}" for n, (name, _) in enumerate(MISSES)])
def test_a_near_miss_is_not_found(category, case):
    assert found(case(), category) == []


def test_every_mechanical_category_has_moments_and_three_near_misses_here_or_in_a_file_of_its_own():
    apart = {"exec_failure"}
    assert SCHEMA.mechanical().keys() == MOMENTS.keys() | apart
    assert all(len(NEAR_MISSES[name]) >= 3 for name in MOMENTS)
    assert all(len(rule.near_misses) >= 3 for rule in rules())


def test_detection_is_the_same_every_time():
    session = Session().ask().run("npm install", 1, "npm error").patch("a.py", **BAD_PATCH).event("error", text="x")
    assert detect(session.tables(), SCHEMA).equals(detect(session.tables(), SCHEMA))


def test_a_retired_category_is_not_looked_for():
    retire = {"kind": "retire", "category_name": "exec_failure", "category": None}
    session = Session().ask().run("npm install", 1, "npm error")
    assert detect(session.tables(), load_schema([retire])).is_empty()


def test_a_rule_can_be_switched_off_and_its_thresholds_changed():
    two_refusals = Session().ask().run("a", **REFUSED).run("b", **REFUSED).tables()
    settings = section("rules", {"rules": {"repeated_denial": {"minimum": 2}, "denial_exec": {"enabled": False}}})
    assert detect(two_refusals, SCHEMA, settings)["category"].to_list() == ["repeated_denial"]


def test_an_evaluation_trial_is_left_out_unless_asked_for():
    trial = Session(excluded=True, is_eval=True, exclusion_reason="evaluation trial").ask().run("make", 2, "Error 1")
    assert detect(trial.tables(), SCHEMA).is_empty()
    settings = section("rules", {"rules": {"sessions": {"include_excluded": True}}})
    assert detect(trial.tables(), SCHEMA, settings).height == 1


def test_a_session_driven_by_a_script_still_shows_what_went_wrong():
    scripted = Session(excluded=True, exclusion_reason="machine-driven", human=False).ask(human=False)
    assert detect(scripted.run("make", 2, "Error 1").tables(), SCHEMA)["category"].to_list() == ["exec_failure"]


def test_secrets_do_not_leave_in_descriptions_or_quotations():
    secret = "ghp_" + "A1b2C3d4E5F6" * 3
    session = (
        Session().ask().run(f"curl -H 'Authorization: Bearer {secret}' https://api.example.org", 22, f"error {secret}")
    )
    row = found(session, "exec_failure")[0]
    assert secret not in row["description"] and secret not in row["evidence"]


@pytest.mark.parametrize(
    ("source", "kind", "says"),
    [
        ("spine", "prompt", "outgrew the context window and was compacted"),
        ("spine", "compact", "The user had the conversation compacted"),
        ("rollout", "prompt", "or the user asked for it"),
    ],
)
def test_a_compaction_says_its_cause_only_where_the_record_shows_it(source, kind, says):
    """A stock rollout holds no request of a person's, so that nobody can tell whether there was one."""
    session = Session().ask(kind=kind).event("compaction_boundary", detail={"kind": "local"}, source=source)
    assert says in found(session, "compaction")[0]["description"]
