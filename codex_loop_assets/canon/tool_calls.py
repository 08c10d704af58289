"""The `tool_calls` table: request, approval, execution and result of each call joined into one row.

A call's records share its call id, which is unique only within a run and not always there: a new request with the
same id is a new call, a retry without a new request (sandbox escalation) is the same call.
"""

from __future__ import annotations

import polars as pl

from codex_loop_assets.canon import approvals, kinds
from codex_loop_assets.canon.humans import is_subagent
from codex_loop_assets.canon.settings import CanonSettings
from codex_loop_assets.canon.timeline import Timeline, timeline
from codex_loop_assets.tables import TOOL_CALLS

_CALL = ("thread", "run", "call_id", "nth")
_COLUMNS = tuple(dict.fromkeys((*TOOL_CALLS.schema, "thread", "turn", "ordinal")))
_SHELLS = ("shell", "container.exec", "local_shell", "shell_command", "exec_command", "functions.exec_command")
_REFUSED_STDERR = ("exec command rejected by user", "patch rejected by user")


def build(events: pl.DataFrame, spines: pl.DataFrame, settings: CanonSettings | None = None) -> pl.DataFrame:
    """The day's `tool_calls` from its `events` and `spines`."""
    if events.is_empty():
        return TOOL_CALLS.empty()
    return from_joined(joined(timeline(events, settings)))


def from_joined(calls: pl.DataFrame) -> pl.DataFrame:
    """The table from the rows of `joined`."""
    return TOOL_CALLS.conform(calls.select(TOOL_CALLS.schema.keys()))


def joined(line: Timeline) -> pl.DataFrame:
    """Rows of `tool_calls` with `thread` and `turn` besides."""
    records = _records(line.events)
    calls = _grouped(records)
    calls = _with_approvals(calls, records, line.events)
    calls = _with_late_exits(calls)
    calls = calls.join(_turn_ends(line.events), on=("thread", "turn"), how="left").join(
        line.metadata.select("thread", is_subagent().alias("in_subagent")), on="thread", how="left"
    )
    turn_cwd = line.contexts.select("thread", "turn", pl.col("cwd").alias("turn_cwd"))
    calls = calls.join(turn_cwd, on=("thread", "turn"), how="left")
    finished = _finished(_judged(calls))
    del calls, records
    return finished if _in_order(finished) else finished.sort("thread", "ordinal")


def _in_order(calls: pl.DataFrame) -> bool:
    """Whether the rows are in reading order, as they are unless a join changed it: sorting copies every column."""
    thread, place = pl.col("thread"), pl.col("ordinal")
    later = (thread > thread.shift(1)) | ((thread == thread.shift(1)) & (place >= place.shift(1)))
    return calls.select(later.slice(1).all()).item()


def _records(events: pl.DataFrame) -> pl.DataFrame:
    """The events that belong to calls, with `nth`: which call of that id they belong to."""
    wanted = (
        *kinds.CALL_REQUESTS, *kinds.CALL_BEGINS, *kinds.CALL_ENDS, *kinds.CALL_OUTPUTS, *kinds.APPROVAL_REQUESTS,
        kinds.USER_SHELL,
    )  # fmt: skip
    found = events.filter(pl.col("kind").is_in(wanted))
    recorded_shell = pl.col("kind").is_in(("exec_command_begin", "exec_command_end")).any().over("thread", "run")
    # A spine has the user's own commands as exec events; their message is then a repetition.
    found = found.filter((pl.col("kind") != kinds.USER_SHELL) | ~recorded_shell)
    # A web search is an item without a call id beside the events that have one: one call, not two.
    searches = pl.col("kind").is_in(("web_search_begin", "web_search_end")).any().over("thread", "run")
    found = found.filter((pl.col("kind") != "web_search_call") | ~searches)
    place = pl.format("place:{}", "seq")
    found = found.with_columns(
        pl.when(pl.col("call_id").fill_null("") == "").then(place).otherwise("call_id").alias("call_id")
    )
    # A sub-agent's approval surfaces in its parent under the parent's turn id: each such request is a call of its own.
    borrowed = pl.col("kind").is_in(kinds.APPROVAL_REQUESTS) & (pl.col("call_id") == pl.col("turn_id")).fill_null(False)
    opens = pl.col("kind").is_in(kinds.CALL_REQUESTS) | borrowed
    return found.with_columns(
        borrowed.alias("borrowed"), opens.cum_sum().over("thread", "run", "call_id").clip(1).alias("nth")
    )


