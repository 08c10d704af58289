"""Real Harbor jobs: tasks are proven by what containers actually scored."""

from __future__ import annotations

import pytest

from codex_loop_assets.distill.distil import distil_cluster
from codex_loop_assets.distill.validate import validate
from codex_loop_assets.settings import section
from codex_loop_assets_tests.distill.worlds import NOW, calc_world, canon, members

pytestmark = pytest.mark.harbor


@pytest.fixture(scope="module")
def calc(tmp_path_factory, real_harbor):
    folder = tmp_path_factory.mktemp("calc")
    session, repositories = calc_world(folder / "calc")
    home = folder / "home"
    rows = distil_cluster(
        "clu_1",
        members(session),
        canon(session),
        repositories,
        home,
        section("distill"),
        NOW,
        redact=lambda text, thread: text,
    )
    return home, rows, validate(rows, home, section("distill"), real_harbor, None)


def test_a_sound_task_is_validated_by_nop_oracle_repeats_and_attacks(calc):
    _, _, proof = calc
    by_check = {(row["check"], row["attempt"]): row for row in proof.to_dicts()}
    assert by_check["nop", 0]["reward"] == 0.0
    assert by_check["oracle", 0]["reward"] == 1.0
    assert by_check["oracle", 0]["error_class"] is None
    assert by_check["repeat", 0]["reward"] == by_check["repeat", 1]["reward"] == 1.0
    assert by_check["touch_markers", 0]["reward"] == 0.0
    assert by_check["edit_tests", 0]["reward"] == 0.0
    assert by_check["verdict", 0]["status"] == "validated"
    assert by_check["verdict", 0]["mutation_score"] >= 0.8
