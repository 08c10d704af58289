"""The fixture sessions give tasks that real runs prove, over several repositories, languages and kinds of verifier."""

from __future__ import annotations

import polars as pl
import pytest

from codex_loop_assets.distill.validate import validate
from codex_loop_assets.settings import section
from codex_loop_assets_tests.harbor.fixture_tasks import distilled

pytestmark = pytest.mark.harbor

PER_GROUP = 2


@pytest.fixture(scope="module")
def proof(tmp_path_factory, real_harbor) -> pl.DataFrame:
    """Verdicts of a few tasks per repository and kind of verifier, with what is known of each task."""
    home = tmp_path_factory.mktemp("fixtures") / "home"
    tasks = distilled(home).filter((pl.col("stage") == "built") & (pl.col("verifier_kind") != "none"))
    group = ["repository", "verifier_kind", "check_kind"]
    chosen = tasks.sort("candidate_id").filter(pl.int_range(pl.len()).over(group) < PER_GROUP)
    rows = validate(chosen, home, section("distill"), real_harbor, None)
    return rows.filter(pl.col("check") == "verdict").join(
        chosen.select("candidate_id", "language", *group), on="candidate_id"
    )


def test_ten_tasks_or_more_are_validated_over_repositories_languages_and_verifiers(proof):
    validated = proof.filter(pl.col("status") == "validated")
    assert validated.height >= 10, proof.select("candidate_id", "status", "reason").rows()
    assert validated["repository"].n_unique() >= 4
    assert validated["language"].drop_nulls().n_unique() >= 2
    assert validated.select("verifier_kind", "check_kind").unique().height >= 3
    assert validated["mutation_score"].min() >= 0.8


def test_what_is_not_validated_says_why(proof):
    assert proof.filter(pl.col("status") != "validated")["reason"].str.len_chars().min() != 0
