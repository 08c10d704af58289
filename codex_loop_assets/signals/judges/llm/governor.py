"""The daily budget, kept by reservation in an append-only ledger that all processes of a home share.

A call reserves its worst case before it is made and settles its real cost afterwards; a reservation that was never
settled (the process was killed) counts in full for its day. So the sum of a day can never exceed the budget.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock

from codex_loop_assets.signals.judges.llm.exchange import Tokens

JUDGING = "judging"


@dataclass
class _Account:
    """State folded from the ledger: dollars per reservation, and the day and purpose each belongs to."""

    dollars: dict[str, float] = field(default_factory=dict)
    days: dict[str, str] = field(default_factory=dict)
    purposes: dict[str, str] = field(default_factory=dict)
    closed: set[str] = field(default_factory=set)
    offset: int = 0

    def apply(self, entry: dict) -> None:
        name = entry["reservation"]
        if entry["kind"] == "reserve" and name not in self.days:
            self.days[name] = entry["day"]
            self.dollars[name] = entry["usd"]
            self.purposes[name] = entry.get("purpose", JUDGING)
        elif entry["kind"] in ("settle", "release") and name in self.days and name not in self.closed:
            self.dollars[name] = entry.get("usd", 0.0)
            self.closed.add(name)

    def spent(self, day: str) -> float:
        return sum(dollars for name, dollars in self.dollars.items() if self.days[name] == day)


class Governor:
    """Grants reservations while the day's budget lasts. `clock` gives the time (UTC) that decides the day; `purpose` says in
    the ledger what the money is for."""

    def __init__(
        self,
        ledger: Path,
        daily_budget_usd: float,
        clock: Callable[[], datetime] | None = None,
        purpose: str = JUDGING,
    ):
        self._purpose = purpose
        self._ledger = ledger
        self._budget = daily_budget_usd
        self._clock = clock or (lambda: datetime.now(UTC))
        self._account = _Account()
        self._threads = threading.Lock()

    def reserve(self, reservations: Iterable[tuple[str, float]]) -> list[bool]:
        """Reserve dollars under names, in order; False for each that no longer fits. A name that is already reserved
        is granted again without being counted twice."""
        granted, entries = [], []
        with self._locked():
            day = self._clock().date().isoformat()
            left = self._budget - self._account.spent(day)
            for name, dollars in reservations:
                if name in self._account.days:
                    granted.append(True)
                    continue
                granted.append(dollars <= left)
                if granted[-1]:
                    left -= dollars
                    entries.append(self._entry("reserve", name, usd=dollars, day=day, purpose=self._purpose))
            self._append(entries)
        return granted

    def settle(self, name: str, dollars: float, model: str, tokens: Tokens | None) -> None:
        """Replace a reservation by what the call cost. Settling twice counts once."""
        used = (
            {"input_tokens": tokens.input, "cached_tokens": tokens.cached, "output_tokens": tokens.output}
            if tokens is not None
            else {}
        )
        with self._locked():
            if name not in self._account.closed:
                self._append([self._entry("settle", name, usd=dollars, model=model, **used)])

    def release(self, name: str) -> None:
        """Give a reservation back: the call was not made, or the provider does not charge for how it ended."""
        with self._locked():
            if name not in self._account.closed:
                self._append([self._entry("release", name)])

    def spent(self, day: str | None = None) -> float:
        """Dollars spent and reserved on one day (YYYY-MM-DD, UTC); today by default."""
        with self._locked():
            return self._account.spent(day or self._clock().date().isoformat())

    def by_purpose(self) -> dict[str, float]:
        """Dollars spent and reserved over all days, by what they were for. Only reads: without a ledger there is none."""
        if not self._ledger.exists():
            return {}
        with self._locked():
            sums: dict[str, float] = {}
            for name, dollars in self._account.dollars.items():
                purpose = self._account.purposes[name]
                sums[purpose] = sums.get(purpose, 0.0) + dollars
            return dict(sorted(sums.items()))

    def left(self) -> float:
        """Dollars that may still be reserved today."""
        return max(0.0, self._budget - self.spent())

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """The ledger locked against threads and processes, and read up to its end."""
        self._ledger.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._threads, FileLock(f"{self._ledger}.lock"):
            self._read_new()
            yield

    def _entry(self, kind: str, name: str, **fields: object) -> dict:
        return {"at": self._clock().isoformat(), "kind": kind, "reservation": name, **fields}

    def _read_new(self) -> None:
        if not self._ledger.exists():
            return
        with self._ledger.open("rb") as file:
            file.seek(self._account.offset)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._account.offset += len(whole)
        for line in whole.splitlines():
            entry = _decoded(line)
            if entry is not None:
                self._account.apply(entry)

    def _append(self, entries: list[dict]) -> None:
        if not entries:
            return
        lines = b"".join(json.dumps(entry).encode() + b"\n" for entry in entries)
        with self._ledger.open("ab+") as file:
            size = file.seek(0, os.SEEK_END)
            # The writer before may have been killed in the middle of a line: it ends here, and counts for nothing.
            torn = size > self._account.offset
            file.write((b"\n" if torn else b"") + lines)
            file.flush()
            os.fsync(file.fileno())
        self._read_new()


def _decoded(line: bytes) -> dict | None:
    try:
        return json.loads(line)
    except ValueError:
        return None