def _grouped(records: pl.DataFrame) -> pl.DataFrame:
    kind, detail = pl.col("kind"), pl.col("detail")

    def where(kinds_: tuple[str, ...], expression: pl.Expr) -> pl.Expr:
        return pl.when(kind.is_in(kinds_)).then(expression)

    requests, ends, outputs = kinds.CALL_REQUESTS, kinds.CALL_ENDS, kinds.CALL_OUTPUTS
    begins = kinds.CALL_BEGINS
    text, name = pl.col("text"), pl.col("name")
    own = (*requests, kinds.USER_SHELL)
    return records.group_by(_CALL, maintain_order=True).agg(
        pl.col("thread_id", "source", "ordinal").first(),
        pl.coalesce(
            where(own + begins, pl.col("turn")).first(ignore_nulls=True), pl.col("turn").first(ignore_nulls=True)
        ).alias("turn"),
        pl.col("turn_id").first(ignore_nulls=True),
        pl.col("seq").first().alias("seq_start"),
        pl.col("seq").max().alias("seq_end"),
        pl.col("ts").first(ignore_nulls=True).alias("occurred_at"),
        pl.col("ts").last(ignore_nulls=True).alias("last_at"),
        where(requests, name).first(ignore_nulls=True).alias("tool"),
        where(begins + ends, name).first(ignore_nulls=True).alias("event_name"),
        kind.first().alias("first_kind"),
        kind.is_in(("exec_command_begin", "exec_command_end")).any().alias("has_exec"),
        kind.is_in(("patch_apply_begin", "patch_apply_end")).any().alias("has_patch"),
        kind.is_in(ends).any().alias("has_end"),
        kind.is_in((*outputs, kinds.USER_SHELL)).any().alias("has_output"),
        pl.coalesce(
            where(requests, pl.col("command")).first(ignore_nulls=True), pl.col("command").first(ignore_nulls=True)
        ).alias("command"),
        pl.coalesce(
            where(begins + ends, pl.col("cwd")).last(ignore_nulls=True), pl.col("cwd").first(ignore_nulls=True)
        ).alias("cwd"),
        where(ends, pl.col("exit_code")).last(ignore_nulls=True).alias("end_code"),
        where((*outputs, kinds.USER_SHELL), pl.col("exit_code")).last(ignore_nulls=True).alias("text_code"),
        where(ends, pl.col("duration_ms")).last(ignore_nulls=True).alias("end_ms"),
        where((*outputs, kinds.USER_SHELL), pl.col("duration_ms")).last(ignore_nulls=True).alias("text_ms"),
        where((*ends, "dynamic_tool_response"), pl.col("success")).last(ignore_nulls=True).alias("end_success"),
        pl.col("paths").first(ignore_nulls=True),
        where(requests, text).first(ignore_nulls=True).alias("arguments"),
        where(requests, detail).first(ignore_nulls=True).alias("request_detail"),
        where((*outputs, kinds.USER_SHELL), text).last(ignore_nulls=True).alias("output_text"),
        where(outputs, detail).last(ignore_nulls=True).alias("output_detail"),
        where(ends, text).last(ignore_nulls=True).alias("end_text"),
        where(begins + ends, detail).last(ignore_nulls=True).alias("end_detail"),
        where(kinds.APPROVAL_REQUESTS, pl.lit(1)).sum().cast(pl.Int32).alias("approval_requests"),
        pl.col("borrowed").any(),
    )


def _with_approvals(calls: pl.DataFrame, records: pl.DataFrame, events: pl.DataFrame) -> pl.DataFrame:
    """The last decision on each call. `auto`: the source records approvals and none was asked."""
    asked = records.filter(pl.col("kind").is_in(kinds.APPROVAL_REQUESTS)).select(*_CALL, "ordinal")
    decided = approvals.decided(events)
    last = (
        asked.join(decided, on=("thread", "ordinal"), how="inner")
        .sort("thread", "ordinal")
        .group_by(_CALL, maintain_order=True)
        .agg(pl.col("approval").last(), pl.col("ambiguous_approval").any())
    )
    return calls.join(last, on=_CALL, how="left", maintain_order="left")


