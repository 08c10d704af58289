"""harbor_datasets and task_validations: a cluster's signals become Harbor tasks, and real runs prove them or not."""

from datetime import timedelta

import dagster as dg
import polars as pl

from codex_loop_assets import clock
from codex_loop_assets.assets.guard import guarded
from codex_loop_assets.assets.policy import PER_CLUSTER, describe, store, table_of, table_spec
from codex_loop_assets.distill.distil import distil_cluster
from codex_loop_assets.distill.funnel import funnel
from codex_loop_assets.distill.reviewed import rejections, with_acceptances
from codex_loop_assets.distill.validate import validate
from codex_loop_assets.resources import harbor, proofs, reviews
from codex_loop_assets.resources.evaluation_sets import write_sets
from codex_loop_assets.resources.homes import Home, HomeResource
from codex_loop_assets.resources.registry import fingerprint_of, members_of
from codex_loop_assets.resources.task_model import open_task_model
from codex_loop_assets.signals.model import CanonTables
from codex_loop_assets.tables import TABLES


@dg.multi_asset(
    name="harbor_datasets",
    specs=[table_spec("harbor_datasets", "tasks", ["cluster_registry"])],
    **PER_CLUSTER,
)
@guarded
def harbor_datasets(context: dg.AssetExecutionContext, home: HomeResource):
    """Distil each cluster's signals into Harbor tasks; what came of every signal is a row."""
    codex = home.home
    registry, settings = codex.lake.read("cluster_registry"), codex.section("distill")
    known, model = codex.lake.read_dated("signals"), open_task_model(codex)
    rejected = rejections(reviews.task_answers(codex))
    for cluster_id in context.partition_keys:
        signals = members_of(codex.lake, cluster_id, known)
        canon = canon_of(codex, signals, settings["segments"]["later_session_days"])
        rows = distil_cluster(
            cluster_id,
            signals.drop("dt"),
            canon,
            codex.repositories(),
            codex.root,
            settings,
            clock.now(),
            signals=known.drop("dt").join(canon.sessions.select("thread_id"), on="thread_id", how="semi"),
            codex_homes={registered.name: registered.path for registered in codex.codex_homes()},
            model=model,
            rejected=rejected,
        )
        reached = funnel(rows, TABLES["task_validations"].empty()).lines()
        store(
            context,
            codex,
            "harbor_datasets",
            cluster_id,
            rows,
            {"cluster_registry": fingerprint_of(registry, cluster_id)},
            signals=signals.height,
            funnel=dg.MetadataValue.md("\n".join(f"- {line}" for line in reached)),
        )


@dg.multi_asset(
    name="task_validations",
    specs=[table_spec("task_validations", "tasks", ["harbor_datasets"], kinds={"parquet", "docker"})],
    **PER_CLUSTER,
)
@guarded
def task_validations(context: dg.AssetExecutionContext, home: HomeResource):
    """Run the tasks: doing nothing must score 0, the reference solution 1, wrong solutions 0. A task proven before is kept."""
    codex = home.home
    settings = codex.section("distill")
    runner, problem = harbor.find(), harbor.engine_problem()
    for cluster_id in context.partition_keys:
        rows = validate(
            codex.lake.read("harbor_datasets", cluster_id),
            codex.root,
            settings,
            runner,
            problem,
            proofs.earlier(codex, cluster_id),
        )
        answers = reviews.task_answers(codex)
        rows = with_acceptances(rows, answers, rejections(answers))
        verdicts = rows.filter(pl.col("check") == "verdict")
        store(
            context,
            codex,
            "task_validations",
            cluster_id,
            rows,
            verdicts=table_of(verdicts.group_by("status").agg(tasks=pl.len()).sort("status")),
            reasons=verdicts["reason"].unique().sort().head(5).to_list(),
        )
        too_small = write_sets(codex, cluster_id)
        describe(context, "task_validations", cluster_id, {"sets_too_small": sorted(too_small)})


def canon_of(home: Home, signals: pl.DataFrame, around_days: int) -> CanonTables:
    """Sessions, turns and calls of the threads that hold these signals, and of those that worked in the same directory or on
    the same repository up to `around_days` before and after: an earlier session may have left the edits that one started
    from, a later one may have solved it. Distilling reads no events and no spines, so none are loaded.
    """
    window = timedelta(days=around_days)
    spans = [((day - window).isoformat(), (day + window).isoformat()) for day in signals["dt"].unique()]
    days = [day for day in home.lake.keys("spines") if any(first <= day <= last for first, last in spans)]
    sessions = home.lake.read("sessions", days)
    own = sessions.join(signals.select("thread_id"), on="thread_id", how="semi")
    # A join knows no null, so a session without a directory or repository is kin to none by it.
    kin = [sessions.join(own, on=column, how="semi") for column in ("thread_id", "cwd", "repository_url")]
    near = pl.concat(kin).unique("thread_id", keep="first").select("thread_id")

    def of_near(table: str) -> pl.DataFrame:
        parts = [home.lake.read(table, day).join(near, on="thread_id", how="semi") for day in days]
        return pl.concat([TABLES[table].empty(), *parts])

    return CanonTables(
        spines=TABLES["spines"].empty(),
        events=TABLES["events"].empty(),
        sessions=sessions.join(near, on="thread_id", how="semi"),
        turns=of_near("turns"),
        tool_calls=of_near("tool_calls"),
    )
