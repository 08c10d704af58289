"""Laws of remembered frames: never another content than the file's, and never more bytes than allowed."""

import os

import polars as pl
import pytest

from codex_loop_assets.resources.frame_cache import FrameCache


@pytest.fixture
def counted():
    """A loader of Parquet files that notes what it loads."""
    loaded = []

    def load(path):
        loaded.append(path.name)
        return pl.read_parquet(path)

    load.names = loaded
    return load


def replaced(path, values):
    """Write a file as the lake does: beside its place, then renamed over it."""
    beside = path.with_suffix(".tmp")
    pl.DataFrame({"value": values}).write_parquet(beside)
    os.replace(beside, path)


def test_a_file_that_is_the_same_is_loaded_once(tmp_path, counted):
    cache, path = FrameCache(), tmp_path / "a.parquet"
    replaced(path, [1, 2])
    assert [cache.read(path, counted)["value"].to_list() for _ in range(3)] == [[1, 2]] * 3
    assert counted.names == ["a.parquet"]


def test_a_replaced_file_is_loaded_again_even_with_the_old_time(tmp_path, counted):
    cache, path = FrameCache(), tmp_path / "a.parquet"
    replaced(path, [1, 2])
    cache.read(path, counted)
    before = path.stat()
    replaced(path, [3, 4])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    assert cache.read(path, counted)["value"].to_list() == [3, 4]


def test_a_file_replaced_while_it_is_read_is_not_remembered(tmp_path):
    cache, path = FrameCache(), tmp_path / "a.parquet"
    replaced(path, [1])

    def overtaken(file):
        frame = pl.read_parquet(file)
        replaced(file, [2])
        return frame

    assert cache.read(path, overtaken)["value"].to_list() == [1]
    assert cache.read(path, pl.read_parquet)["value"].to_list() == [2]


def test_a_caller_that_changes_its_frame_changes_nobody_else_s(tmp_path):
    cache, path = FrameCache(), tmp_path / "a.parquet"
    replaced(path, [1])
    for _ in range(2):
        cache.read(path, pl.read_parquet).insert_column(0, pl.Series("more", [9]))
    assert cache.read(path, pl.read_parquet).columns == ["value"]


def test_what_is_not_used_goes_when_the_bytes_are_spent(tmp_path, counted):
    cache = FrameCache(kept=6000, largest=2000)
    for name in "abcd":
        replaced(tmp_path / name, list(range(100)))
    replaced(tmp_path / "large", list(range(1000)))
    for name in ["a", "b", "c", "a", "d", "a", "b", "large", "large"]:
        cache.read(tmp_path / name, counted)
    assert counted.names == ["a", "b", "c", "d", "b", "large", "large"]


def test_a_file_that_is_gone_is_an_error_and_not_the_last_that_was_there(tmp_path):
    cache, path = FrameCache(), tmp_path / "a.parquet"
    replaced(path, [1])
    cache.read(path, pl.read_parquet)
    path.unlink()
    with pytest.raises(FileNotFoundError):
        cache.read(path, pl.read_parquet)
