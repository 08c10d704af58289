"""The documentation of the signals, written from the categories and the rule files themselves.

What belongs here: Markdown made of what the code states. What does not: a fact that the code does not state.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from codex_loop_assets.settings import section
from codex_loop_assets.signals.judges.local.shipping import left_out
from codex_loop_assets.signals.observability import SOURCES, facts, observability
from codex_loop_assets.signals.rules.registry import rules
from codex_loop_assets.signals.rules.rule import Rule
from codex_loop_assets.signals.schema import Category, SignalSchema, load_schema

_MARKS = {"yes": "yes", "no": "no", "seen": "if seen"}
_LONG_VALUE = 80


def markdown() -> str:
    """The page `docs/signals.md`: every category, its rule, thresholds, near-misses, and where it can be seen."""
    schema = load_schema()
    by_category = {rule.category: rule for rule in rules()}
    parts = [_introduction()]
    for kind, title in (("friction", "Friction"), ("delight", "Delight")):
        parts.append(f"## {title}\n")
        for name, category in sorted(schema.categories.items()):
            if category.type == kind:
                parts.append(_category(category, by_category.get(name)))
    parts.append(_observability(schema))
    return "\n".join(parts).rstrip() + "\n"


def _introduction() -> str:
    return (
        "# Signals\n\n"
        "This page is generated from `config/categories.toml`, `config/rules.toml`, `config/observability.toml`, "
        "`config/local_categories.toml`, `config/held_out.toml` and the rule files in `signals/rules/`; a test keeps it current.\n\n"
        "To add a mechanical rule, add a file to `signals/rules/` with one function under `@rule(...)`. It states its "
        "category, what it looks for, its evidence, its near-misses, its version and the facts it needs. A "
        "category of its "
        "own goes into the same file as `introduces=Category(...)`. Thresholds go into the table of the category in "
        "`config/rules.toml`; a home's `config.toml` overrides them under `[rules.<category>]`, and `enabled = false` "
        "switches the rule off.\n\n"
        "Without a key a local judge looks for a category of people's words only where it beats a regex baseline beyond "
        "chance. " + _not_looked_for() + "\n"
    )


def _not_looked_for() -> str:
    names = left_out(section("local_categories"))
    if not names:
        return "That is so for all of them."
    return (
        "Not looked for then: "
        + ", ".join(f"`{name}`" for name in names)
        + ". `judge_coverage` says so for each session, and rates and pages count them as unknown there, not as absent; a "
        "model (with a key) looks for all. A home's `config.toml` can switch one on all the same: "
        '`[local_categories.categories.NAME]` with `by = "model"`.'
    )


def _category(category: Category, rule: Rule | None) -> str:
    lines = [f"### {category.name}", "", category.definition, ""]
    lines += [
        f"Default severity {category.severity}, found by "
        + (f"rule `{rule.detector_version}`." if rule else "a judge.")
    ]
    if category.aliases:
        lines += ["Also accepted as " + ", ".join(f"`{alias}`" for alias in category.aliases) + "."]
    lines += ["", "Counts:", *_bullets(category.inclusion_criteria), "", "Does not count:"]
    lines += [*_bullets(category.exclusion_criteria), ""]
    if rule is not None:
        lines += [f"Looks for: {rule.looks_for}", "", f"Evidence: {rule.evidence}", "", "Near-misses:"]
        lines += [*_bullets(rule.near_misses), ""]
        lines += _thresholds(rule.category)
    lines += ["Needs: " + ", ".join(f"`{need}`" for need in category.needs) + ".", ""]
    if category.name in section("local_categories")["categories"]:
        figures, clean = (section(name)["categories"] for name in ("local_categories", "held_out"))
        lines += [without_a_key(figures[category.name], clean.get(category.name)), ""]
    return "\n".join(lines)


def without_a_key(row: Mapping[str, Any], clean: Mapping[str, Any] | None) -> str:
    """Who looks for a category when there is no model to ask, in a sentence; `row` is its table in `local_categories`,
    `clean` the one in `held_out`."""
    if row["by"] == "none":
        return f"Without a key: **not looked for**: {row['why']}. Absence of this category then means nothing."
    low, high = row["gain"]
    of = "" if row["by"] == "model" else "baseline_"
    who = "found by the local judge" if row["by"] == "model" else "found by the baseline's expressions"
    return (
        f"Without a key: {who}, precision {row[of + 'precision']:.2f} and recall {row[of + 'recall']:.2f} on "
        f"{row['labelled']} labels for tuning; F1 of the judge minus the regex baseline's {low:+.2f} to {high:+.2f} (95 %)."
        + (f" {_on_held_out(clean)}" if clean else "")
    )


def _on_held_out(row: Mapping[str, Any]) -> str:
    low, high = row["gain"]
    return (
        f"On {row['labelled']} labels of conversations that had no part in making it: precision {row['precision']:.2f}, recall "
        f"{row['recall']:.2f}, gain {low:+.2f} to {high:+.2f}."
    )


def _thresholds(category: str) -> list[str]:
    values = section("rules").get(category, {})
    if not values:
        return []
    lines = ["Thresholds:"]
    for name, value in values.items():
        shown = f"`{value}`" if len(str(value)) <= _LONG_VALUE else "see `config/rules.toml`"
        lines.append(f"- `{name}`: {shown}")
    return [*lines, ""]


def _observability(schema: SignalSchema) -> str:
    table = observability(schema)
    lines = [
        "## What each record can show",
        "",
        "`if seen`: only in a session that holds such a record, because its absence proves nothing.",
        "",
    ]
    heads = [era if source == "spine" else f"rollout {era}" for source, era in SOURCES]
    lines += _row("category", heads), "|" + "---|" * (len(heads) + 1)
    for (name,), group in table.group_by("category", maintain_order=True):
        lines.append(_row(f"`{name}`", [_MARKS[mark] for mark in group["observable"]]))
    lines += [
        "",
        "The facts behind this table:",
        "",
        _row("fact", ["meaning", *heads]),
        "|" + "---|" * (len(heads) + 2),
    ]
    for name, fact in facts().items():
        lines.append(_row(f"`{name}`", [fact["doc"], *(_MARKS[fact[era]] for _, era in SOURCES)]))
    return "\n".join(lines) + "\n"


def _row(first: str, rest: Iterable[str]) -> str:
    return "| " + " | ".join((first, *rest)) + " |"


def _bullets(items: Iterable[str]) -> list[str]:
    return [f"- {item}" for item in items]
