"""Every table of the lake: columns, types, keys, partitioning and column documentation.

This is the one source for the writer (which refuses a frame that does not fit), the asset checks, the Dagster column
schema, the catalogue views and the documentation. A table's name is its asset's name is its directory name.

What belongs here: the shape of data at rest. What does not: how a column is computed (see the package that builds it).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import polars as pl

Partitioning = Literal["day", "cluster", "none"]

TIMESTAMP = pl.Datetime("us", "UTC")
STRINGS = pl.List(pl.String)


@dataclass(frozen=True)
class Column:
    """One column: its name, Polars type, meaning, and whether a null is allowed (null always means "not known")."""

    name: str
    dtype: pl.DataType
    doc: str
    nullable: bool = True


@dataclass(frozen=True)
class Table:
    """A table of the lake. `key` columns are unique within the whole table and give the row order inside a partition."""

    name: str
    partitioning: Partitioning
    doc: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]

    @property
    def schema(self) -> dict[str, pl.DataType]:
        return {column.name: column.dtype for column in self.columns}

    def empty(self) -> pl.DataFrame:
        """A frame with no row and the full schema: what an empty day holds."""
        return pl.DataFrame(schema=self.schema)

    def frame(self, rows: list[dict]) -> pl.DataFrame:
        """Rows (dicts that may omit nullable columns) as a conforming frame, in key order.

        Raises ValueError for a key that is no column: a misspelt column must not vanish in silence.
        """
        unknown = {name for row in rows for name in row} - self.schema.keys()
        if unknown:
            raise ValueError(f"{self.name}: unknown columns {sorted(unknown)}")
        return self.conform(pl.DataFrame(rows, schema=self.schema, orient="row") if rows else self.empty())

    def conform(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Select the table's columns in order, cast, sort by key. Raises ValueError on a missing or unknown column,
        a null where none is allowed, or a repeated key."""
        unknown = set(frame.columns) - self.schema.keys()
        missing = self.schema.keys() - set(frame.columns)
        if unknown or missing:
            raise ValueError(f"{self.name}: unknown columns {sorted(unknown)}, missing columns {sorted(missing)}")
        frame = frame.select(pl.col(name).cast(dtype) for name, dtype in self.schema.items())
        for column in self.columns:
            if not column.nullable and frame[column.name].null_count():
                raise ValueError(f"{self.name}.{column.name}: {frame[column.name].null_count()} nulls, none allowed")
        # Frames mostly come in key order: seeing that costs a fraction of the time and memory of sorting and hashing.
        if self._rises_strictly(frame):
            return frame
        if frame.select(pl.struct(self.key).is_duplicated().any()).item():
            raise ValueError(f"{self.name}: repeated key {self.key}")
        return frame.sort(self.key, maintain_order=True, nulls_last=True)

    def _rises_strictly(self, frame: pl.DataFrame) -> bool:
        """Whether each row's key is greater than that of the row before (so that the order is right and none repeats)."""
        rises, equal = pl.lit(False), pl.lit(True)
        for name in self.key:
            here, before = pl.col(name).slice(1), pl.col(name).slice(0, pl.len() - 1)
            rises, equal = rises | (equal & (here > before)), equal & (here == before)
        return frame.height < 2 or bool(frame.select(rises.fill_null(False).all()).item())


def _required(name: str, dtype: pl.DataType, doc: str) -> Column:
    return Column(name, dtype, doc, nullable=False)


_THREAD = _required(
    "thread_id", pl.String, "Codex thread (session) id: lowercase UUID for real Codex, any text otherwise."
)
_SOURCE = _required("source", pl.String, "Which record of the thread this comes from: `spine` or `rollout`.")
_RUN = _required(
    "run", pl.Int32, "Process run within the thread, from 0; a resume starts the next one. Turn ids repeat across runs."
)
_TURN = Column(
    "turn_id",
    pl.String,
    "Codex's turn id, or a synthetic counter in eras without one. Unique only with thread_id and run.",
)
_CALL = Column("call_id", pl.String, "Tool call id as the model gave it. Not globally unique.")
_SEQ_START = _required(
    "seq_start", pl.Int64, "First record (writer's seq in a spine, 1-based line number in a rollout file)."
)
_SEQ_END = _required("seq_end", pl.Int64, "Last record, same numbering as seq_start.")
_OCCURRED = Column("occurred_at", TIMESTAMP, "When it happened, UTC; null where the era writes no time.")

