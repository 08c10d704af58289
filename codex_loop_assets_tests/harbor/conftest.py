"""What the tests with real Harbor jobs need: Harbor, an engine, and an image that is there. Without them they skip,
and say why.
"""

from __future__ import annotations

import os
import subprocess

import pytest

from codex_loop_assets.distill.environment import BASE_IMAGE_VARIABLE
from codex_loop_assets.resources import harbor


@pytest.fixture(scope="session")
def real_harbor() -> harbor.Harbor:
    found = harbor.find()
    if found is None:
        pytest.skip(harbor.HOW_TO_INSTALL)
    problem = harbor.engine_problem()
    if problem:
        pytest.skip(problem)
    return found


@pytest.fixture(scope="session", autouse=True)
def base_image():
    """Without a registry at hand, any Debian image that is already there will do."""
    if not os.environ.get(BASE_IMAGE_VARIABLE):
        listed = subprocess.run(
            ["docker", "images", "--format", "{{.Repository}}:{{.Tag}}"], capture_output=True, text=True, check=False
        )
        debian = [name for name in listed.stdout.split() if "debian" in name]
        if debian and "debian:bookworm-slim" not in debian:
            os.environ[BASE_IMAGE_VARIABLE] = debian[0]
    yield
