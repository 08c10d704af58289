"""The two partitionings, and why these two.

Days: a session belongs to the UTC day on which it started, so a day can be rebuilt whole whenever one of its sessions
grows. `end_offset=1` makes today exist, because the sensor asks for it; the schedule asks for yesterday and for every
day whose sources changed.

Clusters: a task, an evaluation or a ticket is about a pattern, not about a day. The keys are cluster ids, added by
`cluster_registry` as patterns are born, and `adhoc-<hash>` for a task made from one signal. They are never deleted: a
run in flight for a deleted key dies while it stores its result. Merged clusters are retired in the data.
"""

import os

import dagster as dg

FIRST_DAY = os.environ.get("CODEX_LOOP_FIRST_DAY", "2025-04-01")

days = dg.DailyPartitionsDefinition(start_date=FIRST_DAY, timezone="UTC", end_offset=1)
clusters = dg.DynamicPartitionsDefinition(name="clusters")