SPINES = Table(
    "spines",
    "day",
    "The coverage ledger: every session source found, what became of it, every line accounted for.",
    ("thread_id", "source", "home", "path"),
    (
        _THREAD,
        _SOURCE,
        _required("home", pl.String, "Name of the registered Codex home it was found in."),
        _required("path", pl.String, "Spine directory or rollout file, relative to the home."),
        _required(
            "status",
            pl.String,
            "ingested, active, vanished, quarantined, superseded, partially_superseded or excluded.",
        ),
        Column(
            "reason", pl.String, "Why it has that status, and what to do about it; null when ingested without remark."
        ),
        _required("bytes", pl.Int64, "Size on disk of all its files, in bytes (compressed size for .zst)."),
        _required("lines", pl.Int64, "Physical lines = lines_read + lines_skipped + lines_torn."),
        _required("records", pl.Int64, "Rows this source has in `events`."),
        _required(
            "fingerprint",
            pl.String,
            "Hash of names and sizes and times of its files; equal means nothing to read again.",
        ),
        _required("lines_read", pl.Int64, "Lines decoded and kept as at least one event."),
        _required("lines_skipped", pl.Int64, "Lines counted but not stored, by the reasons in `skipped`."),
        _required("lines_torn", pl.Int64, "Lines that are not valid JSON records (cut off, corrupt)."),
        _required("skipped", pl.String, "JSON object: reason -> lines, summing to lines_skipped."),
        _required(
            "unknown_kinds",
            pl.String,
            "JSON object: record or event kind this version does not know -> lines (they are read and kept).",
        ),
        _required(
            "notes",
            pl.String,
            "JSON list of anomalies worth a look: hash mismatch, seq inversion, missing meta, torn tail, ...",
        ),
        Column("era", pl.String, "spine_v1, or rollout era A, B, C, D, E (mixed: the newest)."),
        Column("started_at", TIMESTAMP, "Start of the session, which decides its day."),
        _required(
            "started_from",
            pl.String,
            "Where started_at was taken from: metadata, uuid, file_name, record (the first one), file_time.",
        ),
        Column("last_record_at", TIMESTAMP, "Time of the newest record."),
        _required("files", pl.String, "JSON list of {path, bytes, mtime_ns}: the files behind the fingerprint."),
        Column("machine", pl.String, "Name of the machine the home belongs to."),
        Column(
            "coverage",
            pl.String,
            "JSON object comparing spine and rollout of one thread: turns each has, spans taken from the other. Of an earlier "
            "save of a session: `save_of`, the thread that holds all of it; of a single document its `opening`, a digest of "
            "how its conversation begins.",
        ),
    ),
)

EVENTS = Table(
    "events",
    "day",
    "The one normal form: a row per record that matters, whatever the source era, in file order.",
    ("thread_id", "source", "file", "offset", "part"),
    (
        _THREAD,
        _SOURCE,
        _RUN,
        _required("seq", pl.Int64, "Writer's number in a spine; 1-based line number in a rollout file."),
        _required("part", pl.Int32, "0, or the index of a further event made from the same line."),
        _required("ordinal", pl.Int64, "Reading order within the thread, from 0: sort by this."),
        Column("ts", TIMESTAMP, "Record time, UTC."),
        _required(
            "kind",
            pl.String,
            "Record type, or event/op/item tag, after alias folding (codex_formats 1.5, 2.1, 3.1, 4.5).",
        ),
        _TURN,
        _CALL,
        Column("role", pl.String, "user, assistant, developer or system, where the record has one."),
        Column("name", pl.String, "Tool name of a call; server.tool for MCP."),
        Column(
            "text",
            pl.String,
            "The words: message, reasoning summary, or tool output (head and tail kept, middle cut at the configured size).",
        ),
        Column("command", pl.String, "Command line as a person would read it (script of `bash -lc`)."),
        Column("cwd", pl.String, "Working directory as a plain path."),
        Column("exit_code", pl.Int32, "Process exit code; -1 is Codex's 'did not run', 124 its timeout."),
        Column("duration_ms", pl.Int64, "Duration in milliseconds."),
        Column("success", pl.Boolean, "Success flag where the record states one (patch, MCP, undo)."),
        Column(
            "decision",
            pl.String,
            "Normalised approval decision: approved, approved_for_session, approved_execpolicy_amendment, denied, abort, timed_out, ...",
        ),
        Column("paths", STRINGS, "Files named by a patch or read/list/search command."),
        Column("tokens", pl.String, "JSON object of total_token_usage for token_count records."),
        Column(
            "detail",
            pl.String,
            "JSON object with the record's further small fields (reason, num_turns, changes, policies, ...); see traces/.",
        ),
        _required("payload_bytes", pl.Int64, "Size of the source line in bytes."),
        _required("file", pl.String, "File, relative to the home."),
        _required("offset", pl.Int64, "Byte offset of the line in that file (uncompressed)."),
    ),
)

