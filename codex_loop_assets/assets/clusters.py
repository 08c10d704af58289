"""clusters, cluster_members, cluster_events: patterns that keep their identity from day to day."""

from dataclasses import replace
from datetime import date

import dagster as dg
import polars as pl

from codex_loop_assets.assets.guard import guarded
from codex_loop_assets.assets.policy import DAILY, DAY_BEFORE, store, table_of, table_spec
from codex_loop_assets.discovery.ask import open_asker
from codex_loop_assets.discovery.cluster import advance
from codex_loop_assets.discovery.embed import open_embedder, space_of
from codex_loop_assets.discovery.label_llm import ModelLabeller
from codex_loop_assets.discovery.state import ClusterState
from codex_loop_assets.resources.homes import Home, HomeResource
from codex_loop_assets.resources.judges import open_purse
from codex_loop_assets.resources.lake import Lake
from codex_loop_assets.resources.vectors import CENTROIDS, SIGNALS, VectorStore

_SHOWN = ["cluster_id", "type", "top_category", "size", "session_count", "severity", "action"]
_DEPS = ["signals", "signal_embeddings", "sessions", dg.AssetDep("clusters", partition_mapping=DAY_BEFORE)]


@dg.multi_asset(
    name="clusters",
    specs=[
        table_spec("clusters", "discovery", _DEPS),
        table_spec("cluster_members", "discovery", ["signals", "signal_embeddings"]),
        table_spec("cluster_events", "discovery", ["signals", "signal_embeddings"]),
    ],
    **DAILY,
)
@guarded
def clusters(context: dg.AssetExecutionContext, home: HomeResource):
    """Continue the newest earlier state with the signals not yet taken in. One writer at a time, whatever the day."""
    codex = home.home
    # The state of a day is made from the state before it, so two runs of different days must not interleave.
    with codex.lake.locked("clusters"):
        space = space_of(open_embedder(codex.section("discovery")["embedding"]))
        for day in sorted(context.partition_keys):
            state = advanced(codex, day, space)
            store(context, codex, "cluster_events", day, state.events)
            store(context, codex, "cluster_members", day, state.members)
            live = state.clusters.filter(state.clusters["status"] == "live")
            store(
                context,
                codex,
                "clusters",
                day,
                state.clusters,
                live_clusters=live.height,
                arrivals=int((state.members["arrived"] == state.day).sum()),
                # Without labels, which are made of people's words.
                largest=table_of(live.sort(["size", "cluster_id"], descending=[True, False]).select(_SHOWN)),
                events=table_of(state.events.group_by("kind").agg(events=pl.len()).sort("kind")),
                messages="\n".join(state.messages) or None,
            )


def advanced(home: Home, day: str, space: str) -> ClusterState:
    """The state of one day in an embedding space, its centres written to the vector store."""
    lake, settings = home.lake, home.section("discovery")
    vectors = VectorStore(home.vectors_path)
    asker = open_asker(settings["model"], home.cache / "cluster_labels", purse=open_purse(home, "labels"))
    days = lake.keys("clusters")
    earlier = [known for known in days if known < day]
    state = advance(
        read_state(lake, earlier[-1]) if earlier else None,
        date.fromisoformat(day),
        lake.read_dated("signals"),
        vectors.table(SIGNALS, space),
        settings,
        embedding_model=space,
        newest=read_state(lake, days[-1]) if days else None,
        recorded=read_state(lake, day) if day in days else None,
        sessions=lake.read("sessions"),
        labeller=ModelLabeller(asker, settings["labels"]) if asker else None,
    )
    if asker:
        unnamed = (f"{count} questions without an answer: {why}" for why, count in asker.unanswered().items())
        state = replace(state, messages=(*state.messages, *unnamed))
    labels = dict(state.clusters.select("cluster_id", "label").iter_rows())
    vectors.replace_vectors(CENTROIDS, state.day, space, state.centroids, labels)
    return state


def read_state(lake: Lake, day: str) -> ClusterState:
    """The recorded state of a day."""
    frames = [lake.read(table, day) for table in ("clusters", "cluster_members", "cluster_events")]
    return ClusterState(date.fromisoformat(day), *frames)
