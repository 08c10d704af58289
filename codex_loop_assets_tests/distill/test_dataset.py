"""Laws of the dataset folder: replaced whole or not at all, described in all three files, rid of leftovers."""

from __future__ import annotations

import json
import tomllib

from codex_loop_assets.distill.dataset import contents, replace_dataset
from codex_loop_assets.distill.digest import task_digest
from codex_loop_assets.distill.task import Task, slug


def task(name: str, text: str = "x") -> Task:
    return Task(
        name,
        f"codex-loop/{name}",
        {"task.toml": b"", "instruction.md": text.encode(), "tests/test.sh": b"#!/bin/bash\n"},
    )


def test_the_three_files_name_every_task_with_its_digest(tmp_path):
    target = tmp_path / "clu"
    digests = replace_dataset(target, "codex-loop/clu", "d", [task("a"), task("b")], [{"task": "a"}, {"task": "b"}])
    manifest = tomllib.loads((target / "dataset.toml").read_text())
    assert [item["digest"] for item in manifest["tasks"]] == [digests["a"], digests["b"]]
    assert digests["a"] == task_digest(target / "a")
    (registry,) = json.loads((target / "registry.json").read_text())
    assert registry["version"] == manifest["dataset"]["version"]
    assert [item["name"] for item in registry["tasks"]] == ["codex-loop/a", "codex-loop/b"]
    assert [item["task"] for item in json.loads((target / "trace_evidence.json").read_text())] == ["a", "b"]


def test_a_new_content_takes_the_place_of_the_old_as_a_whole(tmp_path):
    target = tmp_path / "clu"
    replace_dataset(target, "codex-loop/clu", "d", [task("a"), task("b")], [])
    replace_dataset(target, "codex-loop/clu", "d", [task("b", "new")], [])
    assert {path.split("/")[0] for path in contents(target) if "/" in path} == {"b"}
    assert (target / "b" / "instruction.md").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["clu"]


def test_equal_content_is_left_alone(tmp_path):
    target = tmp_path / "clu"
    replace_dataset(target, "codex-loop/clu", "d", [task("a")], [])
    before = target.stat().st_ino
    replace_dataset(target, "codex-loop/clu", "d", [task("a")], [])
    assert target.stat().st_ino == before


def test_no_task_no_folder_and_no_leftover_of_a_killed_run(tmp_path):
    target = tmp_path / "clu"
    replace_dataset(target, "codex-loop/clu", "d", [task("a")], [])
    (tmp_path / ".clu~killed").mkdir()
    (tmp_path / ".clu-2~killed").mkdir()
    replace_dataset(target, "codex-loop/clu", "d", [], [])
    assert [path.name for path in tmp_path.iterdir()] == [".clu-2~killed"]


def test_a_slug_is_safe_wherever_it_is_put():
    for text in ("a b", "../x", "", "---", "Ünïcode", "a__b", "$(id)", "x" * 99):
        made = slug(text)
        assert (
            made
            and made == made.lower()
            and set(made) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
            and "--" not in made
        )