SESSIONS = Table(
    "sessions",
    "day",
    "One row per thread: metadata, totals and how it ended.",
    ("thread_id",),
    (
        _THREAD,
        _SOURCE,
        Column("machine", pl.String, "Name of the machine the home belongs to."),
        _required("home", pl.String, "Registered Codex home."),
        Column("parent_thread_id", pl.String, "Thread that spawned this sub-agent."),
        Column("forked_from_id", pl.String, "Thread this one was forked from."),
        Column("originator", pl.String, "Client: codex_cli_rs, codex_exec, codex_vscode, ..."),
        Column(
            "session_source",
            pl.String,
            "SessionMeta.source: cli, vscode, exec, mcp, subagent:<kind>, custom:<name>, ...",
        ),
        Column("cli_version", pl.String, "Codex version."),
        Column("model", pl.String, "Model of the first turn."),
        Column("model_provider", pl.String, "Model provider id."),
        Column("started_at", TIMESTAMP, "Start, UTC."),
        Column("ended_at", TIMESTAMP, "Last record, UTC."),
        Column("cwd", pl.String, "Working directory at the start."),
        Column("repository_url", pl.String, "origin's URL without credentials."),
        Column("repository", pl.String, "Short name: last path part of the URL, else of cwd."),
        Column("commit_hash", pl.String, "Commit at the start."),
        Column("branch", pl.String, "Branch at the start."),
        Column("base_sha", pl.String, "Base commit of the recorded starting diff (git_diff artifact)."),
        Column("starting_diff_path", pl.String, "Starting diff file, relative to the home."),
        _required("turn_count", pl.Int32, "Turns (rows of `turns`)."),
        _required("human_turn_count", pl.Int32, "Turns whose message a person typed."),
        _required("tool_call_count", pl.Int32, "Rows of `tool_calls`."),
        _required("failed_tool_call_count", pl.Int32, "Tool calls with success = false."),
        _required("run_count", pl.Int32, "Process runs."),
        _required("compaction_count", pl.Int32, "Successful context compactions."),
        _required("error_count", pl.Int32, "error events."),
        _required("approvals_observable", pl.Boolean, "Whether this source records approval requests at all."),
        _required("human", pl.Boolean, "A person typed at least one message."),
        _required(
            "excluded",
            pl.Boolean,
            "Left out of friction rates (evaluation trial, the platform's own session, machine-driven).",
        ),
        Column("exclusion_reason", pl.String, "Why it is excluded."),
        _required("is_eval", pl.Boolean, "Session of an evaluation trial."),
        _required("outcome", pl.String, "completed, abandoned, aborted, errored, unknown."),
        _required("outcome_reason", pl.String, "What the outcome was read from."),
        Column("input_tokens", pl.Int64, "Input tokens over the session, cached included (differences of totals)."),
        Column("cached_input_tokens", pl.Int64, "Cached part of input_tokens."),
        Column("output_tokens", pl.Int64, "Output tokens, reasoning included."),
        Column("reasoning_output_tokens", pl.Int64, "Reasoning part of output_tokens."),
        Column("total_tokens", pl.Int64, "Total tokens."),
    ),
)

TURNS = Table(
    "turns",
    "day",
    "One row per message that asks for something (a steering message has a row of its own), with what followed.",
    ("thread_id", "run", "seq_start"),
    (
        _THREAD,
        _RUN,
        _TURN,
        _SEQ_START,
        _SEQ_END,
        _OCCURRED,
        Column("ended_at", TIMESTAMP, "Time of the last record of the turn."),
        _required("turn_index", pl.Int32, "Position within the thread, from 0."),
        _required(
            "user_message",
            pl.String,
            "The user's own words, scaffolding removed; '' for a turn without words (undo, compact, review).",
        ),
        Column("final_message", pl.String, "The agent's last message of the turn."),
        _required(
            "end_state",
            pl.String,
            "completed, aborted, errored, open (no end recorded), unknown (era records no ends).",
        ),
        Column(
            "abort_reason",
            pl.String,
            "interrupted, replaced, review_ended, budget_limited; with approval_abort and shutdown told apart where recorded.",
        ),
        Column("model", pl.String, "Model."),
        Column("approval_policy", pl.String, "untrusted, on-failure, on-request, never, granular."),
        Column("sandbox_policy", pl.String, "read-only, workspace-write, danger-full-access, external-sandbox."),
        _SOURCE,
        _required("kind", pl.String, "prompt, steer, shell (a `!command`), review, compact, undo."),
        _required("human", pl.Boolean, "A person typed it (not a sub-agent's parent, not automation)."),
        _required("rolled_back", pl.Boolean, "A later thread_rollback removed it from the context."),
        _required("interrupted", pl.Boolean, "A person interrupted it."),
        _required("undone", pl.Boolean, "An undo followed directly."),
        _required("compaction_count", pl.Int32, "Compactions during the turn."),
        _required("tool_call_count", pl.Int32, "Tool calls during the turn."),
        _required("failed_tool_call_count", pl.Int32, "Those with success = false."),
        Column("duration_ms", pl.Int64, "From message to end, milliseconds."),
        Column("total_tokens", pl.Int64, "Tokens used during the turn."),
        Column("cwd", pl.String, "Working directory of the turn."),
    ),
)

