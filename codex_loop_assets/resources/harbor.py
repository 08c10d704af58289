"""The Harbor command line and the container engine behind it: finding them, running a job, reading what a job left
behind.

Harbor is a separate tool (Python 3.12 or newer). It is looked for at the path in CODEX_LOOP_HARBOR, else on PATH.
Nothing here decides what to run or what a result means; its telemetry is always switched off.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

EXECUTABLE_VARIABLE = "CODEX_LOOP_HARBOR"
HOW_TO_INSTALL = (
    "Harbor is not installed: `uv tool install harbor` (needs Python 3.12), or name its executable in CODEX_LOOP_HARBOR"
)

# PID 1 of a task's container is a shell that ignores SIGTERM: without an init every trial waits ten seconds for its
# end.
_FAST = "services:\n  main:\n    init: true\n    stop_grace_period: 1s\n"
_NO_NETWORK = "    network_mode: none\n"


class HarborError(RuntimeError):
    """Harbor or the engine is missing, or a job did not finish; the message says what to do or what Harbor said
    last.
    """


@dataclass(frozen=True)
class Trial:
    """One trial of a job, as its result.json tells it. `reward` is None when the verifier gave none."""

    task: str
    task_path: str
    name: str
    agent: str
    reward: float | None
    rewards: Mapping[str, float]
    exception: str | None
    exception_message: str | None
    started_at: datetime | None
    duration_s: float | None
    directory: Path
    raw: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True)
class Job:
    """A finished or unfinished job directory."""

    directory: Path
    trials: tuple[Trial, ...]


@dataclass(frozen=True)
class Harbor:
    """A Harbor executable."""

    executable: Path

    def version(self) -> str:
        """Version, as `harbor --version` prints it. Raises HarborError."""
        return _run([str(self.executable), "--version"], 60).strip().split()[-1]

    def schema_keys(self) -> dict[str, Any]:
        """JSON Schema of task.toml. Harbor ignores unknown keys in silence, so they have to be looked for. Raises
        HarborError.
        """
        return json.loads(_run([str(self.executable), "task", "schema"], 60))

    def run(
        self,
        path: Path,
        agent: str,
        jobs: Path,
        job_name: str,
        *,
        attempts: int = 1,
        concurrency: int = 2,
        network: bool = True,
        timeout_s: float | None = 3600,
        extra: Sequence[str] = (),
    ) -> Job:
        """Run a task directory, or a directory of them, and return the job; a job left unfinished under the same name
        is resumed.

        `network` False cuts the containers off after their build. Raises HarborError when Harbor itself fails; failed
        trials are results.
        """
        command = self._command(path, agent, jobs, job_name, attempts, concurrency, network)
        _run([*command, "--quiet", "--yes", *extra], timeout_s, cwd=jobs)
        return read_job(jobs / job_name)

    def configuration(
        self,
        path: Path,
        agent: str,
        jobs: Path,
        job_name: str,
        *,
        attempts: int = 1,
        concurrency: int = 2,
        extra: Sequence[str] = (),
    ) -> str:
        """The configuration of the job that `run` would run with the same arguments, as Harbor prints it. Raises
        HarborError.
        """
        command = self._command(path, agent, jobs, job_name, attempts, concurrency, network=True)
        return _run([*command, "--quiet", *extra, "--print-config"], 120, cwd=jobs)

    def _command(
        self, path: Path, agent: str, jobs: Path, job_name: str, attempts: int, concurrency: int, network: bool
    ) -> list[str]:
        jobs.mkdir(parents=True, exist_ok=True)
        compose = jobs / ("compose-fast.yaml" if network else "compose-fast-no-network.yaml")
        compose.write_text(_FAST + ("" if network else _NO_NETWORK), "utf-8")
        options = {
            "--path": path.resolve(),
            "--agent": agent,
            "--jobs-dir": jobs.resolve(),
            "--job-name": job_name,
            "--n-attempts": attempts,
            "--n-concurrent": concurrency,
            "--extra-docker-compose": compose.resolve(),
        }
        return [
            str(self.executable),
            "run",
            *(word for option, value in options.items() for word in (option, str(value))),
        ]

    def finished(self, jobs: Path, job_name: str) -> Job | None:
        """A job that ran to its end, without running anything; None where it is not there or was cut off."""
        try:
            summary = json.loads((jobs / job_name / "result.json").read_text("utf-8"))
        except (OSError, ValueError):
            return None
        return read_job(jobs / job_name) if summary.get("finished_at") else None


def find(environ: Mapping[str, str] | None = None) -> Harbor | None:
    """Harbor as configured in the environment, else from PATH; None when it is neither."""
    values = os.environ if environ is None else environ
    configured = values.get(EXECUTABLE_VARIABLE)
    found = shutil.which(configured) if configured else shutil.which("harbor", path=values.get("PATH"))
    return Harbor(Path(found)) if found else None


def engine_problem() -> str | None:
    """Why containers cannot be run here, in one line; None when the Docker engine and Compose v2 answer."""
    if shutil.which("docker") is None:
        return "no engine: docker is not on PATH"
    try:
        _run(["docker", "version", "--format", "{{.Server.Version}}"], 20)
    except HarborError as error:
        return f"no engine: the Docker daemon does not answer ({error})"
    try:
        _run(["docker", "compose", "version", "--short"], 20)
    except HarborError:
        return "no engine: Docker Compose v2 is missing"
    return None


def read_job(directory: Path) -> Job:
    """The trials of a job directory, in order of task and start. Unfinished trials (no result.json) are not in it."""
    trials = [_trial(path) for path in sorted(directory.glob("*/result.json"))]
    found = [trial for trial in trials if trial is not None]
    return Job(directory, tuple(sorted(found, key=lambda trial: (trial.task_path, str(trial.started_at), trial.name))))


def _trial(path: Path) -> Trial | None:
    try:
        raw = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    if "trial_name" not in raw:
        return None
    rewards = (raw.get("verifier_result") or {}).get("rewards") or {}
    exception = raw.get("exception_info") or {}
    started, finished = _time(raw.get("started_at")), _time(raw.get("finished_at"))
    return Trial(
        task=raw.get("task_name") or "",
        task_path=str((raw.get("task_id") or {}).get("path") or ""),
        name=raw["trial_name"],
        agent=(raw.get("agent_info") or {}).get("name") or "",
        reward=float(rewards["reward"]) if "reward" in rewards else None,
        rewards=rewards,
        exception=exception.get("exception_type"),
        exception_message=exception.get("exception_message"),
        started_at=started,
        duration_s=(finished - started).total_seconds() if started and finished else None,
        directory=path.parent,
        raw=raw,
    )


def _time(value: str | None) -> datetime | None:
    return datetime.fromisoformat(value) if value else None


def _run(command: list[str], timeout_s: float | None, cwd: Path | None = None) -> str:
    # Harbor reads .env.local of its working directory: it must not be a person's.
    environment = os.environ | {"HARBOR_TELEMETRY": "off", "NO_COLOR": "1", "TERM": "dumb"}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=timeout_s, cwd=cwd, env=environment
        )
    except subprocess.TimeoutExpired as error:
        raise HarborError(f"{Path(command[0]).name} did not finish in {timeout_s:.0f} s") from error
    except OSError as error:
        raise HarborError(f"{command[0]}: {error}") from error
    if done.returncode:
        tail = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:] or ["no output"]
        raise HarborError(f"{Path(command[0]).name} {command[1]} failed ({done.returncode}): {tail[0].strip()[:300]}")
    return done.stdout
