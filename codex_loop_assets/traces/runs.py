"""Run numbers and sequence numbers of a spine.

A segment that holds `session_configured` starts a new process run; submission and turn ids start again with it.
Sequence numbers may swap locally (they are taken before the writer's queue), may start again at 1 (resume after an
empty segment), and may repeat when two processes resume one thread at the same time. (run, seq) stays unique: a
repeated number opens a run of its own for the second writer.
"""

from __future__ import annotations


class RunNumbers:
    """Gives each record its run and its seq, in the order of reading."""

    def __init__(self, gap_memory: int):
        self._gap_memory = gap_memory
        self._run = 0
        self._last_run = 0
        self._highest = 0
        self._gaps: set[int] = set()
        self._started = False
        self._shadows: list[RunNumbers] = []
        self._swapped = self._restarted = self._missing = self._repeated = 0

    def open_segment(self, starts_run: bool) -> None:
        """Before the records of each segment, in order."""
        if starts_run and self._started:
            self._new_run()
        self._segment_fresh = True

    def number(self, seq: int | None) -> tuple[int, int]:
        """(run, seq) of the next record. A record without a number gets the next free one."""
        self._started = True
        fresh, self._segment_fresh = self._segment_fresh, False
        if seq is None:
            self._missing += 1
            seq = self._highest + 1
        if seq > self._highest:
            if self._highest and seq - self._highest <= self._gap_memory:
                self._gaps.update(range(self._highest + 1, seq))
            self._highest = seq
            return self._run, seq
        if seq in self._gaps:
            self._gaps.discard(seq)
            self._swapped += 1
            return self._run, seq
        if fresh:
            self._restarted += 1
            self._new_run()
            self._highest = seq
            return self._run, seq
        return self._shadow(seq)

    def _shadow(self, seq: int) -> tuple[int, int]:
        self._repeated += 1
        for shadow in self._shadows:
            if seq > shadow._highest:
                shadow._highest = seq
                return shadow._run, seq
        shadow = RunNumbers(0)
        self._last_run += 1
        shadow._run, shadow._highest = self._last_run, seq
        self._shadows.append(shadow)
        return shadow._run, seq

    def _new_run(self) -> None:
        self._last_run += 1
        self._run = self._last_run
        self._shadows = []
        self._gaps = set()
        # Numbers go on over a clean resume, so a swap across the border is none of this run's.
        self._highest = 0

    _segment_fresh = True

    def notes(self) -> list[str]:
        """What was odd about the numbers, for the coverage ledger."""
        found = (
            (self._swapped, "records slightly out of seq order"),
            (self._restarted, "times seq started again in a new segment"),
            (
                self._repeated,
                "repeated seq numbers (two processes wrote the thread at once); counted as a run of their own",
            ),
            (self._missing, "records without a seq"),
        )
        return [f"{count} {what}" for count, what in found if count]
