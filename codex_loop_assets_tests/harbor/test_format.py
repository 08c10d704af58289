"""What Harbor itself says about our files: digests, schema keys, and that a task needs no network once its image is
built.
"""

from __future__ import annotations

import json
import subprocess
import tomllib
from pathlib import Path

import pytest

from codex_loop_assets.distill.distil import distil_cluster
from codex_loop_assets.settings import section
from codex_loop_assets_tests.distill.worlds import NOW, calc_world, canon, members

pytestmark = pytest.mark.harbor

DIGEST = "import json, sys; from pathlib import Path; from harbor.publisher.packager import Packager; "
DIGEST += "print(json.dumps({name: Packager.compute_content_hash(Path(name))[0] for name in sys.argv[1:]}))"


@pytest.fixture(scope="module")
def task(tmp_path_factory) -> tuple[Path, dict]:
    folder = tmp_path_factory.mktemp("format")
    session, repositories = calc_world(folder / "calc")
    (row,) = distil_cluster(
        "clu_1",
        members(session),
        canon(session),
        repositories,
        folder / "home",
        section("distill"),
        NOW,
        redact=lambda text, thread: text,
    ).to_dicts()
    return folder / "home", row


def harbor_python(real_harbor) -> str:
    """The interpreter that Harbor's own script runs under."""
    return real_harbor.executable.resolve().read_text(errors="replace").splitlines()[0].removeprefix("#!").strip()


def test_the_digest_is_harbors(task, real_harbor):
    home, row = task
    command = [harbor_python(real_harbor), "-c", DIGEST, str(home / row["task_dir"])]
    theirs = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert {f"sha256:{value}" for value in theirs.values()} == {row["digest"]}


def test_harbor_knows_every_key_of_our_task_toml(task, real_harbor):
    home, row = task
    schema = real_harbor.schema_keys()
    document = tomllib.loads((home / row["task_dir"] / "task.toml").read_text())
    assert unknown_keys(document, schema, schema) == []


def unknown_keys(value: dict, schema: dict, whole: dict, where: str = "") -> list[str]:
    """Keys of a document that a JSON Schema does not name, `[metadata]` aside (Harbor leaves it free)."""
    while "properties" not in schema:
        branch = next(
            (part for part in [schema, *schema.get("anyOf", ()), *schema.get("allOf", ())] if "$ref" in part), None
        )
        if branch is None:
            return []
        schema = whole["$defs"][branch["$ref"].rsplit("/", 1)[-1]]
    unknown = [f"{where}{key}" for key in value if key not in schema["properties"]]
    for key, inner in value.items():
        if isinstance(inner, dict) and key in schema["properties"] and where + key != "metadata":
            unknown += unknown_keys(inner, schema["properties"][key], whole, f"{where}{key}.")
    return unknown


def test_the_reference_solution_passes_with_the_containers_network_cut(task, real_harbor):
    home, row = task
    job = real_harbor.run(home / row["task_dir"], "oracle", home / "harbor" / "jobs", "offline", network=False)
    (trial,) = job.trials
    assert (trial.reward, trial.exception) == (1.0, None)