def _with_late_exits(calls: pl.DataFrame) -> pl.DataFrame:
    """Give a background command the exit code that a later write_stdin to its session reports."""
    state = pl.col("output_detail").str.json_path_match("$.state")
    session = pl.col("output_detail").str.json_path_match("$.session_id")
    target = pl.col("request_detail").str.json_path_match("$.session_id")
    calls = calls.with_columns(state.alias("state"), pl.when(state == "running").then(session).alias("session_id"))
    is_write = pl.col("tool") == "write_stdin"
    writes = calls.filter(is_write & pl.col("text_code").is_not_null()).select(
        "thread", "run", target.alias("session_id"), pl.col("ordinal").alias("write_ordinal"),
        pl.col("text_code").alias("late_code"), pl.col("seq_end").alias("late_seq"),
        pl.col("output_text").alias("late_text"),
    )  # fmt: skip
    started = calls.filter(~is_write & pl.col("session_id").is_not_null()).select(
        *_CALL, "session_id", "ordinal", "output_text"
    )
    late = (
        started.join(writes, on=("thread", "run", "session_id"))
        .filter(pl.col("write_ordinal") > pl.col("ordinal"))
        .sort("thread", "write_ordinal")
        .group_by(_CALL, maintain_order=True)
        .agg(pl.col("late_code", "late_seq", "late_text", "output_text").first())
        .select(
            *_CALL,
            "late_code",
            "late_seq",
            pl.concat_str("output_text", "late_text", separator="\n", ignore_nulls=True).alias("late_output"),
        )
    )
    calls = calls.join(late, on=_CALL, how="left", maintain_order="left")
    # The exit belongs to the command, not to the write that happened to see it.
    return calls.with_columns(
        pl.when(~is_write.fill_null(False)).then(pl.coalesce("text_code", "late_code")).alias("text_code"),
        pl.max_horizontal("seq_end", "late_seq").alias("seq_end"),
        pl.coalesce("late_output", "output_text").alias("output_text"),
        is_write.fill_null(False).alias("is_write"),
    )


def _turn_ends(events: pl.DataFrame) -> pl.DataFrame:
    """How each turn ended, and whether its source records approvals."""
    aborted, ended = pl.col("kind") == "turn_aborted", pl.col("kind").is_in(kinds.TURN_ENDS)
    told = events.select("thread", "turn", aborted.alias("turn_aborted"), ended.alias("turn_ended"))
    return (
        told.filter(pl.col("turn").is_not_null())
        .group_by("thread", "turn")
        .agg(pl.col("turn_aborted", "turn_ended").any())
    )


def _judged(calls: pl.DataFrame) -> pl.DataFrame:
    """Exit code, success and status from the evidence."""
    stderr = pl.coalesce(pl.col("end_detail").str.json_path_match("$.stderr"), "end_text").fill_null("")
    stated = pl.col("end_detail").str.json_path_match("$.status")
    code = pl.coalesce("end_code", "text_code")
    refused = (pl.col("state") == "refused").fill_null(False) | stderr.str.strip_chars().is_in(_REFUSED_STDERR)
    declined = (
        refused
        | (pl.col("state") == "policy").fill_null(False)
        | (stated == "declined").fill_null(False)
        | pl.col("approval").is_in(("denied", "abort", "timed_out")).fill_null(False) & ~pl.col("has_end")
    )
    aborted = (
        (pl.col("state") == "aborted").fill_null(False)
        | stderr.str.starts_with("command aborted by user")
        | (~pl.col("has_end") & ~pl.col("has_output") & pl.col("turn_aborted").fill_null(False))
    )
    timed_out = (pl.col("state") == "timed_out").fill_null(False) | (code == 124).fill_null(False)
    broken = pl.col("state").is_in(("not_run", "bad_patch", "failed_to_start")).fill_null(False)
    failed_end = ((stated == "failed") & code.is_null()).fill_null(False)
    worked = (
        pl.when(declined | aborted).then(None)
        .when(timed_out | broken | failed_end).then(False)
        .when(pl.col("end_success").is_not_null()).then(pl.col("end_success"))
        .when(code.is_not_null()).then(code == 0)
        .when((pl.col("tool") == "update_plan") & pl.col("has_output")).then(True)
    )  # fmt: skip
    status = (
        pl.when(declined).then(pl.lit("declined"))
        .when(aborted).then(pl.lit("aborted"))
        .when(timed_out).then(pl.lit("timed_out"))
        .when(worked == False).then(pl.lit("failed"))  # noqa: E712
        .when(worked | pl.col("is_write") & pl.col("has_output")).then(pl.lit("completed"))
        .when((pl.col("state") == "running").fill_null(False)).then(pl.lit("running"))
        .when(pl.col("has_output") | pl.col("has_end")).then(pl.lit("completed"))
        .otherwise(pl.lit("unknown"))
    )  # fmt: skip
    return calls.with_columns(
        code.alias("exit_code"),
        pl.when(pl.col("end_code").is_not_null())
        .then(pl.lit("event"))
        .when(pl.col("text_code").is_not_null())
        .then(pl.lit("output_text"))
        .alias("exit_code_from"),
        worked.alias("success"),
        status.alias("status"),
        refused.alias("refused"),
    )


