"""Laws of the graph: it loads, it is what the stages say, definitions cost no heavy import, both entry points agree."""

import subprocess
import sys
import tomllib
from pathlib import Path

import dagster as dg
import yaml

from codex_loop_assets import stages
from codex_loop_assets.definitions import defs
from codex_loop_assets.partitions import clusters, days
from codex_loop_assets.tables import TABLES

ROOT = Path(__file__).parents[2]
HEAVY = ["lancedb", "openai", "sklearn", "hdbscan", "wordllama", "scipy", "statsmodels"]


def _graph():
    return defs.resolve_asset_graph()


def test_the_definitions_load():
    # In a process of its own: within this one Dagster remembers the instance of an earlier test, which is gone.
    code = "import dagster as dg; from codex_loop_assets.definitions import build_defs; dg.Definitions.validate_loadable(build_defs())"
    result = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_every_stage_names_assets_of_the_graph_and_every_asset_belongs_to_a_stage():
    named = {name for value in vars(stages).values() if isinstance(value, tuple) for name in value}
    made = {key.to_user_string() for key in _graph().materializable_asset_keys}
    assert made == named


def test_every_table_asset_is_partitioned_as_its_table_says():
    expected = {"day": days, "cluster": clusters, "none": None}
    for key in _graph().materializable_asset_keys:
        table = TABLES.get(key.to_user_string())
        if table:
            assert _graph().get(key).partitions_def == expected[table.partitioning], key


def test_every_asset_and_check_says_what_it_is():
    for key in _graph().get_all_asset_keys():
        assert _graph().get(key).description, key
    for check in defs.asset_checks or []:
        for spec in check.check_specs:
            assert spec.description


def test_every_daily_asset_runs_a_range_in_one_run():
    for name in stages.DAILY:
        assert _graph().get(dg.AssetKey(name)).backfill_policy == dg.BackfillPolicy.single_run()


def test_loading_the_definitions_imports_nothing_heavy():
    code = f"import sys, codex_loop_assets.definitions; print([m for m in {HEAVY} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_the_workspace_and_dg_load_the_same_module():
    workspace = yaml.safe_load((ROOT / "workspace.yaml").read_text("utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["dg"]["project"]
    assert workspace["load_from"][0]["python_module"]["module_name"] == project["code_location_target_module"]


def test_domain_packages_do_not_know_dagster_and_import_from_left_to_right():
    order = ["traces", "canon", "signals", "discovery", "distill", "measure", "loop"]
    for position, package in enumerate(order):
        for path in (ROOT / "codex_loop_assets" / package).rglob("*.py"):
            source = path.read_text("utf-8")
            assert "import dagster" not in source and "from dagster" not in source, path
            for later in order[position + 1 :]:
                assert f"codex_loop_assets.{later}" not in source, f"{path} imports {later}"
