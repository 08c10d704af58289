"""The signal schema: which categories exist, what each means, and which of them are looked for now.

Built-in categories are data (config/categories.toml); a rule file may introduce one of its own; people and the
promotion
rule change the set by decisions, which are folded here. What does not belong here: how a category is detected.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from codex_loop_assets.settings import section
from codex_loop_assets.signals.model import SignalType

Status = Literal["built_in", "promoted", "retired"]


class Category(BaseModel):
    """One kind of moment. `needs` names the facts that a record must hold for it to be observable at all."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{1,63}$")
    type: SignalType
    definition: str = Field(min_length=1)
    inclusion_criteria: tuple[str, ...] = ()
    exclusion_criteria: tuple[str, ...] = ()
    severity: int = Field(default=2, ge=1, le=3)
    severity_rule: str = ""
    detector: Literal["mechanical", "semantic"] = "semantic"
    needs: tuple[str, ...] = ("user_messages",)
    status: Status = "built_in"
    aliases: tuple[str, ...] = ()
    recommended_action: str = ""
    cluster_id: str | None = None
    proposal_id: str | None = None
    positives: tuple[str, ...] = ()
    hard_negatives: tuple[str, ...] = ()

    @property
    def version(self) -> str:
        """Hash of the category's content: any change of wording or status is a new version."""
        content = json.dumps(self.model_dump(mode="json"), sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(content.encode()).hexdigest()[:12]


class SignalSchema(BaseModel):
    """All categories by name, retired ones included. `version` is the hash of what is looked for."""

    model_config = ConfigDict(frozen=True)

    categories: dict[str, Category]

    @property
    def version(self) -> str:
        active = {name: category.version for name, category in self.active().items()}
        return hashlib.sha256(json.dumps(active, sort_keys=True).encode()).hexdigest()[:16]

    def active(self) -> dict[str, Category]:
        """Categories that are looked for: all but the retired ones."""
        return {name: category for name, category in self.categories.items() if category.status != "retired"}

    def mechanical(self) -> dict[str, Category]:
        """Active categories found by rule files."""
        return {name: category for name, category in self.active().items() if category.detector == "mechanical"}

    def semantic(self) -> dict[str, Category]:
        """Active categories found by judges, promoted ones included."""
        return {name: category for name, category in self.active().items() if category.detector == "semantic"}

    def resolve(self, name: str) -> Category | None:
        """The category of that name or alias; None when there is none."""
        if name in self.categories:
            return self.categories[name]
        return next((category for category in self.categories.values() if name in category.aliases), None)


def built_in_categories() -> dict[str, Category]:
    """The packaged categories, with those that rule files introduce; a mechanical one takes its `needs` from its rule.

    Raises ValueError when a rule finds a category that nobody defines.
    """
    # Imported here because rule files import this module for `Category`.
    from codex_loop_assets.signals.rules.registry import rules

    found = {name: Category(name=name, **fields) for name, fields in section("categories").items()}
    for rule in rules():
        category = rule.introduces or found.get(rule.category)
        if category is None:
            raise ValueError(f"rule for {rule.category!r}: no such category, and the rule introduces none")
        found[rule.category] = category.model_copy(update={"detector": "mechanical", "needs": rule.needs})
    return found


def load_schema(decisions: Iterable[Mapping[str, Any]] = ()) -> SignalSchema:
    """The schema after these decisions, oldest first.

    `approve` and `auto_promote` add the category of the line, or bring back the retired category of that name or alias;
    `retire` takes `category_name` out of use but keeps its definition, because older signals refer to it; `reject`
    changes
    nothing. A promotion never changes what a built-in category means, and a decision about an unknown name is ignored.
    """
    built_in = built_in_categories()
    schema = SignalSchema(categories=built_in)
    for decision in decisions:
        category = _decided(decision, schema, built_in)
        if category is not None:
            schema = SignalSchema(categories={**schema.categories, category.name: category})
    return schema


def _decided(decision: Mapping[str, Any], schema: SignalSchema, built_in: Mapping[str, Category]) -> Category | None:
    """The category as this decision leaves it; None when the decision changes none."""
    if decision["kind"] in ("approve", "auto_promote") and decision.get("category"):
        promoted = Category(**{**decision["category"], "status": "promoted"})
        known = schema.resolve(promoted.name)
        return built_in[known.name] if known is not None and known.name in built_in else promoted
    if decision["kind"] == "retire":
        known = schema.resolve(decision["category_name"])
        return known.model_copy(update={"status": "retired"}) if known is not None else None
    return None
