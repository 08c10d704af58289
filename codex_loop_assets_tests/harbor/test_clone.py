"""A task whose repository is cloned while its image is built: shown with a Git daemon on the engine's own bridge."""

from __future__ import annotations

import ipaddress
import socket
import subprocess
import time

import pytest

from codex_loop_assets.distill.distil import distil_cluster
from codex_loop_assets.distill.validate import validate
from codex_loop_assets.settings import section
from codex_loop_assets_tests.distill.worlds import CALC, NOW, calc_world, canon, members

pytestmark = pytest.mark.harbor


@pytest.fixture
def bridge(real_harbor) -> str:
    """The host's address as containers see it."""
    command = ["docker", "network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Subnet}}"]
    subnet = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    if not subnet:
        pytest.skip("the engine has no bridge network")
    return str(next(ipaddress.ip_network(subnet).hosts()))


@pytest.fixture
def daemon(tmp_path, bridge):
    """The base of git:// addresses that serve the folders below tmp_path."""
    with socket.socket() as free:
        free.bind(("", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        ["git", "daemon", "--export-all", "--reuseaddr", f"--base-path={tmp_path}", f"--port={port}", str(tmp_path)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex((bridge, port)) == 0:
                break
        time.sleep(0.1)
    yield f"git://{bridge}:{port}"
    server.terminate()
    server.wait()


def test_a_cloned_task_is_proven_like_any_other(tmp_path, daemon, real_harbor):
    session, _ = calc_world(tmp_path / "calc")
    session.repository_url = f"{daemon}/calc"
    session.calls.insert(
        0, session.calls[0] | {"command": "cat calc.py", "exit_code": 0, "output": CALC, "call_id": "c"}
    )
    session.calls[1] |= {"seq_start": 2, "call_id": "d"}
    home = tmp_path / "home"
    settings = section("distill", {"distill": {"environment": {"without_repository": ["clone"]}}})
    rows = distil_cluster("clu", members(session), canon(session), {}, home, settings, NOW, redact=lambda text, _: text)
    assert rows["environment_kind"].to_list() == ["clone"]
    proof = validate(rows, home, settings, real_harbor, None)
    verdicts = [(row["status"], row["reason"]) for row in proof.to_dicts() if row["check"] == "verdict"]
    assert [status for status, _ in verdicts] == ["validated"], verdicts
