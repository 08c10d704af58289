"""schema_proposals: categories for patterns that no category explains, for people to decide about; proposals_waiting: the
patterns that lack the evidence for one."""

import dagster as dg

from codex_loop_assets.assets.clusters import read_state
from codex_loop_assets.assets.guard import guarded
from codex_loop_assets.assets.policy import DAILY, DAY_BEFORE, store, table_spec
from codex_loop_assets.discovery.ask import open_asker
from codex_loop_assets.discovery.draft import TemplateDrafter
from codex_loop_assets.discovery.draft_llm import ModelDrafter
from codex_loop_assets.discovery.embed import open_embedder, space_of
from codex_loop_assets.discovery.governance import read_decisions
from codex_loop_assets.discovery.propose import by_impact, propose
from codex_loop_assets.discovery.text import opening_requests
from codex_loop_assets.resources.homes import HomeResource
from codex_loop_assets.resources.judges import open_purse
from codex_loop_assets.resources.schema import current_schema
from codex_loop_assets.resources.vectors import SIGNALS, VectorStore

_DEPS = [
    "clusters",
    "cluster_members",
    "signals",
    "signal_schema",
    dg.AssetDep("schema_proposals", partition_mapping=DAY_BEFORE),
]


@dg.multi_asset(
    name="schema_proposals",
    specs=[
        table_spec("schema_proposals", "discovery", _DEPS),
        table_spec("proposals_waiting", "discovery", ["clusters", "cluster_members", "signals", "signal_schema"]),
    ],
    **DAILY,
)
@guarded
def schema_proposals(context: dg.AssetExecutionContext, home: HomeResource):
    """Carry earlier proposals on with what was decided about them, and open new ones."""
    codex = home.home
    lake, settings = codex.lake, codex.section("discovery")
    vectors = VectorStore(codex.vectors_path).table(SIGNALS, space_of(open_embedder(settings["embedding"])))
    categories = {name: category.model_dump() for name, category in current_schema(codex).categories.items()}
    asker = open_asker(settings["model"], codex.cache / "category_drafts", purse=open_purse(codex, "proposals"))
    drafter = ModelDrafter(asker, TemplateDrafter(settings["proposals"])) if asker else None
    days = sorted(context.partition_keys)
    said = lake.read("turns", [known for known in lake.keys("turns") if known <= days[-1]])
    requests = opening_requests(said, settings["text"])
    for day in days:
        earlier = [known for known in lake.keys("schema_proposals") if known < day]
        proposed = propose(
            read_state(lake, day),
            lake.read_dated("signals", until=day),
            vectors,
            categories,
            read_decisions(codex.decisions_path),
            lake.read("schema_proposals", earlier[-1]) if earlier else None,
            settings,
            requests=requests,
            drafter=drafter,
            detector=codex.section("local_judge")["promoted"],
        )
        frame = proposed.frame
        open_ones = by_impact(frame.filter(frame["status"] == "open"))
        # Names and definitions are made of people's words, and what Dagster keeps cannot be forgotten.
        listed = "\n".join(
            f"- `{row['proposal_id']}` ({row['sample_count']} signals)" for row in open_ones.iter_rows(named=True)
        )
        store(
            context,
            codex,
            "schema_proposals",
            day,
            frame,
            open_proposals=open_ones.height,
            open=dg.MetadataValue.md(listed or "none"),
            unanswered_questions=asker.unanswered() if asker else {},
        )
        lacking = dict(proposed.waiting["lacks"].value_counts().sort("lacks").iter_rows())
        store(context, codex, "proposals_waiting", day, proposed.waiting, lacking=lacking)