TOOL_CALLS = Table(
    "tool_calls",
    "day",
    "One row per tool call: request, approval, execution and result joined.",
    ("thread_id", "run", "seq_start", "call_id"),
    (
        _THREAD,
        _RUN,
        _TURN,
        _required("call_id", pl.String, "Tool call id; made from the place where the record has none."),
        _SEQ_START,
        _SEQ_END,
        _OCCURRED,
        _required(
            "name",
            pl.String,
            "shell (any shell tool), apply_patch, update_plan, web_search, mcp:<server>.<tool>, or the tool's own name.",
        ),
        Column("tool", pl.String, "The tool name as recorded."),
        Column("command", pl.String, "Command line as a person would read it; for a patch, the files in short."),
        Column("cwd", pl.String, "Working directory."),
        Column("exit_code", pl.Int32, "Exit code; null when unknown or still running. -1 is Codex's 'did not run'."),
        Column("exit_code_from", pl.String, "event, output_text (codex_formats 5.6) or null."),
        Column("duration_ms", pl.Int64, "Milliseconds."),
        Column("success", pl.Boolean, "Whether the tool worked; null when unknown."),
        _required("status", pl.String, "completed, failed, declined, timed_out, aborted, running, unknown."),
        Column(
            "approval",
            pl.String,
            "approved, approved_for_session, approved_execpolicy_amendment, denied, abort, unanswered, auto; null where approvals cannot be seen.",
        ),
        _required("approval_requests", pl.Int32, "How often this call asked for approval."),
        _required("ambiguous_approval", pl.Boolean, "The decision could belong to another open request."),
        Column("paths", STRINGS, "Files touched or named."),
        Column("parsed", pl.String, "Codex's own reading of the command: read, list_files, search, unknown."),
        _required("actor", pl.String, "agent, user (a `!command`), or subagent."),
        Column("arguments", pl.String, "Arguments as recorded, cut at the configured size."),
        Column("output", pl.String, "Output text, head and tail kept."),
        Column("changes", pl.String, "JSON object path -> change (codex_formats 3.1 Patches) of an applied patch."),
        _SOURCE,
    ),
)

_DETECTION_COLUMNS = (
    _required("signal_id", pl.String, "Id of the moment: hash of thread, run, seq_start and category."),
    _THREAD,
    _RUN,
    _TURN,
    _CALL,
    _SEQ_START,
    _SEQ_END,
    _OCCURRED,
    _required("type", pl.String, "friction or delight."),
    _required("category", pl.String, "Category name of the signal schema, or `novel`."),
    _required("severity", pl.Int32, "1 mild, 2 clear, 3 strong."),
    _required("confidence", pl.Float64, "Probability that a careful reader would agree, 0 to 1."),
    _required("detector", pl.String, "mechanical, local_judge or llm_judge."),
    _required("detector_version", pl.String, "Version of the rule or judge."),
    _required("schema_version", pl.String, "Version of the signal schema it was made with."),
    Column("model", pl.String, "Model, for judges that have one."),
    _required("description", pl.String, "One line that a reader who has not seen the session understands; redacted."),
    _required(
        "evidence",
        pl.String,
        "JSON list of {seq, run?, call_id?, quote?}: the records that show it (run only where not the row's own); quotations redacted.",
    ),
)


def _detections(name: str, doc: str) -> Table:
    return Table(name, "day", doc, ("signal_id", "detector"), _DETECTION_COLUMNS)


MECHANICAL_SIGNALS = _detections("mechanical_signals", "What the rule files found, one row per moment.")
SEMANTIC_SIGNALS = _detections(
    "semantic_signals", "What the judges found in the user's words and the course of the session."
)
DETECTIONS = _detections("detections", "Every detector's finding behind `signals`: one row per signal and detector.")

SIGNALS = Table(
    "signals",
    "day",
    "One row per moment of friction or delight, merged over detectors.",
    ("signal_id",),
    (*_DETECTION_COLUMNS, _required("detectors", STRINGS, "All detectors that found it.")),
)

JUDGE_COVERAGE = Table(
    "judge_coverage",
    "day",
    "Which session was judged by which judge, and if not, why not. Never a finding, nor the absence of one.",
    ("thread_id", "detector"),
    (
        _THREAD,
        _required("detector", pl.String, "local_judge or llm_judge."),
        _required("detector_version", pl.String, "Version of the judge."),
        _required("schema_version", pl.String, "Version of the signal schema used."),
        _required(
            "status",
            pl.String,
            "judged, active (not quiet yet), pending_batch, deferred (budget), failed, excluded, nothing_to_judge.",
        ),
        Column("reason", pl.String, "Why, in words."),
        Column(
            "left_out", STRINGS, "Categories that this judge does not look for: unknown in the session, not absent."
        ),
        _required("findings", pl.Int32, "Findings kept."),
        _required("rejected", pl.Int32, "Findings rejected because their turn or quotation does not exist."),
        _required(
            "calls",
            pl.Int32,
            "Model calls made for this row in the run that wrote it (0 when answered from the cache).",
        ),
        Column("input_tokens", pl.Int64, "Tokens sent."),
        Column("output_tokens", pl.Int64, "Tokens received."),
        Column("cost_usd", pl.Float64, "Cost of the answer when it was bought."),
        Column("facets", pl.String, "JSON object: intent, languages, frameworks, outcome, abstract."),
    ),
)