def _name() -> pl.Expr:
    """The canonical tool name."""
    tool = pl.col("tool")
    mcp_function = tool.str.replace(r"^mcp__(.+?)__(.+)$", "mcp:$1.$2")
    return (
        pl.when(pl.col("has_patch") & ~pl.col("has_exec")).then(pl.lit("apply_patch"))
        .when(pl.col("first_kind").str.starts_with("web_search_")).then(pl.lit("web_search"))
        .when(pl.col("event_name").is_not_null()).then(pl.format("mcp:{}", "event_name"))
        .when(tool.is_in(_SHELLS)).then(pl.lit("shell"))
        .when(tool.is_not_null()).then(mcp_function)
        .when(pl.col("first_kind") == "apply_patch_approval_request").then(pl.lit("apply_patch"))
        .when(pl.col("first_kind") == "view_image_tool_call").then(pl.lit("view_image"))
        .when(pl.col("first_kind").is_in(kinds.CALL_OUTPUTS)).then(pl.lit("unknown"))
        .otherwise(pl.lit("shell"))
    )  # fmt: skip


def _finished(calls: pl.DataFrame) -> pl.DataFrame:
    user_shell = (pl.col("first_kind") == kinds.USER_SHELL) | (
        pl.col("end_detail").str.json_path_match("$.source") == "user_shell"
    ).fill_null(False)
    approval = (
        pl.when(pl.col("approval").is_not_null()).then("approval")
        .when(user_shell).then(None)
        .when(pl.col("refused")).then(pl.lit("denied"))
        .when(pl.col("source") == "spine").then(pl.lit("auto"))
    )  # fmt: skip
    parsed = pl.col("end_detail").str.json_path_match("$.parsed").str.strip_chars("[]").str.replace_all('"', "")
    patch = pl.col("name") == "apply_patch"
    return (
        calls.with_columns(_name().alias("name"))
        .with_columns(
            pl.when(patch & pl.col("paths").is_not_null())
            .then(pl.format("apply_patch {}", pl.col("paths").list.join(" ")))
            .otherwise("command")
            .alias("command"),
            pl.coalesce("cwd", "turn_cwd").alias("cwd"),
            pl.coalesce("end_ms", "text_ms").alias("duration_ms"),
            approval.alias("approval"),
            pl.col("approval_requests").fill_null(0),
            pl.col("ambiguous_approval").fill_null(False),
            parsed.alias("parsed"),
            pl.when(user_shell)
            .then(pl.lit("user"))
            .when(pl.col("borrowed") | pl.col("in_subagent").fill_null(False))
            .then(pl.lit("subagent"))
            .otherwise(pl.lit("agent"))
            .alias("actor"),
            pl.coalesce("end_text", "output_text").alias("output"),
            pl.col("end_detail").str.json_path_match("$.changes").alias("changes"),
            pl.coalesce("turn_id", pl.col("turn").cast(pl.String)).alias("turn_id"),
        )
        .select(_COLUMNS)
    )
