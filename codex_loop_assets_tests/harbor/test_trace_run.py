"""A task made with `codex-loop trace distill` stands the proof of a real run."""

from __future__ import annotations

import json

import pytest

from codex_loop_assets_tests.cli.test_trace import trace, world

__all__ = ["world"]
pytestmark = pytest.mark.harbor


def test_the_reference_solution_of_a_chosen_stretch_scores_one_and_doing_nothing_zero(world, real_harbor):
    trace("distill --bundle bundle --output task --start-seq 2 --end-seq 9")
    for agent, reward in (("oracle", 1.0), ("nop", 0.0)):
        trace(f"dataset --task task --output {agent} --agent {agent} --run")
        told = json.loads((world / agent / "results" / "harbor_run.json").read_text())
        assert (told["success"], list(told["rewards"].values()), told["errors"]) == (True, [reward], [])