CLUSTERS = Table(
    "clusters",
    "day",
    "The state of every cluster as of the day. A cluster keeps its id as it grows.",
    ("dt", "cluster_id"),
    (
        _required("dt", pl.Date, "The day whose state this is."),
        _required("cluster_id", pl.String, "Hash of the founding members."),
        _required("type", pl.String, "friction or delight."),
        _required("label", pl.String, "Name for people."),
        _required("label_from", pl.String, "What named it: local or a model name."),
        _required("description", pl.String, "The medoid's description."),
        _required("size", pl.Int32, "Members."),
        _required("severity", pl.Float64, "Mean severity of members."),
        _required("status", pl.String, "live, merged, dissolved."),
        _required("parent_ids", STRINGS, "Clusters it was split from or merged out of."),
        Column("merged_into", pl.String, "Heir of a merged cluster."),
        Column("ended", pl.Date, "Day on which it merged or dissolved."),
        _required("born", pl.Date, "Day of birth."),
        _required("last_arrival", pl.Date, "Newest day on which a member arrived."),
        _required("session_count", pl.Int32, "Distinct sessions."),
        _required("user_count", pl.Int32, "Distinct homes (people)."),
        _required("repository_count", pl.Int32, "Distinct repositories."),
        Column("top_category", pl.String, "Most frequent category of members."),
        _required("terms", STRINGS, "Telling terms."),
        _required("exemplar_ids", STRINGS, "Signals nearest to the centre."),
        _required("counterexample_ids", STRINGS, "Nearest signals that are not members."),
        _required("facets", pl.String, "JSON: what differs from the rest, with counts."),
        _required(
            "trend", pl.String, "JSON list of the members' signals per partition day over the last days, newest last."
        ),
        _required("cohesion", pl.Float64, "Mean cosine of members to the centre."),
        _required("action", pl.String, "create_ticket, expand_eval_coverage, investigate, monitor."),
        _required("action_reason", pl.String, "Why that action."),
        _required("embedding_model", pl.String, "Embedding model and dimension of the space."),
    ),
)

CLUSTER_MEMBERS = Table(
    "cluster_members",
    "day",
    "Which signal belongs to which cluster as of the day; cluster_id null while it belongs to none.",
    ("dt", "signal_id"),
    (
        _required("dt", pl.Date, "The day whose state this is."),
        _required("signal_id", pl.String, "Signal."),
        Column("cluster_id", pl.String, "Its cluster."),
        _required("type", pl.String, "friction or delight."),
        _required("arrived", pl.Date, "Day whose run took the signal in."),
        _required("signal_day", pl.Date, "Partition day of the signal."),
        Column(
            "via", pl.String, "birth, branch, fit or radius: how it joined; withdrawn: the signal no longer exists."
        ),
        Column("similarity", pl.Float64, "Cosine to the cluster's centre."),
    ),
)

CLUSTER_EVENTS = Table(
    "cluster_events",
    "day",
    "What happened to clusters on the day: births, merges, splits, dissolutions, with parents.",
    ("dt", "kind", "cluster_id", "other_id"),
    (
        _required("dt", pl.Date, "Day of the event."),
        _required("kind", pl.String, "birth, branch (a birth near a living cluster), merge, split, dissolve."),
        _required("cluster_id", pl.String, "The cluster it happened to."),
        _required(
            "other_id", pl.String, "Heir of a merge, parent of a split, nearest cluster of a branch; '' otherwise."
        ),
        _required(
            "overlap",
            pl.Float64,
            "Share of members shared with the other (0: a split into new signals only); of a branch the centres' cosine.",
        ),
        _required("size", pl.Int32, "Members at the event."),
    ),
)

SCHEMA_PROPOSALS = Table(
    "schema_proposals",
    "day",
    "Categories proposed for clusters that no category explains.",
    ("dt", "proposal_id"),
    (
        _required("dt", pl.Date, "The day whose state this is."),
        _required("proposal_id", pl.String, "Hash of the cluster and the proposal's substance."),
        _required("cluster_id", pl.String, "Cluster it came from."),
        _required("name", pl.String, "snake_case category name."),
        _required("type", pl.String, "friction or delight."),
        _required("definition", pl.String, "What it is."),
        _required("inclusion_criteria", STRINGS, "Counts when."),
        _required("exclusion_criteria", STRINGS, "Does not count when."),
        _required("severity_rule", pl.String, "How severe."),
        _required("recommended_action", pl.String, "What to do."),
        _required("positives", pl.String, "JSON list of {signal_id, text}: members that show it."),
        _required("hard_negatives", pl.String, "JSON list of {signal_id, text}: near, but not it."),
        _required("overlap", pl.String, "JSON object: existing category -> share of members."),
        _required("backtest", pl.String, "JSON object: what the learnt detector would have found on history."),
        _required("sample_count", pl.Int32, "Members."),
        _required("session_count", pl.Int32, "Distinct sessions."),
        _required("confidence", pl.Float64, "0 to 1."),
        _required("confidence_reasons", STRINGS, "Why."),
        Column("drafted_by", pl.String, "What worded it: local or a model name."),
        _required("status", pl.String, "open, approved, rejected, superseded."),
        Column("decided_by", pl.String, "Who decided."),
        Column("decision_reason", pl.String, "Why."),
    ),
)

PROPOSALS_WAITING = Table(
    "proposals_waiting",
    "day",
    "Clusters that no category explains and that lack the evidence for a proposal, each with the first thing it lacks.",
    ("dt", "cluster_id"),
    (
        _required("dt", pl.Date, "The day whose state this is."),
        _required("cluster_id", pl.String, "Cluster."),
        _required(
            "lacks",
            pl.String,
            "samples, sessions, repositories, own_words (different texts in people's words), f1 (of a detector learnt from it,"
            " on history), found_again (examples that the others find), confidence, or words (that tell it apart).",
        ),
        _required("need", pl.Float64, "How much is needed."),
        _required("have", pl.Float64, "How much there is."),
    ),
)

