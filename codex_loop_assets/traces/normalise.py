"""One decoded record to event content, whatever its era: dispatch by tag, count what is noise or unknown, never raise.

Belongs here: finding the right reading. The readings are in response_items, event_messages, turn_items, submissions and
records. A returned string is the reason why a record is not stored.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from codex_loop_assets.traces import event_messages, records, response_items, submissions, turn_items
from codex_loop_assets.traces.row import DETAIL, KIND, Content, content
from codex_loop_assets.traces.settings import ReadSettings
from codex_loop_assets.traces.tally import Tally
from codex_loop_assets.traces.values import cut, string, to_json

SMALL_RECORDS = frozenset({
    "world_state", "inter_agent_communication", "inter_agent_communication_metadata", "security_risk_score",
    "token_usage_record", "realtime_item", "tool_search_call", "tool_search_output", "item_plan", "item_hook_prompt",
    "item_dynamic_tool_call",
    "item_collab_agent_tool_call", "item_extension",
})  # fmt: skip


class Normaliser:
    """Turns records into content with one source's settings and tally."""

    def __init__(self, settings: ReadSettings, tally: Tally):
        self._settings = settings
        self._tally = tally

    def event(self, msg: Any) -> Content | str:
        """An EventMsg, flat (as Codex writes it) or nested under `payload` (as some documents show it)."""
        if type(msg) is not dict:
            return self._unknown("event", msg)
        nested = msg.get("payload")
        if type(nested) is dict:
            msg = {**nested, "type": msg.get("type")}
        kind = msg.get("type")
        if type(kind) is not str:
            return self._unknown("event", msg)
        if (handler := event_messages.HANDLERS.get(kind)) is not None:
            return self._safely(handler, msg)
        if kind in event_messages.ALIASES:
            kind = event_messages.ALIASES[kind]
            msg = {**msg, "type": kind}
        if kind in event_messages.NOISE:
            return kind
        if kind.endswith("_delta") and kind != "plan_delta":
            return "delta"
        if kind == "raw_response_item":
            return self.response_item(msg.get("item"))
        if kind == "item_completed":
            return self._completed_item(msg)
        return self._by(event_messages.HANDLERS, kind, msg)

    def _completed_item(self, msg: dict) -> Content | str:
        item = msg.get("item")
        if type(item) is not dict:
            return self._unknown("item_completed", msg)
        if item.get("type") not in turn_items.KNOWN:
            self._tally.unknown[f"item {string(item.get('type'))}"[:100]] += 1
        return self._safely(_item_content, item)

    def response_item(self, item: Any) -> Content | str:
        """A ResponseItem; one without a tag but with a role is a message (some writers leave the tag out)."""
        if type(item) is not dict:
            return self._unknown("response_item", item)
        kind = item.get("type")
        if type(kind) is str and (handler := response_items.HANDLERS.get(kind)) is not None:
            return self._safely(handler, item)
        if kind is None and "role" in item:
            kind = "message"
        return self._by(response_items.HANDLERS, kind, item)

    def submission(self, op: Any) -> Content | str:
        if type(op) is not dict or type(op.get("type")) is not str:
            return self._unknown("submission", op)
        kind = submissions.ALIASES.get(op["type"], op["type"])
        if kind in submissions.NOISE:
            return "add_to_history" if kind == "add_to_history" else "interface_request"
        return self._by(submissions.HANDLERS, kind, op)

    def record(self, kind: str, body: Any) -> Content | str:
        """The record types that are neither events, items nor submissions."""
        return self._by(_RECORDS, kind, body if type(body) is dict else {})

    def other(self, kind: Any, body: Any) -> Content | str:
        return self._unknown(kind, body)

    def _by(self, handlers: dict[str, Callable], kind: Any, body: dict) -> Content:
        handler = handlers.get(kind) if type(kind) is str else None
        return self._unknown(kind, body) if handler is None else self._safely(handler, body)

    def _safely(self, handler: Callable, body: dict) -> Content:
        """What the handler makes of the record, its detail written as JSON text."""
        # A field of an unexpected type must cost its own record's reading, never the session.
        try:
            found = handler(body, self._settings)
            detail = found[DETAIL]
            if detail is None:
                return found
            text = to_json(detail)
        except (TypeError, ValueError, AttributeError, KeyError, IndexError, RecursionError) as error:
            self._tally.remarks[f"malformed {string(body.get('type'))} ({type(error).__name__})"[:120]] += 1
            return self._kept(string(body.get("type")) or "unknown", body)
        if len(text) > self._settings.detail_limit and found[KIND] not in _LARGE_DETAIL:
            text = to_json({"raw": cut(text, self._settings.detail_limit)})
        return (*found[:DETAIL], text)

    def _unknown(self, kind: Any, body: Any) -> Content:
        name = kind if type(kind) is str and kind else "unknown"
        if name not in SMALL_RECORDS:
            self._tally.unknown[name[:100]] += 1
        return self._kept(name, body)

    def _kept(self, kind: str, body: Any) -> Content:
        """The record as text in `detail.raw`, cut: kept reachable without a reading of its own."""
        try:
            raw = to_json(body)
        except (TypeError, ValueError, RecursionError):
            raw = "(not writable as JSON)"
        return content(kind[:100], detail=to_json({"raw": cut(raw, self._settings.detail_limit)}))


def _item_content(item: dict, settings: ReadSettings) -> Content:
    event = turn_items.as_event(item)
    return event_messages.HANDLERS.get(event["type"], event_messages.other)(event, settings)


_LARGE_DETAIL = frozenset({"patch_apply_end", "plan_update"})
_RECORDS = {
    "session_meta": records.session_meta,
    "turn_context": records.turn_context,
    "compaction_boundary": records.compaction_boundary,
    "compacted": records.compacted,
    "artifact_ref": records.artifact_ref,
    "bridge": records.bridge,
}
