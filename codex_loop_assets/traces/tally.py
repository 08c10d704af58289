"""What became of every line of a source: the numbers behind a row of `spines`."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Tally:
    """lines = read + torn + sum(skipped). `unknown` counts kinds without a reading of their own (they are kept)."""

    read: int = 0
    torn: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)
    remarks: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)

    @property
    def lines(self) -> int:
        return self.read + self.torn + self.skipped.total()

    def all_notes(self) -> list[str]:
        """Notes in order, then counted remarks with their number."""
        return self.notes + [f"{remark}: {count}" for remark, count in sorted(self.remarks.items())]