HARBOR_DATASETS = Table(
    "harbor_datasets",
    "cluster",
    "One row per candidate task of a cluster, whatever became of it: the distillation funnel.",
    ("cluster_id", "candidate_id"),
    (
        _required("cluster_id", pl.String, "Cluster id or adhoc-<hash>."),
        _required("candidate_id", pl.String, "Hash of thread, segment and commit."),
        _required("signal_ids", STRINGS, "Signals the segment holds."),
        _THREAD,
        Column("run", pl.Int32, "Process run."),
        Column("seq_start", pl.Int64, "Segment start."),
        Column("seq_end", pl.Int64, "Segment end."),
        _required("stage", pl.String, "How far it came: signal, segment, candidate, built."),
        _required("reason", pl.String, "Why it went no further; '' when built with a verifier."),
        Column("task_name", pl.String, "Harbor task name org/name."),
        Column("task_dir", pl.String, "Task directory, relative to the codex-loop home."),
        Column("dataset_dir", pl.String, "Dataset directory, relative to the codex-loop home."),
        Column("digest", pl.String, "Harbor's content digest of the task, sha256:…"),
        Column(
            "core_digest", pl.String, "Digest of the task without its name and provenance: what runs said holds for it."
        ),
        Column("environment_kind", pl.String, "hermetic, clone, replayed."),
        Column("verifier_kind", pl.String, "command, file_state, llm, none."),
        Column("check_kind", pl.String, "test, build, lint: what the command of the verifier is; null otherwise."),
        Column("solution_from", pl.String, "session, later_session, none."),
        Column("repository", pl.String, "Repository short name."),
        Column("language", pl.String, "Main language."),
        Column("instruction", pl.String, "The instruction given to the agent (redacted)."),
        Column("verifier_command", pl.String, "Command the verifier runs (redacted)."),
        Column("set_kind", pl.String, "target, neighbour, delight_guard."),
    ),
)

TASK_VALIDATIONS = Table(
    "task_validations",
    "cluster",
    "Proof per task: what each real run scored, and the verdict.",
    ("cluster_id", "candidate_id", "check", "attempt"),
    (
        _required("cluster_id", pl.String, "Cluster."),
        _required("candidate_id", pl.String, "Candidate task."),
        _required("digest", pl.String, "Digest of the task that this is about."),
        Column("core_digest", pl.String, "The same without the task's name and provenance."),
        _required(
            "check",
            pl.String,
            "verdict, nop, oracle, repeat, or an attack: empty, drop_hunk_N, wrong_value, touch_markers, early_exit, edit_tests; review: a person accepted a task in doubt.",
        ),
        _required("attempt", pl.Int32, "From 0."),
        _required(
            "status",
            pl.String,
            "For `verdict`: validated, needs_review, rejected, unvalidated. Else: passed, failed, error.",
        ),
        _required("reason", pl.String, "Why, in words."),
        Column("reward", pl.Float64, "Reward."),
        Column("expected", pl.Float64, "Reward that the check demands."),
        Column("error_class", pl.String, "Exception type recorded by Harbor."),
        Column("mutation_score", pl.Float64, "Share of wrong solutions scored 0 (verdict row)."),
        Column("duration_s", pl.Float64, "Seconds."),
        Column("job_dir", pl.String, "Harbor job directory, relative to the codex-loop home."),
    ),
)

EVAL_RUNS = Table(
    "eval_runs",
    "cluster",
    "One row per Harbor trial.",
    ("eval_id",),
    (
        _required("eval_id", pl.String, "Hash of job and trial ids."),
        _required("cluster_id", pl.String, "Cluster id or adhoc-<hash>."),
        _required("dataset", pl.String, "Dataset name."),
        Column("dataset_digest", pl.String, "Digest of the dataset."),
        _required("task", pl.String, "Task name."),
        Column("task_digest", pl.String, "Digest of the task; of the present one where only the provenance differs."),
        Column("ran_digest", pl.String, "Digest of the task as it ran, where that is another."),
        _required("agent", pl.String, "Agent."),
        Column("agent_version", pl.String, "Agent version."),
        Column("model", pl.String, "Model."),
        _required("arm", pl.String, "What is compared: a label for agent, model and configuration."),
        _required("attempt", pl.Int32, "From 0, per task."),
        Column("reward", pl.Float64, "Reward; null when infrastructure failed."),
        Column("error_class", pl.String, "null, infrastructure, timeout, agent, verifier."),
        Column("error", pl.String, "Exception type and message."),
        Column("started_at", TIMESTAMP, "Start."),
        Column("duration_s", pl.Float64, "Seconds."),
        Column("tokens", pl.Int64, "Input + output tokens."),
        Column("cost_usd", pl.Float64, "Cost."),
        Column(
            "end_state",
            pl.String,
            "Hash of the final file state where known: flakiness shows as one state, two rewards.",
        ),
        _required("job_dir", pl.String, "Harbor job directory."),
        _required("trial", pl.String, "Trial name."),
    ),
)

