"""Codex sessions in, proven improvements out. What holds for every process, before anything else is imported."""

import os

# A day's frames are many and small: handing their parts to several threads cost a tenth of all CPU time and made no day
# faster. It counts only until Polars is imported; who wants threads sets the variable.
os.environ.setdefault("POLARS_MAX_THREADS", "1")
