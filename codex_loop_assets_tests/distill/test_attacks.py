"""Laws of attacks: each is a wrong solution that still applies, and the bench that grades them is a sound script."""

from __future__ import annotations

import subprocess

import pytest

from codex_loop_assets.distill import bench
from codex_loop_assets.distill.attacks import attacks
from codex_loop_assets.distill.distil import distil_cluster
from codex_loop_assets.distill.repository import scratch_store
from codex_loop_assets.distill.tree import Entry
from codex_loop_assets.settings import section
from codex_loop_assets_tests.distill.worlds import NOW, calc_world, canon, members

SETTINGS = section("distill")
BEFORE = {
    "a.py": Entry(b"x = 1\n" + b"# filler\n" * 12 + b"def f(a):\n    return a\n"),
    "README.md": Entry(b"# a\n"),
    "tests/test_a.py": Entry(b"assert True\n"),
}
AFTER = {
    "a.py": Entry(b"x = 2\n" + b"# filler\n" * 12 + b"def f(a):\n    return a == 3\n"),
    "b.py": Entry(b'name = "value"\n'),
    "README.md": Entry(b"# b\n"),
    "tests/test_a.py": Entry(b"assert 1\n"),
}


@pytest.fixture(scope="module")
def graded():
    with scratch_store() as store:
        patch = store.diff(BEFORE, AFTER)
        made = attacks(patch, ["tests/test_a.py"], SETTINGS)
        results = {
            (attack.check, attack.attempt): store.apply(BEFORE, attack.files.get("solution.patch", b""))
            for attack in made
        }
    return made, results


def test_every_attack_applies_and_differs_from_the_solution(graded):
    _, results = graded
    assert all(result != AFTER for result in results.values())


def test_each_hunk_of_code_is_dropped_once_and_prose_and_tests_never(graded):
    _, results = graded
    dropped = [result for (check, _), result in results.items() if check.startswith("drop_hunk")]
    assert len(dropped) == 3
    assert all(result["README.md"] == AFTER["README.md"] for result in dropped)
    assert all(result["tests/test_a.py"] == AFTER["tests/test_a.py"] for result in dropped)


def test_wrong_values_change_one_line_of_code_each(graded):
    _, results = graded
    wrong = [result for (check, _), result in results.items() if check == "wrong_value"]
    assert [result["a.py"].data.split(b"\n")[0] for result in wrong] == [b"x = 3", b"x = 2", b"x = 2"]
    assert [result["a.py"].data.split(b"\n")[-2] for result in wrong] == [
        b"    return a == 3",
        b"    return a != 3",
        b"    return a == 3",
    ]
    assert wrong[2]["b.py"].data == b'name = "value_"\n'


def test_all_kinds_of_attack_are_there(graded):
    made, _ = graded
    assert {attack.check.split("_hunk")[0] for attack in made} == {
        "empty",
        "drop",
        "wrong_value",
        "touch_markers",
        "early_exit",
        "edit_tests",
    }


def test_the_bench_of_a_task_is_a_sound_task(tmp_path):
    session, repositories = calc_world(tmp_path / "calc")
    home = tmp_path / "home"
    (row,) = distil_cluster(
        "c", members(session), canon(session), repositories, home, SETTINGS, NOW, redact=lambda text, thread: text
    ).to_dicts()
    runs = bench.write(home / row["task_dir"], tmp_path / "bench", SETTINGS)
    assert [run.expected for run in runs].count(1) == SETTINGS["validation"]["repeats"]
    assert len({run.name for run in runs}) == len(runs)
    scripts = sorted((tmp_path / "bench").rglob("*.sh"))
    assert len(scripts) >= len(runs) + 3
    for script in scripts:
        assert subprocess.run(["bash", "-n", str(script)], check=False).returncode == 0
