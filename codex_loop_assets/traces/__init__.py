"""Codex's session files to two tables: `spines` (every source and line accounted for), `events` (the one normal form).

    discover -> (assign to days) -> day -> sources -> spine | rollout | document -> normalise -> batches -> events

What `events.detail` holds, as a JSON object with the fields that are there:

- every kind: `echo` on a record that repeats the words of the one before (its text is left out); `scaffold` on user
  text that nobody typed; `raw`, the cut JSON of a record without a reading of its own or too long for this column;
  `long_line`, the size of a line that was read by its head only
- session_meta: id, timestamp, originator, cli_version, source, model_provider, forked_from_id, parent_thread_id,
  thread_source, agent_role, history_mode, git {commit_hash, branch, repository_url}, reverted {run, from_seq}
- turn_context, user_turn, override_turn_context, session_configured: model, approval_policy, sandbox_policy,
  effort, mode; prompts also images, mentions
- function_call: justification, escalated; of write_stdin: session_id, chars. Its outputs: state (refused, policy,
  aborted, not_run, bad_patch, timed_out, failed_to_start, running), session_id
- exec_command_begin/_end: source (absent: the agent), process_id, parsed, status, interaction_input, stderr when it
  did not run
- patch_apply_begin/_end: auto_approved, status, changes (or changes_cut)
- approval requests: reason, approval_id; decisions: id (of a turn, an approval or a call)
- turn_aborted: reason; task_complete: error; thread_rolled_back, thread_rollback: num_turns; plan_update: plan
- token_count: context_tokens, context_window, of a fork also inherited or own; compaction_boundary: kind, pre_items, post_items
- error, stream_error, warning: error, http_status, additional_details; entered/exited_review_mode: target, findings
- artifact_ref: git, base_sha, artifact_path, sha256, shell, repo_root; bridge: all its ids; collab_*: all small
  fields
"""
