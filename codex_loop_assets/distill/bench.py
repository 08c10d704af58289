"""The bench of a task: a variant that grades the reference solution again and every attack, all in one container.

One container per task instead of one per wrong solution: the verifier is the task's own, run on a fresh copy of the
workspace each time. What the scores mean is `validate`'s.
"""

from __future__ import annotations

import shutil
import tarfile
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w

from codex_loop_assets.distill.attacks import Attack, attacks
from codex_loop_assets.distill.render import render

SCORES = "attacks.json"


@dataclass(frozen=True)
class Run:
    """One solution that is graded: the check and attempt it is recorded under, and the reward it must get."""

    check: str
    attempt: int
    expected: int

    @property
    def name(self) -> str:
        return f"{self.check}-{self.attempt}"


def write(task: Path, target: Path, settings: Mapping[str, Any]) -> list[Run]:
    """Write the bench of the task at `task` to the directory `target`, which is replaced; the runs it makes, in
    order."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(task, target, symlinks=True)
    reference = {path.name: path.read_bytes() for path in (task / "solution").iterdir()}
    repeats = [Attack("repeat", number, reference) for number in range(settings["validation"]["repeats"])]
    wrong = attacks(reference["solution.patch"], _reference_paths(task), settings)
    tests = target / "tests"
    (tests / "test.sh").rename(tests / "verify.sh")
    for number, attack in enumerate([*repeats, *wrong]):
        folder = tests / "attacks" / str(number)
        folder.mkdir(parents=True)
        for name, data in attack.files.items():
            (folder / name).write_bytes(data)
    runs = [Run(item.check, item.attempt, 1) for item in repeats] + [Run(item.check, item.attempt, 0) for item in wrong]
    context = {"workdir": settings["workdir"], "runs": [(run.name, run.expected) for run in runs]}
    (tests / "test.sh").write_bytes(render("bench.sh.jinja", context))
    (tests / "test.sh").chmod(0o755)
    _allow_time(target / "task.toml", len(runs))
    return runs


def _allow_time(file: Path, runs: int) -> None:
    document = tomllib.loads(file.read_text("utf-8"))
    document["verifier"]["timeout_sec"] *= runs
    file.write_text(tomli_w.dumps(document), "utf-8")


def _reference_paths(task: Path) -> list[str]:
    """Test and steering files that the verifier puts back."""
    bundle = task / "tests" / "reference.tar"
    if not bundle.exists() or not bundle.stat().st_size:
        return []
    with tarfile.open(bundle) as archive:
        return archive.getnames()
