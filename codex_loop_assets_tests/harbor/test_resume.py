"""A job that was killed is finished by the same call: trials that were done are kept, the others are run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from codex_loop_assets.distill.distil import distil_cluster
from codex_loop_assets.settings import section
from codex_loop_assets_tests.distill.worlds import NOW, calc_world, canon, members

pytestmark = pytest.mark.harbor

RUN = """
import sys
from pathlib import Path
from codex_loop_assets.resources.harbor import find
find().run(Path(sys.argv[1]), "oracle", Path(sys.argv[2]), "killed", attempts=2, concurrency=1)
"""


def test_a_killed_job_is_finished_by_the_same_call(tmp_path, real_harbor):
    session, repositories = calc_world(tmp_path / "calc")
    session.cwd = "/home/ann/resumed"
    for call in session.calls:
        call["cwd"] = session.cwd
        call["changes"] = (call.get("changes") or "").replace("/home/ann/calc", session.cwd) or None
    home = tmp_path / "home"
    (row,) = distil_cluster(
        "clu",
        members(session),
        canon(session),
        repositories,
        home,
        section("distill"),
        NOW,
        redact=lambda text, _: text,
    ).to_dicts()
    task, jobs = home / row["task_dir"], home / "harbor" / "jobs"
    killed = subprocess.Popen([sys.executable, "-c", RUN, str(task), str(jobs)], start_new_session=True)
    try:
        finished = wait_for_a_trial(jobs, killed)
    finally:
        os.killpg(killed.pid, signal.SIGKILL)
        killed.wait()
    assert real_harbor.finished(jobs, "killed") is None
    job = real_harbor.run(task, "oracle", jobs, "killed", attempts=2, concurrency=1)
    remove_containers(task.name)
    assert [(trial.reward, trial.exception) for trial in job.trials] == [(1.0, None)] * 2
    assert finished in {trial.name for trial in job.trials}
    assert real_harbor.finished(jobs, "killed") is not None


def wait_for_a_trial(jobs, process) -> str:
    """The name of the first trial that is done, as soon as the next one has begun."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and process.poll() is None:
        done = [path.parent.name for path in jobs.glob("killed/*/result.json")]
        if done and len([path for path in jobs.glob("killed/*") if path.is_dir()]) > len(done):
            return done[0]
        time.sleep(0.2)
    raise AssertionError("no trial was done in time")


def remove_containers(task_name: str) -> None:
    """What the killed trial left running: containers of this test's own task."""
    listed = subprocess.run(
        ["docker", "ps", "--quiet", "--filter", f"name=^{task_name}__"], capture_output=True, text=True, check=True
    )
    if listed.stdout.split():
        subprocess.run(["docker", "rm", "--force", *listed.stdout.split()], capture_output=True, check=True)
