"""Claims of a ticket and the checker that runs them: every number a ticket states comes with the query that gives it.

What belongs here: what a claim is, running it, and the verdict on a ticket. What does not: wording (`tickets`,
`advice`).

The ticket is computed with Polars; a claim's SQL is a second, independent route to the same number over the catalogue's
views. A query that does not run, returns nothing, or another number rejects the ticket.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from codex_loop_assets.loop.advice import Advice, objections
from codex_loop_assets.loop.evidence import Fact

if TYPE_CHECKING:
    import polars as pl

Scalar = int | float | str


@dataclass(frozen=True)
class Claim:
    """One checkable statement: `text` for people, `sql` that returns one value, and the `value` the ticket states."""

    claim_id: str
    text: str
    sql: str
    value: Scalar


class ClaimBook:
    """Claims in the order in which a ticket first states them, numbered C1, C2, …; a statement made twice is one
    claim."""

    def __init__(self):
        self._claims: dict[tuple[str, Scalar], Claim] = {}

    @property
    def claims(self) -> list[Claim]:
        return list(self._claims.values())

    def add(self, text: str, sql: str, value: Scalar) -> Claim:
        """The claim that `sql` gives `value`, new or stated before."""
        return self._claims.setdefault((sql, value), Claim(f"C{len(self._claims) + 1}", text, sql, value))

    def of_fact(self, fact: Fact) -> str:
        """Id of the claim for a fact's numbers."""
        return self.add(f"records that share this {fact.name.replace('_', ' ')}", fact.sql, fact.statement).claim_id


@dataclass(frozen=True)
class Finding:
    """Why a ticket does not stand: the claim (or `advice`) it is about, and what is wrong in words."""

    claim_id: str
    message: str


def run(claims: Iterable[Claim], frames: Mapping[str, pl.DataFrame]) -> list[Finding]:
    """Run every claim over the frames (names are the catalogue's view names). An empty list means that all resolve."""
    import duckdb

    findings = []
    with duckdb.connect(":memory:") as connection:
        # A claim is a query over the given frames; it may reach neither files nor the network.
        connection.execute("SET enable_external_access = false")
        for name, frame in frames.items():
            connection.register(name, frame)
        for claim in claims:
            problem = _problem(connection, claim)
            if problem:
                findings.append(Finding(claim.claim_id, problem))
    return findings


def check(
    claims: Iterable[Claim], advice: Advice, frames: Mapping[str, pl.DataFrame], settings: Mapping
) -> list[Finding]:
    """All findings against a ticket: claims that do not resolve, statements without a claim, and generic advice."""
    claims = list(claims)
    known = {claim.claim_id for claim in claims}
    dangling = [
        Finding(ref, "the text refers to a claim that does not exist") for ref in advice.claim_ids if ref not in known
    ]
    generic = [Finding("advice", objection) for objection in objections(advice, settings)]
    return [*run(claims, frames), *dangling, *generic]


def _problem(connection, claim: Claim) -> str | None:
    import duckdb

    try:
        row = connection.execute(claim.sql).fetchone()
    except duckdb.Error as error:
        return f"the query fails: {str(error).splitlines()[0]}"
    if row is None or row[0] is None:
        return "the query returns nothing"
    return None if _same(row[0], claim.value) else f"the ticket says {claim.value}, the query gives {row[0]}"


def _same(found: object, stated: Scalar) -> bool:
    if isinstance(stated, int | float) and isinstance(found, int | float):
        return math.isclose(float(found), float(stated), rel_tol=1e-6, abs_tol=1e-9)
    return str(found) == str(stated)
