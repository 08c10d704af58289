"""tickets: one ticket per problem, updated as its cluster changes, with claims that were checked against the tables."""

import dagster as dg

from codex_loop_assets import clock
from codex_loop_assets.assets.guard import guarded
from codex_loop_assets.assets.policy import PER_CLUSTER, describe, table_spec
from codex_loop_assets.discovery.ask import open_asker
from codex_loop_assets.loop import ticket_log
from codex_loop_assets.loop.tickets import NEEDED, build
from codex_loop_assets.resources import ticket_history
from codex_loop_assets.resources.files import write_text
from codex_loop_assets.resources.homes import HomeResource
from codex_loop_assets.resources.judges import open_purse
from codex_loop_assets.resources.registry import fingerprint_of


class TicketConfig(dg.Config):
    """`force`: open a ticket that the thresholds would not (a person asked for it)."""

    force: bool = False


@dg.multi_asset(
    name="tickets",
    specs=[table_spec("tickets", "tickets", ["harbor_datasets", "task_validations", "cluster_registry"])],
    **PER_CLUSTER,
)
@guarded
def tickets(context: dg.AssetExecutionContext, config: TicketConfig, home: HomeResource):
    """Write or update the ticket of each cluster; a ticket whose claims do not resolve is kept back and says so."""
    codex = home.home
    lake, log_path, today = codex.lake, ticket_history.path(codex), clock.now().date()
    frames = {table: lake.read(table) for table in NEEDED}
    asker = open_asker(
        codex.section("discovery")["model"], codex.cache / "ticket_advice", purse=open_purse(codex, "advice")
    )
    for cluster_id in context.partition_keys:
        with lake.locked("ticket_log"):
            ticket = build(
                cluster_id,
                frames,
                ticket_log.read(log_path),
                today,
                codex.section("tickets"),
                force=config.force,
                asker=asker,
            )
            ticket_log.append(log_path, ticket.events)
        row = ticket.row
        path = None
        if row and row["path"]:
            path = write_text(codex.root / row["path"], ticket.markdown)
        lake.write(
            "tickets",
            cluster_id,
            ticket.frame,
            {"cluster_registry": fingerprint_of(frames["cluster_registry"], cluster_id)},
        )
        describe(
            context,
            "tickets",
            cluster_id,
            {
                "rows": ticket.frame.height,
                "status": row["status"] if row else "part of another cluster's ticket",
                "reason": row["reason"] if row else None,
                "path": dg.MetadataValue.path(path) if path else None,
                "unresolved_claims": [finding.message for finding in ticket.findings],
            },
        )
