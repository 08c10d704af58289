"""What became of every line of a source: the numbers behind a row of `spines`."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

_TORN_NAMED = 5


@dataclass
class Tally:
    """lines = read + torn + sum(skipped). `unknown` counts kinds without a reading of their own (they are kept)."""

    read: int = 0
    torn: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)
    remarks: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    _torn_noted: int = 0

    @property
    def lines(self) -> int:
        return self.read + self.torn + self.skipped.total()

    def note_torn(self, place: str, offset: int) -> None:
        """Count a line that is no record, and say where; of many in one source only the first few are named."""
        self.torn += 1
        self._torn_noted += 1
        if self._torn_noted <= _TORN_NAMED:
            self.notes.append(f"{place}: not a JSON record (byte {offset})")

    def all_notes(self) -> list[str]:
        """Notes in order, then counted remarks with their number."""
        return self.notes + [f"{remark}: {count}" for remark, count in sorted(self.remarks.items())]