TRIAL_SIGNALS = Table(
    "trial_signals",
    "cluster",
    "What the mechanical detectors found in the Codex sessions of evaluation trials.",
    ("eval_id", "category"),
    (
        _required("eval_id", pl.String, "Trial."),
        _required("cluster_id", pl.String, "Cluster."),
        _required("category", pl.String, "Category."),
        _required("observable", pl.Boolean, "Whether the trial's session could show it."),
        _required("count", pl.Int32, "Signals of that category."),
    ),
)

REGRESSIONS = Table(
    "regressions",
    "cluster",
    "Paired comparisons of two arms with their statistics.",
    ("cluster_id", "dataset", "baseline_arm", "candidate_arm", "endpoint"),
    (
        _required("cluster_id", pl.String, "Cluster."),
        _required("dataset", pl.String, "Dataset."),
        _required("baseline_arm", pl.String, "Before."),
        _required("candidate_arm", pl.String, "After."),
        _required("endpoint", pl.String, "reward, or the originating category's rate."),
        _required("verdict", pl.String, "regressed, improved, no_change_shown, not_enough_data."),
        _required("reason", pl.String, "Why, in words."),
        Column("difference", pl.Float64, "Mean paired difference, after minus before."),
        Column("interval_low", pl.Float64, "95 % interval."),
        Column("interval_high", pl.Float64, "95 % interval."),
        Column("p_value", pl.Float64, "Before correction."),
        Column("p_adjusted", pl.Float64, "After correction for many comparisons."),
        Column(
            "minimum_detectable_effect",
            pl.Float64,
            "Difference that this many tasks and repeats could have shown with power 0.8.",
        ),
        _required("tasks", pl.Int32, "Paired tasks."),
        _required("repeats", pl.Float64, "Mean repeats per task and arm."),
        _required("excluded_infrastructure", pl.Int32, "Trials left out as infrastructure failures."),
        _required("quarantined_flaky", pl.Int32, "Tasks left out as flaky."),
    ),
)

TICKETS = Table(
    "tickets",
    "cluster",
    "One row per ticket as of its newest life event (a fold over the append-only log).",
    ("ticket_id",),
    (
        _required("ticket_id", pl.String, "tkt_<hash of the fingerprint>."),
        _required("cluster_id", pl.String, "Cluster it is about now."),
        _required("fingerprint", pl.String, "Cluster lineage root: the same problem updates its ticket."),
        _required("title", pl.String, "Title."),
        _required(
            "status",
            pl.String,
            "new, escalating, fixing, verified, regressed, ignored, merged (into another ticket), not_opened.",
        ),
        _required("reason", pl.String, "Why it has that status."),
        _required("priority", pl.String, "P0 to P3."),
        _required("labels", STRINGS, "Labels."),
        _required("signal_count", pl.Int32, "Signals behind it."),
        _required("session_count", pl.Int32, "Sessions behind it."),
        Column("dataset_dir", pl.String, "Dataset, relative to the codex-loop home."),
        _required("validated_tasks", pl.Int32, "Tasks proven to run."),
        Column("path", pl.String, "Markdown file, relative to the codex-loop home."),
        _required("opened_on", pl.Date, "Day opened."),
        _required("updated_on", pl.Date, "Day of the newest life event."),
    ),
)

DAILY_REPORT = Table(
    "daily_report",
    "day",
    "The numbers of the day's report and where the page is.",
    ("dt",),
    (
        _required("dt", pl.Date, "Day."),
        _required("sessions", pl.Int32, "Sessions that started that day."),
        _required("human_sessions", pl.Int32, "Those in which a person typed."),
        _required("friction", pl.Int32, "Friction signals."),
        _required("delight", pl.Int32, "Delight signals."),
        _required("live_clusters", pl.Int32, "Live clusters."),
        _required("open_proposals", pl.Int32, "Open proposals."),
        _required("cost_usd", pl.Float64, "Spent on models for that day."),
        _required("path", pl.String, "HTML page, relative to the codex-loop home."),
    ),
)

CLUSTER_REGISTRY = Table(
    "cluster_registry",
    "none",
    "Every cluster ever seen in its newest state, with the fingerprint that decides what to refresh.",
    ("cluster_id",),
    (
        _required("cluster_id", pl.String, "Cluster."),
        _required("heir_id", pl.String, "Itself, or the live cluster that a merge led to."),
        _required(
            "lineage_root",
            pl.String,
            "Identity of the problem: itself, or the heir of its merges; a split child is a problem of its own.",
        ),
        _required("type", pl.String, "friction or delight."),
        _required("label", pl.String, "Label."),
        _required("status", pl.String, "live, merged, dissolved."),
        _required("size", pl.Int32, "Members."),
        _required("action", pl.String, "Recommended action."),
        _required(
            "fingerprint",
            pl.String,
            "Hash of members, status and action: a change means the per-cluster assets are stale.",
        ),
        _required("as_of", pl.Date, "Day of the newest state."),
    ),
)

