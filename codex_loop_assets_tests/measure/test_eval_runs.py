"""Laws of trials: one row each, an infrastructure failure is not a zero, attempts are counted per task and arm."""

import pytest

from codex_loop_assets.measure.eval_runs import TrialRecord, error_class, eval_rows


def result(
    name: str,
    *,
    task: str = "org/fix",
    reward: float | None = 1.0,
    exception: str | None = None,
    started: str = "2026-03-01T10:00:00Z",
) -> dict:
    return {
        "id": f"id-{name}", "trial_name": name, "task_name": task, "started_at": started, "finished_at": "2026-03-01T10:01:00Z",
        "agent_info": {"name": "codex", "version": "1", "model_info": {"name": "gpt-5.2", "provider": "openai"}},
        "agent_result": {"n_input_tokens": 10, "n_output_tokens": 5, "cost_usd": 0.01},
        "verifier_result": {"rewards": {"reward": reward}} if reward is not None else None,
        "exception_info": {"exception_type": exception, "exception_message": "m"} if exception else None,
    }  # fmt: skip


def rows(*results: dict) -> list[dict]:
    return eval_rows([TrialRecord("jobs/a", item, {}) for item in results], "c1", "d").to_dicts()


def test_every_trial_is_one_row_and_attempts_are_counted_in_order_of_start():
    found = rows(result("b", started="2026-03-01T10:00:05Z"), result("a"), result("c", task="org/other"))
    assert [(row["trial"], row["attempt"]) for row in sorted(found, key=lambda row: row["trial"])] == [
        ("a", 0),
        ("b", 1),
        ("c", 0),
    ]
    assert {row["tokens"] for row in found} == {15} and {row["duration_s"] for row in found} == {60.0, 55.0}


@pytest.mark.parametrize(
    ("exception", "reward", "expected_class", "expected_reward"),
    [
        ("EnvironmentStartTimeoutError", None, "infrastructure", None),
        ("SomethingNewError", 0.0, "infrastructure", None),
        ("RewardFileNotFoundError", None, "verifier", None),
        ("AgentTimeoutError", 1.0, "timeout", 1.0),
        ("AgentTimeoutError", None, "timeout", 0.0),
        ("NonZeroAgentExitCodeError", None, "agent", 0.0),
        (None, 0.5, None, 0.5),
    ],
)
def test_the_reward_counts_only_where_the_agent_is_answerable_for_it(
    exception, reward, expected_class, expected_reward
):
    row = rows(result("a", reward=reward, exception=exception))[0]
    assert (row["error_class"], row["reward"]) == (expected_class, expected_reward)


def test_no_exception_has_no_class():
    assert error_class(None) is None


def test_a_trial_on_a_task_that_got_another_provenance_is_about_the_present_one_and_says_what_it_ran():
    ran = TrialRecord("jobs/a", result("t1"), {"task": {"digest": "sha256:old"}})
    (row,) = eval_rows([ran], "c", "d", same={"sha256:old": "sha256:new"}).to_dicts()
    assert (row["task_digest"], row["ran_digest"]) == ("sha256:new", "sha256:old")
    (row,) = eval_rows([ran], "c", "d").to_dicts()
    assert (row["task_digest"], row["ran_digest"]) == ("sha256:old", None)
