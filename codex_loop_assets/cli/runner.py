"""Running an agent on tasks: which folders are run for which cluster, and going on with a measurement that was cut off. What
`measure` and `verify` share.

What belongs here: running. What does not: what the trials say (the assets of MEASURE), which tasks are in a set
(`resources.evaluation_sets`).
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import polars as pl

from codex_loop_assets.cli.options import Problem
from codex_loop_assets.cli.trials import known
from codex_loop_assets.distill import sets
from codex_loop_assets.distill.digest import task_digest
from codex_loop_assets.resources import evaluation_sets, harbor, jobs, proofs
from codex_loop_assets.resources.files import write_text
from codex_loop_assets.resources.homes import Home


@dataclass(frozen=True)
class Part:
    """A folder of tasks to run, and the cluster whose trials they are."""

    cluster_id: str
    folder: Path
    unvalidated: bool = False


@dataclass(frozen=True)
class Runner:
    """How trials are run: Harbor, and what is measured."""

    harbor: harbor.Harbor
    agent: str
    model: str | None
    attempts: int
    arm: str
    arguments: tuple[str, ...] = ()

    def run(self, home: Home, parts: list[Part]) -> list[str]:
        """Run every part, or go on where such a measurement was cut off; the names of the jobs, in order. Raises Problem.

        What is done is noted until the last part is: a job that finished before the others were cut off costs nothing again.
        """
        note = home.root / "harbor" / "measuring" / f"{self._shape(home, parts)}.json"
        done: list[str] = json.loads(note.read_text("utf-8")) if note.is_file() else []
        for part in parts[len(done) :]:
            done.append(self._run(home, part))
            write_text(note, json.dumps(done) + "\n")
        note.unlink(missing_ok=True)
        for part in parts:
            if part.folder.is_relative_to(jobs.gathered_folder(home)):
                shutil.rmtree(part.folder)
        return done

    def configuration(self, home: Home, part: Part) -> str:
        """The configuration of the job that `run` would run now."""
        name = self._job_name(home, part)
        return self.harbor.configuration(*self._place(home, part, name), **self._options(home))

    def _run(self, home: Home, part: Part) -> str:
        with home.lake.locked(f"measure-{part.cluster_id}"):
            name = self._job_name(home, part)
            jobs.label_job(home, part.cluster_id, name, self.arm)
            if part.unvalidated:
                jobs.allow_unvalidated(home, part.cluster_id, name)
            try:
                self.harbor.run(*self._place(home, part, name), **self._options(home), timeout_s=None)
            except harbor.HarborError as error:
                raise Problem(f"{error}. The same command goes on with the job {name}") from error
            jobs.note_tasks(jobs.jobs_folder(home, part.cluster_id) / name, part.folder)
        return name

    def _job_name(self, home: Home, part: Part) -> str:
        told = [str(part.folder.resolve()), _digests(part.folder), self.arm, self._options(home)]
        shape = json.dumps(told, sort_keys=True)
        return jobs.next_name(home, part.cluster_id, self.agent, self.model, shape)

    def _shape(self, home: Home, parts: list[Part]) -> str:
        told = [[part.cluster_id, str(part.folder.resolve()), *_digests(part.folder)] for part in parts]
        text = json.dumps([self.agent, self.model, self.arm, self._options(home), told], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def _place(self, home: Home, part: Part, name: str) -> tuple[Path, str, Path, str]:
        return part.folder, self.agent, jobs.jobs_folder(home, part.cluster_id), name

    def _options(self, home: Home) -> dict[str, Any]:
        extra = [*(("--model", self.model) if self.model else ())]
        extra += [word for argument in self.arguments for word in ("--ak", argument)]
        return {"attempts": self.attempts, "concurrency": home.section("measure")["run"]["concurrency"], "extra": extra}


def target_part(home: Home, cluster_id: str, dataset: Path, unvalidated: bool) -> Part:
    """What of a dataset folder is run: everything where unproven tasks were let in, else what is proven as it is there, and what
    is left out is said. Raises Problem where nothing is proven."""
    tasks = {path.parent: task_digest(path.parent) for path in sorted(dataset.glob("*/task.toml"))}
    proven = set(proofs.proven(home)["digest"])
    left_out = [task.name for task, digest in tasks.items() if digest not in proven]
    if unvalidated or not left_out:
        return Part(cluster_id, dataset, unvalidated)
    how = (
        f"{len(left_out)} of {len(tasks)} tasks are not proven by real runs ({', '.join(left_out[:3])}); prove them with: "
        f"codex-loop validate --cluster-id {cluster_id}, or measure all the same with --allow-unvalidated"
    )
    if len(left_out) == len(tasks):
        raise Problem(how)
    click.echo(f"left out: {how}", err=True)
    kept = [task for task in tasks if task.name not in left_out]
    return Part(cluster_id, _gathered(home, cluster_id, f"target-{cluster_id}", kept))


def set_parts(home: Home, cluster_id: str, kinds: Iterable[str]) -> list[Part]:
    """The tasks of these sets as folders, one for each cluster that they are of; which sets are too small is said."""
    found = evaluation_sets.sets_of(home, cluster_id)
    for reason in sets.shortfalls(found, home.section("distill")["sets"]).values():
        click.echo(reason, err=True)
    chosen = found.filter(pl.col("set_kind").is_in(list(kinds)))
    return [
        Part(
            known(other),
            _gathered(home, cluster_id, f"{kind}-{other}", [home.root / place for place in tasks["task_dir"]]),
        )
        for (other, kind), tasks in chosen.group_by("cluster_id", "set_kind", maintain_order=True)
    ]


def _gathered(home: Home, cluster_id: str, name: str, tasks: Iterable[Path]) -> Path:
    folder = jobs.gathered_folder(home) / cluster_id / name
    shutil.rmtree(folder, ignore_errors=True)
    for task in tasks:
        shutil.copytree(task, folder / task.name)
    return folder


def _digests(folder: Path) -> list[str]:
    return sorted(task_digest(path.parent) for path in folder.glob("*/task.toml"))


def free_arm(home: Home, cluster_id: str, arm: str, taken: Iterable[str] = ()) -> str:
    """The arm's name, with a number where trials of that name are there already: what ran before a change and what ran after it
    must not become one."""
    names = {*home.lake.read("eval_runs", cluster_id)["arm"], *taken}
    if arm not in names:
        return arm
    return next(name for number in range(2, len(names) + 3) if (name := f"{arm} #{number}") not in names)
