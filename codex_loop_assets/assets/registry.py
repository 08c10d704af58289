"""cluster_registry: every cluster in its newest state; adds the partitions that the per-cluster assets run on."""

import dagster as dg

from codex_loop_assets.assets.clusters import read_state
from codex_loop_assets.assets.guard import guarded
from codex_loop_assets.assets.policy import store, table_spec
from codex_loop_assets.discovery.registry import cluster_registry as registry_frame
from codex_loop_assets.partitions import clusters
from codex_loop_assets.resources.homes import HomeResource
from codex_loop_assets.tables import TABLES

_DEPS = [
    "retention",
    dg.AssetDep("clusters", partition_mapping=dg.AllPartitionMapping()),
    dg.AssetDep("cluster_members", partition_mapping=dg.AllPartitionMapping()),
]


@dg.multi_asset(name="cluster_registry", specs=[table_spec("cluster_registry", "discovery", _DEPS)])
@guarded
def cluster_registry(context: dg.AssetExecutionContext, home: HomeResource):
    """Write the registry from the newest cluster state and add its clusters as partitions; none is ever deleted."""
    codex = home.home
    days = codex.lake.keys("clusters")
    frame = registry_frame(read_state(codex.lake, days[-1])) if days else TABLES["cluster_registry"].empty()
    context.instance.add_dynamic_partitions(clusters.name, frame["cluster_id"].to_list())
    store(context, codex, "cluster_registry", None, frame, live=int((frame["status"] == "live").sum()))
