"""signal_embeddings and session_embeddings: the texts of the day as vectors in LanceDB, each bought once."""

from datetime import date

import dagster as dg

from codex_loop_assets.assets.guard import guarded
from codex_loop_assets.assets.policy import DAILY, OWNERS, describe
from codex_loop_assets.discovery.embed import Embedder, open_embedder, space_of
from codex_loop_assets.discovery.text import session_texts, signal_texts
from codex_loop_assets.resources.homes import HomeResource
from codex_loop_assets.resources.judges import open_purse
from codex_loop_assets.resources.vectors import SESSIONS, SIGNALS, VectorStore

_COMMON = {**DAILY, "group_name": "discovery", "owners": OWNERS, "kinds": {"lancedb"}}


@dg.asset(deps=["signals"], description="One vector per signal: its normalised one-line description.", **_COMMON)
@guarded
def signal_embeddings(context: dg.AssetExecutionContext, home: HomeResource) -> None:
    codex = home.home
    settings = codex.section("discovery")
    embedder = open_embedder(settings["embedding"], purse=open_purse(codex, "embeddings"))
    store = VectorStore(codex.vectors_path)
    for day in context.partition_keys:
        texts = signal_texts(codex.lake.read("signals", day), settings["text"])
        embed(context, store, "signal_embeddings", SIGNALS, day, texts, embedder)


@dg.asset(deps=["turns"], description="One vector per session: what the user was trying to do.", **_COMMON)
@guarded
def session_embeddings(context: dg.AssetExecutionContext, home: HomeResource) -> None:
    codex = home.home
    settings = codex.section("discovery")
    embedder = open_embedder(settings["embedding"], purse=open_purse(codex, "embeddings"))
    store = VectorStore(codex.vectors_path)
    for day in context.partition_keys:
        texts = session_texts(codex.lake.read("turns", day), settings["text"])
        embed(context, store, "session_embeddings", SESSIONS, day, texts, embedder)


def embed(
    context: dg.AssetExecutionContext,
    store: VectorStore,
    asset: str,
    collection: str,
    day: str,
    texts: dict[str, str],
    embedder: Embedder,
) -> None:
    """Bring one day of a collection up to date and describe what was embedded, reused and deferred."""
    report = store.embed_day(collection, date.fromisoformat(day), texts, embedder)
    describe(
        context,
        asset,
        day,
        {
            "rows": report.total - report.deferred,
            "embedded": report.embedded,
            "reused": report.reused + report.unchanged,
            "deferred": report.deferred,
            "tokens": report.tokens,
            "cost_usd": report.cost_usd,
            "space": space_of(embedder),
        },
    )
