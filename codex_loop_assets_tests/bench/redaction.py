"""The redaction outlet: megabytes per second of one core, beside hashing the same text, on the fixtures' session
lines."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

FIXTURES = Path(__file__).parents[2] / "fixtures" / "codex_home"
MEGABYTES = 40


def main() -> None:
    """Redact about 40 MB of session text in pieces of about 4 kB and print the rate."""
    from codex_loop_assets.signals.redaction import redact

    text = "\n".join(path.read_text("utf-8", "replace") for path in sorted(FIXTURES.rglob("*.jsonl")))
    text *= 1 + MEGABYTES * 1_000_000 // len(text)
    pieces = [text[start : start + 4000] for start in range(0, MEGABYTES * 1_000_000, 4000)]
    started = time.process_time()
    for piece in pieces:
        hashlib.sha256(piece.encode()).digest()
    baseline = time.process_time() - started
    started = time.process_time()
    for piece in pieces:
        redact(piece, "bench")
    seconds = time.process_time() - started
    print(
        f"redaction: {MEGABYTES / seconds:.0f} MB/s of one core, {seconds / baseline:.1f}x the time of SHA-256 on the same text"
    )
