"""Codex sessions in, proven improvements out. What holds for every process, before anything else is imported."""

import os

# A day's frames are many and small: handing their parts to several threads cost a tenth of all CPU time and made no day
# faster. It counts only until Polars is imported; who wants threads sets the variable.
os.environ.setdefault("POLARS_MAX_THREADS", "1")
# Polars' allocator keeps what is freed for ten seconds, so that a large day had its tables in memory twice. Giving it back
# sooner costs no day any time; giving it back at once does.
os.environ.setdefault("_RJEM_MALLOC_CONF", "dirty_decay_ms:10,muzzy_decay_ms:0")