SCORECARD = Table(
    "scorecard",
    "none",
    "Precision and recall of each detector per category on labelled data, with intervals and a baseline.",
    ("truth", "detector", "category", "language", "matching"),
    (
        _required("truth", pl.String, "planted_fixtures, gold_dev, gold_planted_even, gold_planted_odd, reviewed."),
        _required("detector", pl.String, "mechanical, local_judge, llm_judge, regex_baseline, all."),
        _required("category", pl.String, "Category, or any_friction, any_delight."),
        _required("language", pl.String, "all, or a language code."),
        _required("matching", pl.String, "exact (same message or record) or near (within one user message)."),
        _required("true_positives", pl.Int32, "Found and labelled."),
        _required("false_positives", pl.Int32, "Found, not labelled."),
        _required("false_negatives", pl.Int32, "Labelled, not found."),
        Column("precision", pl.Float64, "null when nothing was found, or when the labels do not know the category."),
        Column("precision_low", pl.Float64, "95 % interval, bootstrap by session."),
        Column("precision_high", pl.Float64, "95 % interval."),
        Column("recall", pl.Float64, "null when nothing is labelled."),
        Column("recall_low", pl.Float64, "95 % interval."),
        Column("recall_high", pl.Float64, "95 % interval."),
        Column("f1", pl.Float64, "Harmonic mean."),
        Column("f1_low", pl.Float64, "95 % interval, bootstrap by session."),
        Column("f1_high", pl.Float64, "95 % interval."),
        Column("bar", pl.Float64, "Precision this detector must reach to open tickets on its own."),
        Column("above_bar", pl.Boolean, "Whether it does."),
        _required("detector_version", pl.String, "Version."),
        Column("version_before", pl.String, "The detector's version before this one; null when there was none."),
        Column("precision_before", pl.Float64, "Precision of that version."),
        Column("precision_low_before", pl.Float64, "Lower end of its 95 % interval."),
        Column("recall_before", pl.Float64, "Recall of that version."),
        Column("recall_low_before", pl.Float64, "Lower end of its 95 % interval."),
        Column("f1_before", pl.Float64, "F1 of that version."),
        Column("worse", pl.Boolean, "Whether precision or recall fell below the interval of before."),
    ),
)

RELIABILITY = Table(
    "reliability",
    "none",
    "What detectors say of their findings, beside what readers say: severity and confidence, on labelled data.",
    ("truth", "detector", "measure", "predicted"),
    (
        _required("truth", pl.String, "As in scorecard."),
        _required("detector", pl.String, "mechanical, local_judge, llm_judge; all: the merged signals."),
        _required("measure", pl.String, "severity (of findings that are right) or confidence."),
        _required("predicted", pl.String, "Severity 1, 2 or 3; or a range of confidence."),
        _required("moments", pl.Int32, "Findings with that prediction."),
        _required("predicted_mean", pl.Float64, "Their mean prediction."),
        _required("observed_mean", pl.Float64, "Mean severity that readers gave; or the share that is right."),
        Column("observed_low", pl.Float64, "Wilson 95 % interval of that share."),
        Column("observed_high", pl.Float64, "Wilson 95 % interval."),
        Column("observed_1", pl.Float64, "Share that readers called mild; null for confidence."),
        Column("observed_2", pl.Float64, "Share that readers called clear."),
        Column("observed_3", pl.Float64, "Share that readers called strong."),
    ),
)


TRENDS = Table(
    "trends",
    "none",
    "Rates per day with intervals, over sessions in which the category could be seen.",
    ("dt", "kind", "name", "cli_version", "model"),
    (
        _required("dt", pl.Date, "Day the moment occurred on."),
        _required("kind", pl.String, "category, cluster or type."),
        _required("name", pl.String, "Category name, cluster id, or friction/delight."),
        _required("cli_version", pl.String, "all, or a Codex version."),
        _required("model", pl.String, "all, or a model."),
        _required("exposed_sessions", pl.Int32, "Sessions in which it could be seen."),
        _required("sessions_with", pl.Int32, "Of those, sessions that show it."),
        _required("signals", pl.Int32, "Signals."),
        Column("rate", pl.Float64, "sessions_with / exposed_sessions."),
        Column("rate_low", pl.Float64, "Wilson 95 % interval."),
        Column("rate_high", pl.Float64, "Wilson 95 % interval."),
        _required("settled", pl.Boolean, "No session of that day is still active or awaiting a judge."),
    ),
)

TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        SPINES,
        EVENTS,
        SESSIONS,
        TURNS,
        TOOL_CALLS,
        MECHANICAL_SIGNALS,
        SEMANTIC_SIGNALS,
        JUDGE_COVERAGE,
        DETECTIONS,
        SIGNALS,
        CLUSTERS,
        CLUSTER_MEMBERS,
        CLUSTER_EVENTS,
        SCHEMA_PROPOSALS,
        PROPOSALS_WAITING,
        CLUSTER_REGISTRY,
        HARBOR_DATASETS,
        TASK_VALIDATIONS,
        EVAL_RUNS,
        TRIAL_SIGNALS,
        REGRESSIONS,
        TICKETS,
        DAILY_REPORT,
        SCORECARD,
        RELIABILITY,
        TRENDS,
    )
}
