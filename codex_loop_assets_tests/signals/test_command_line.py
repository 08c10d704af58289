"""Laws of reading shell lines: any text is read, and variations of one attempt are one family."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codex_loop_assets.settings import section
from codex_loop_assets.signals.command_line import deciding_steps, family, shortened, steps
from codex_loop_assets.signals.failures import FailurePatterns, excuse, printed, telling_lines

PATTERNS = FailurePatterns.read(section("rules")["exec_failure"])
SHELL_TEXT = st.text(st.sampled_from("ab x'\"\\|&;()<>\n$`{}-=#"), max_size=60) | st.text(max_size=60)


@settings(deadline=None)
@given(SHELL_TEXT)
def test_any_text_is_read_without_an_error(text):
    assert all(step.words for step in steps(text))
    assert set(deciding_steps(text)) <= set(steps(text))
    assert isinstance(family(text), str)
    assert len(shortened(text, 40)) <= 40 and "\n" not in shortened(text)


@settings(deadline=None)
@given(SHELL_TEXT, st.integers(-1, 255), st.text(max_size=80))
def test_any_failure_is_judged_without_an_error(command, code, output):
    (seen,) = printed([output], PATTERNS)
    assert excuse(command, code, seen, PATTERNS) is None or isinstance(excuse(command, code, seen, PATTERNS), str)
    assert "\n" not in telling_lines([output], PATTERNS)[0]


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("cd /app && npm run build -- --verbose", "npm run build"),
        ("npm run build", "npm run build"),
        ("bash .specify/scripts/setup-plan.sh --json", "setup-plan.sh"),
        ("./scripts/setup-plan.sh", "setup-plan.sh"),
        ("FOO=1 uv run pytest -q tests/test_a.py > /tmp/log 2>&1", "pytest"),
        ("python -m pytest tests -k 'x and y'", "pytest"),
        ("npm test 2>&1 | tail -20", "npm test"),
        ("cat > a.py <<'EOF'\nprint(1 > 2)\nEOF\npython3 a.py", "a.py"),
        ("sudo -n docker compose up -d", "docker compose up"),
        ("timeout 30 cargo test --all", "cargo test"),
        ("if [ -f x ]; then make all; fi", "make all"),
        ("(cd web && pnpm install)", "pnpm install"),
        ("git ls-remote | rg release", "rg"),
        ("perl -pi -e 's/\\r$//' scripts/setup.sh", "perl (inline)"),
        ("bash -lc 'npm run build'", "npm run build"),
        ("python - <<'PY'\nimport sys\nPY", "python (inline)"),
    ],
)
def test_variations_of_one_attempt_are_one_family(command, expected):
    assert family(command) == expected


@pytest.mark.parametrize(
    ("command", "programs"),
    [
        ("a; b", ["b"]),
        ("a && b", ["a", "b"]),
        ("a | b", ["b"]),
        ("a && b | c", ["a", "c"]),
        ("a\nb", ["b"]),
        ("grep -rn 'a > b; c' src", ["grep"]),
        ("make 2>&1 | tee log", ["make"]),
    ],
)
def test_only_steps_that_can_have_set_the_exit_code_decide(command, programs):
    assert [step.program for step in deciding_steps(command)] == programs


def test_a_shortened_command_leaves_out_directories_and_inline_programs():
    command = "cd /srv/app && python3 - <<'PY'\nprint('secret inner program')\nPY"
    assert shortened(command) == "python3 - <<PY …"


@pytest.mark.parametrize(
    ("output", "line"),
    [
        ("Traceback (most recent call last):\n  File 'a.py'\nKeyError: 'x'\n", "KeyError: 'x'"),
        ("grep: unrecognized option '--x'\nUsage: grep\nTry 'grep --help'", "grep: unrecognized option '--x'"),
        ("Invoke-WebRequest : 404: Not Found\n+ CategoryInfo : InvalidOperation", "Invoke-WebRequest : 404: Not Found"),
        ("Exit code: 1\nWall time: 1 seconds\nOutput:\nerror: no such table", "error: no such table"),
        ("thread 'x' panicked at src/a.rs:4:9:\nstartup failed", "thread 'x' panicked at src/a.rs:4:9: startup failed"),
        ("", ""),
    ],
)  # fmt: skip
def test_the_telling_line_names_the_error(output, line):
    assert telling_lines([output], PATTERNS) == [line]


def test_an_output_that_spells_half_a_character_is_read():
    output = r'{"output":"error: \ud800 is no character","metadata":{}}'
    assert "is no character" in telling_lines([output], PATTERNS)[0]
    assert printed([output], PATTERNS)[0].error
