"""Facts hidden in tool-output texts, in every form that Codex has written."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_loop_assets.traces.settings import read_settings
from codex_loop_assets.traces.tool_output import cut_output, output_facts, user_shell_facts


@pytest.mark.parametrize(
    ("output", "code", "milliseconds", "state", "text"),
    [
        ('{"output":"hi\\n","metadata":{"exit_code":3,"duration_seconds":1.5}}', 3, 1500, None, "hi\n"),
        ('{"output":"Total output lines: 9\\n\\nhi","metadata":{"exit_code":0,"duration_seconds":1.5}}', 0, 1500, None, "hi"),
        ("Exit code: -1\nWall time: 0.2 seconds\nOutput:\nx", -1, 200, None, "x"),
        ("Exit code: 1\nWall time: 2 seconds\nTotal output lines: 900\nOutput:\nx", 1, 2000, None, "x"),
        ("Chunk ID: a1\nWall time: 1.2345 seconds\nProcess exited with code 7\nOriginal token count: 4\nOutput:\nx", 7, 1234, None, "x"),
        ("Wall time: 1.0 seconds\nProcess running with session ID 42\nOutput:\nstill", None, 1000, "running", "still"),
        ("exec command rejected by user", None, None, "refused", None),
        ("patch rejected by user", None, None, "refused", None),
        ('exec_command failed: Rejected("rejected by user")', None, None, "refused", None),
        ("exec_command failed: no such shell", None, None, "failed_to_start", None),
        ("patch rejected: writing outside of the project; rejected by user approval settings", None, None, "policy", None),
        ("aborted by user after 2.5s", None, 2500, "aborted", None),
        ("Wall time: 3.0 seconds\naborted by user", None, 3000, "aborted", None),
        ("execution error: Io(...)", None, None, "not_run", None),
        ("apply_patch verification failed: Failed to find context", None, None, "bad_patch", None),
        ("command timed out after 1000 milliseconds\nhalf", None, None, "timed_out", None),
        ("Exit code: 124\nWall time: 1 seconds\nOutput:\ncommand timed out after 1000 milliseconds", 124, 1000, "timed_out", None),
        ([{"type": "input_text", "text": "Exit code: 5\nWall time: 1 seconds\nOutput:\n"}, {"type": "input_text", "text": "x"}], 5, 1000, None, None),
        ({"content": "plain", "success": True}, None, None, None, "plain"),
    ],
)  # fmt: skip
def test_each_form_is_understood(output, code, milliseconds, state, text):
    facts = output_facts(output)
    assert (facts.exit_code, facts.duration_ms, facts.state) == (code, milliseconds, state)
    assert text is None or facts.text == text


@pytest.mark.parametrize(
    "output",
    [
        "log says:\nExit code: 1\nWall time: 1 seconds\nOutput:\n",
        "the run printed: exec command rejected by user",
        "I saw `exec command rejected by user` in the log, odd",
        '{"output":"x","status":"fine"}',
        '{"result":1,"metadata":{"exit_code":1},"output":"x"}',
        "",
        None,
        17,
    ],
)
def test_a_commands_own_words_are_not_taken_for_codexs(output):
    facts = output_facts(output)
    assert (facts.exit_code, facts.state) == (None, None)


@pytest.mark.parametrize(
    "output",
    [
        "Exit code: 0\nWall time: 1 seconds\nOutput:\ncommand timed out after 10 milliseconds, says the log",
        '{"output":"command timed out after 10 milliseconds\\n","metadata":{"exit_code":0,"duration_seconds":1}}',
    ],
)
def test_a_command_that_ended_well_did_not_time_out_whatever_it_printed(output):
    facts = output_facts(output)
    assert (facts.exit_code, facts.state) == (0, None)


@pytest.mark.parametrize(
    "mark",
    [
        "\u20263900 tokens truncated\u2026",
        "[... omitted 327 of 583 lines ...]",
        "[... output truncated to fit 9 bytes ...]",
    ],
)
@given(place=st.floats(0, 1), size=st.integers(0, 200))
def test_codexs_mark_of_what_it_left_out_outlives_the_cut(mark, place, size):
    settings = replace(read_settings(), text_limit=40)
    text = "x" * int(size * place) + mark + "y" * (size - int(size * place))
    kept = cut_output(text, settings)
    assert mark in kept and (len(text) > 40 or kept == text)


def test_a_users_own_command_gives_its_exit_code():
    text = "<user_shell_command>\n<command>\nmake test\n</command>\n<result>\nExit code: 2\nDuration: 1.25 seconds\nOutput:\nboom\n</result>\n</user_shell_command>"
    command, facts = user_shell_facts(text)
    assert (command, facts.exit_code, facts.duration_ms, facts.text) == ("make test", 2, 1250, "boom")
