"""The stages by name: which assets each holds. Jobs, the sensor and the command line select by these and by nothing else."""

INGEST = ("spines", "events")
CANON = ("turns", "tool_calls", "sessions")
SIGNALS = ("mechanical_signals", "semantic_signals", "judge_coverage", "signals", "detections")
EMBEDDINGS = ("signal_embeddings", "session_embeddings")
CLUSTERS = ("clusters", "cluster_members", "cluster_events")
PROPOSALS = ("schema_proposals", "proposals_waiting")
DISCOVERY = (*EMBEDDINGS, *CLUSTERS, *PROPOSALS)
REPORT = ("daily_report",)
RETENTION = ("retention",)
REGISTRY = ("cluster_registry",)
TASKS = ("harbor_datasets", "task_validations", "tickets")
MEASURE = ("eval_runs", "trial_signals", "regressions")
SUMMARIES = ("scorecard", "reliability", "trends")
SITE = ("site",)

DAILY = (*INGEST, *CANON, *SIGNALS, *DISCOVERY, *REPORT)
