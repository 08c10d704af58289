"""Laws of vectors by id."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from codex_loop_assets.discovery.vectors import Vectors

TABLE = Vectors(pl.Series(["a", "b", "a"]), np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]], dtype=np.float32))


def test_of_an_id_given_twice_the_last_vector_counts():
    assert TABLE.take(pl.Series(["a", "b", "a"])).tolist() == [[0.5, 0.5], [0.0, 1.0], [0.5, 0.5]]
    assert len(TABLE) == 2 and TABLE["a"].tolist() == [0.5, 0.5]


def test_taking_an_unknown_id_is_an_error_and_asking_for_it_is_not():
    with pytest.raises(KeyError):
        TABLE.take(pl.Series(["a", "z"]))
    assert TABLE.known(pl.Series(["a", "z"])).to_list() == [True, False] and "z" not in TABLE


def test_a_mapping_and_its_table_hold_the_same():
    given = {"x": np.ones(3, np.float32), "y": np.zeros(3, np.float32)}
    made = Vectors.of(given)
    assert {key: made[key].tolist() for key in made} == {key: value.tolist() for key, value in given.items()}
    assert Vectors.of(made) is made and len(Vectors.of({})) == 0
