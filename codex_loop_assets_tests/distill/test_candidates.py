"""Laws of what solves a segment and what proves it, on real small repositories."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest

from codex_loop_assets.distill.distil import distil_cluster
from codex_loop_assets.distill.environment import setup_commands
from codex_loop_assets.distill.repository import find
from codex_loop_assets.distill.start import clone_url
from codex_loop_assets.distill.tree import Entry
from codex_loop_assets.settings import section
from codex_loop_assets.traces.records import without_credentials
from codex_loop_assets_tests.distill.worlds import (
    CALC,
    CALC_FILES,
    CALC_FIXED,
    CALC_TEST,
    NOW,
    START,
    Session,
    calc_world,
    canon,
    members,
    repository,
)

URL = "https://example.org/ann/calc.git"
TEST = "python3 -m unittest discover -s tests -t ."
WRONG = CALC.replace("a - b", "a * b")


def distil(home, *sessions, of=None, repositories, **options):
    options = {"redact": lambda text, thread: text} | options
    chosen = members(*(of or sessions))
    return distil_cluster(
        "clu_1",
        chosen,
        canon(*sessions),
        repositories,
        home,
        section("distill"),
        NOW,
        signals=members(*sessions),
        **options,
    ).to_dicts()


def workspace(home, row) -> dict[str, str]:
    with tarfile.open(
        fileobj=io.BytesIO((home / row["task_dir"] / "environment" / "workspace.tar").read_bytes())
    ) as bundle:
        return {item.name: bundle.extractfile(item).read().decode() for item in bundle if item.isfile()}


def test_the_environment_is_the_commit_and_no_history(tmp_path):
    session, repositories = calc_world(tmp_path / "calc")
    (row,) = distil(tmp_path / "home", session, repositories=repositories)
    assert workspace(tmp_path / "home", row) == CALC_FILES


def test_the_tree_at_the_segments_start_holds_the_earlier_patches(tmp_path):
    commit = repository(tmp_path / "calc", CALC_FILES)
    session = Session("t1", commit).ask("Write a short note about the history of this project into NOTES.md")
    session.patch({"NOTES.md": (None, "old\n")})
    session.ask("The addition in calc.py gives wrong results, please make the tests pass.")
    session.run(TEST, 1).signal().patch({"calc.py": (CALC, CALC_FIXED)}).run(TEST, 0)
    (row,) = distil(tmp_path / "home", session, repositories={URL: tmp_path / "calc"})
    assert workspace(tmp_path / "home", row) == CALC_FILES | {"NOTES.md": "old\n"}
    assert "NOTES" not in (tmp_path / "home" / row["task_dir"] / "solution" / "solution.patch").read_text()


def test_the_starting_diff_is_part_of_the_start(tmp_path):
    commit = repository(tmp_path / "calc", CALC_FILES)
    codex_home = tmp_path / "codex"
    (codex_home / "artifacts").mkdir(parents=True)
    (codex_home / "artifacts" / "git_diff.patch").write_text(
        "diff --git a/extra.txt b/extra.txt\nnew file mode 100644\n"
        "--- /dev/null\n+++ b/extra.txt\n@@ -0,0 +1 @@\n+mine\n"
    )
    session, _ = calc_world(tmp_path / "other")
    session.commit = "0" * 40
    session.facts = {"base_sha": commit, "starting_diff_path": "artifacts/git_diff.patch"}
    (row,) = distil(tmp_path / "home", session, repositories={URL: tmp_path / "calc"}, codex_homes={"main": codex_home})
    assert workspace(tmp_path / "home", row)["extra.txt"] == "mine\n"


def test_a_later_session_that_made_the_failing_check_pass_gives_the_solution(tmp_path):
    commit = repository(tmp_path / "calc", CALC_FILES)
    first = Session("t1", commit).ask("The addition in calc.py gives wrong results, please make the tests pass.")
    first.run(TEST, 1).signal().patch({"calc.py": (CALC, WRONG)}).run(TEST, 1)
    later = Session("t2", commit, facts={"started_at": START.replace(day=12)}).ask(
        "calc.py is still wrong, see the tests"
    )
    later.run(TEST, 1).patch({"calc.py": (CALC, CALC_FIXED)}).run(TEST, 0)
    (row,) = distil(tmp_path / "home", first, later, of=[first], repositories={URL: tmp_path / "calc"})
    assert (row["stage"], row["thread_id"], row["solution_from"]) == ("built", "t1", "later_session")
    assert "+    return a + b" in (tmp_path / "home" / row["task_dir"] / "solution" / "solution.patch").read_text()


def test_a_session_of_the_future_solves_nothing(tmp_path):
    commit = repository(tmp_path / "calc", CALC_FILES)
    first = Session("t1", commit).ask("The addition in calc.py gives wrong results, please make the tests pass.")
    first.run(TEST, 1).signal().patch({"calc.py": (CALC, WRONG)}).run(TEST, 1)
    later = Session("t2", commit, facts={"started_at": START.replace(day=12)}).ask(
        "calc.py is still wrong, see the tests"
    )
    later.run(TEST, 1).patch({"calc.py": (CALC, CALC_FIXED)}).run(TEST, 0)
    rows = distil_cluster(
        "clu_1",
        members(first),
        canon(first, later),
        {URL: tmp_path / "calc"},
        tmp_path / "home",
        section("distill"),
        START.replace(day=11),
        redact=lambda text, thread: text,
    )
    assert rows["stage"].to_list() == ["segment"]


def test_a_session_that_ended_with_a_failing_check_and_was_never_solved_is_no_task(tmp_path):
    commit = repository(tmp_path / "calc", CALC_FILES)
    session = Session("t1", commit).ask("The addition in calc.py gives wrong results, please make the tests pass.")
    session.run(TEST, 1).signal().patch({"calc.py": (CALC, WRONG)}).run(TEST, 1)
    (row,) = distil(tmp_path / "home", session, repositories={URL: tmp_path / "calc"})
    assert (row["stage"], row["reason"]) == ("segment", "the last check of the segment failed")


def test_work_that_was_refused_afterwards_is_no_solution(tmp_path):
    commit = repository(tmp_path / "calc", CALC_FILES)
    session = Session("t1", commit).ask("set the title of the README to sums")
    session.patch({"README.md": ("# calc\n", "# sums\n")}).signal()
    session.ask("no, that is not what I meant").signal("correction")
    (row,) = distil(tmp_path / "home", session, repositories={URL: tmp_path / "calc"})
    assert (row["stage"], row["reason"]) == ("segment", "the user was not content with the last edit")


def readme_row(tmp_path, request: str, after: str) -> dict:
    commit = repository(tmp_path / "calc", CALC_FILES)
    session = (
        Session("t1", commit)
        .ask(request)
        .patch({"README.md": ("# calc\n", after)})
        .signal("fast_completion", "delight")
    )
    return distil(tmp_path / "home", session, repositories={URL: tmp_path / "calc"})[0]


def test_content_that_the_request_settles_is_verified_by_file_state(tmp_path):
    row = readme_row(tmp_path, "set the heading of the README to sums", "# sums\n")
    assert (row["stage"], row["verifier_kind"], row["reason"]) == ("built", "file_state", "")
    expected = json.loads((tmp_path / "home" / row["task_dir"] / "tests" / "expected.json").read_text())
    assert expected == {"README.md": "expected/0"}
    assert "sums" not in row["instruction"].split("## Done when")[1]


def test_free_wording_is_kept_for_review_apart_from_the_runnable_tasks(tmp_path):
    row = readme_row(tmp_path, "find a nicer heading for the README", "# the calculator of champions\n")
    assert (row["stage"], row["verifier_kind"]) == ("built", "none")
    assert "settles only" in row["reason"]
    assert "/needs_review/" in row["task_dir"]


def test_a_solution_of_tests_only_is_not_proven_by_its_own_tests(tmp_path):
    commit = repository(tmp_path / "calc", CALC_FILES)
    session = Session("t1", commit).ask("please add a test for double to the test suite")
    session.run(TEST, 1).signal().patch({"tests/test_calc.py": (CALC_TEST, CALC_TEST + "\n\nX = 1\n")}).run(TEST, 0)
    (row,) = distil(tmp_path / "home", session, repositories={URL: tmp_path / "calc"})
    assert row["verifier_kind"] == "none" and "tests only" in row["reason"]


def test_tests_are_put_back_from_the_reference_state(tmp_path):
    commit = repository(tmp_path / "calc", CALC_FILES)
    stricter = CALC_TEST + "\n    def test_negative(self):\n        self.assertEqual(add(-1, 1), 0)\n"
    session = Session("t1", commit).ask("The addition in calc.py gives wrong results, please make the tests pass.")
    session.run(TEST, 1).signal()
    session.patch({"tests/test_calc.py": (CALC_TEST, stricter), "calc.py": (CALC, CALC_FIXED)}).run(TEST, 0)
    (row,) = distil(tmp_path / "home", session, repositories={URL: tmp_path / "calc"})
    bundle = (tmp_path / "home" / row["task_dir"] / "tests" / "reference.tar").read_bytes()
    with tarfile.open(fileobj=io.BytesIO(bundle)) as archive:
        assert archive.extractfile("tests/test_calc.py").read().decode() == stricter


def test_the_same_work_of_two_sessions_is_one_task(tmp_path):
    one, repositories = calc_world(tmp_path / "calc")
    other = Session("t9", one.commit, turns=[], calls=[], signals=[])
    other.ask("make the calc tests pass please").run(TEST, 1).signal().patch({"calc.py": (CALC, CALC_FIXED)}).run(
        TEST, 0
    )
    rows = distil(tmp_path / "home", one, other, repositories=repositories)
    assert sorted(row["stage"] for row in rows) == ["built", "candidate"]
    assert any(row["reason"].startswith("the same work as codex-loop/calc-") for row in rows)


def test_what_an_earlier_session_left_uncommitted_is_replayed_where_it_is_missing(tmp_path):
    commit = repository(tmp_path / "calc", CALC_FILES)
    earlier = (
        Session("t1", commit)
        .ask("Add a function triple to calc.py please")
        .patch({"calc.py": (CALC, CALC + "\nX = 3\n")})
    )
    session = Session("t2", commit, facts={"started_at": START.replace(day=12)})
    session.ask("The addition in calc.py gives wrong results, please make the tests pass.").run(TEST, 1).signal()
    session.patch({"calc.py": (CALC + "\nX = 3\n", CALC_FIXED + "\nX = 4\n")}).run(TEST, 0)
    (row,) = distil(tmp_path / "home", earlier, session, of=[session], repositories={URL: tmp_path / "calc"})
    assert workspace(tmp_path / "home", row)["calc.py"] == CALC + "\nX = 3\n"


@pytest.mark.parametrize("committed", [True, False])
def test_what_was_uncommitted_is_what_the_session_shows_before_it_edits(tmp_path, committed):
    files = CALC_FILES if committed else {name: text for name, text in CALC_FILES.items() if name != "calc.py"}
    commit = repository(tmp_path / "calc", files)
    here = CALC + "\nX = 3\n"
    session = Session("t1", commit).ask("The addition in calc.py gives wrong results, please make the tests pass.")
    session.run("cat calc.py", 0, output=here).run(TEST, 1).signal()
    session.patch({"calc.py": (here, CALC_FIXED + "\nX = 4\n")}).run(TEST, 0)
    (row,) = distil(tmp_path / "home", session, repositories={URL: tmp_path / "calc"})
    assert (row["stage"], row["environment_kind"]) == ("built", "hermetic"), row["reason"]
    assert workspace(tmp_path / "home", row)["calc.py"] == here


@pytest.mark.parametrize(
    ("manifest", "line"),
    [
        ('[project]\ndependencies = ["click"]', "pip install -e ."),
        ('[project]\ndependencies = ["click"]\n[project.optional-dependencies]\ndocs = ["x"]', "pip install -e ."),
        (
            '[project]\n[project.optional-dependencies]\ndev = ["pytest-cov"]\ntest = ["y"]',
            "pip install -e '.[test,dev]'",
        ),
        ('[project]\n[project.optional-dependencies]\n"dev\'; touch x" = ["y"]', None),
        ('[project]\noptional-dependencies = ["dev"]', None),
        ("[tool.ruff]\nline-length = 100", None),
        ("project = 1", None),
    ],
)
def test_a_pyproject_is_installed_with_what_its_tests_need_and_nothing_else(manifest, line):
    tree = {"pyproject.toml": Entry(manifest.encode())}
    found = setup_commands([], tree, section("distill")["environment"])
    assert found == ((line,) if line else ())


@pytest.mark.parametrize(
    "address",
    ["git@example.org:ann/calc.git", "ssh://git@example.org/ann/calc.git", "https://example.org/ann/calc.git"],
)
def test_without_a_repository_a_public_address_is_cloned_at_the_commit(tmp_path, address):
    session, _ = calc_world(tmp_path / "calc")
    session.repository_url = without_credentials(address)
    session.calls.insert(
        0, session.calls[0] | {"command": "cat calc.py", "exit_code": 0, "output": CALC, "call_id": "c0"}
    )
    session.calls[1] |= {"seq_start": 2, "call_id": "c1"}
    (row,) = distil(tmp_path / "home", session, repositories={})
    assert (row["stage"], row["reason"], row["environment_kind"]) == ("built", "", "clone")
    dockerfile = (tmp_path / "home" / row["task_dir"] / "environment" / "Dockerfile").read_text()
    assert '"https://example.org/ann/calc.git", "/app"]' in dockerfile and session.commit in dockerfile


@pytest.mark.parametrize(
    "address", ["/srv/calc", "C:\\calc", "file:///srv/calc", "host:ann/calc", "example.org:ann/calc x"]
)
def test_what_is_no_public_address_is_not_cloned(address):
    assert clone_url(address) is None


@pytest.mark.parametrize(
    "known", ["git@example.org:ann/calc.git", "https://Example.org/ann/calc", "example.org:ann/calc.git"]
)
def test_a_repository_is_found_by_its_origin_however_it_is_written(tmp_path, known):
    for recorded in ("git@example.org:ann/calc.git", "https://ann:pass@example.org/ann/calc.git"):
        assert find({known: tmp_path, "calc2": Path("/")}, without_credentials(recorded), "calc", None) == tmp_path
    assert find({known: tmp_path}, "https://example.org/bob/calc.git", "other", None) is None


@pytest.mark.parametrize("reading", ["cat calc.py", "sed -n '1,200p' calc.py", "nl -ba calc.py | sed -n '1,200p'"])
def test_without_any_repository_the_files_that_the_trace_shows_are_the_environment(tmp_path, reading):
    output = (
        CALC
        if not reading.startswith("nl")
        else "".join(f"{n:>6}\t{line}\n" for n, line in enumerate(CALC.split("\n")[:-1], 1))
    )
    session = Session("t1", None, repository_url=None).ask("please set the factor in double to 3")
    session.run(reading, 0, output=output).patch({"calc.py": (CALC, CALC.replace("* 2", "* 3"))}).signal()
    (row,) = distil(tmp_path / "home", session, repositories={})
    assert (row["stage"], row["environment_kind"], row["verifier_kind"]) == ("built", "replayed", "file_state")
    assert workspace(tmp_path / "home", row) == {"calc.py": CALC}


@pytest.mark.parametrize(
    ("reading", "output"),
    [
        ("sed -n '1,4p' calc.py", "\n".join(CALC.split("\n")[:4])),
        ("cat calc.py", CALC[:9] + "\n[... 9 characters cut ...]\n"),
    ],
)
def test_a_file_seen_in_part_is_not_known(tmp_path, reading, output):
    session = Session("t1", None, repository_url=None).ask("please set the factor in double to 3")
    session.run(reading, 0, output=output).patch({"calc.py": (CALC, CALC.replace("* 2", "* 3"))}).signal()
    (row,) = distil(tmp_path / "home", session, repositories={})
    assert row["stage"] == "segment" and row["reason"].startswith("the repository is not at hand")


def test_secrets_of_files_and_words_are_redacted_alike_and_the_patch_still_fits(tmp_path):
    token = "sk-" + "a1B2" * 10
    commit = repository(tmp_path / "calc", CALC_FILES | {"settings.py": f"KEY = '{token}'\nLEVEL = 1\n"})
    session = Session("t1", commit).ask(f"set LEVEL in settings.py to 2, the key is {token}")
    session.patch({"settings.py": (f"KEY = '{token}'\nLEVEL = 1\n", f"KEY = '{token}'\nLEVEL = 2\n")}).signal()
    (row,) = distil(
        tmp_path / "home",
        session,
        repositories={URL: tmp_path / "calc"},
        redact=lambda text, thread: text.replace(token, "[key]"),
    )
    assert row["verifier_kind"] == "file_state"
    for path in (tmp_path / "home" / "harbor").rglob("*"):
        assert path.is_dir() or token.encode() not in path.read_bytes()


def test_a_check_or_set_up_line_with_a_secret_is_not_repeated(tmp_path):
    token = "sk-" + "a1B2" * 10
    session, repositories = calc_world(tmp_path / "calc")
    for call in session.calls:
        if call["name"] == "shell":
            call["command"] = f"KEY={token} {call['command']}"
    session.run(f"pip install --index-url=index.example.org/{token} thing", 0)
    hide = {"redact": lambda text, thread: text.replace(token, "[key]")}
    (row,) = distil(tmp_path / "home", session, repositories=repositories, **hide)
    assert row["verifier_kind"] == "none" and "secret" in row["reason"]
    for path in (tmp_path / "home" / "harbor").rglob("*"):
        assert path.is_dir() or token.encode() not in path.read_bytes()
