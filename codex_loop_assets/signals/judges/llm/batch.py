"""Asking through the Batch API: half the price, answers within a day, nothing lost or bought twice by a crash.

Order of things: reserve the budget; write the input file; record the intent; upload; create the batch under the
intent's name; record its id. Whoever finds an intent without an id asks the provider's list whether it was created.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from codex_loop_assets.signals.judges.llm.accounting import Accounting
from codex_loop_assets.signals.judges.llm.cache import write_whole
from codex_loop_assets.signals.judges.llm.exchange import Answered, NotAnswered, Outcome, Request, content_hash
from codex_loop_assets.signals.judges.llm.journal import (
    Intent,
    Journal,
    Sent,
    append,
    read_journal,
    sent_fields,
)
from codex_loop_assets.signals.judges.llm.prices import UnknownPrice

if TYPE_CHECKING:
    from openai import OpenAI

INTENT = "codex_loop_intent"
_TERMINAL = ("completed", "failed", "expired", "cancelled")


class BatchClient:
    """Submits requests as batches and collects their results. `settings` is the section `llm_judge`."""

    def __init__(
        self,
        directory: Path,
        client: Callable[[], OpenAI],
        accounting: Accounting,
        settings: Mapping[str, Any],
        clock: Callable[[], datetime],
    ):
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._directory = directory
        self._journal_path = directory / "journal.jsonl"
        self._client = client
        self._accounting = accounting
        self._settings = settings
        self._clock = clock
        self._trouble: dict[str, str] = {}

    def in_flight(self) -> dict[str, str]:
        """Request key -> why it has no answer yet, for every request that may be under way."""
        return {key: self._waiting(intent) for key, intent in self._journal().in_flight().items()}

    def waiting(self) -> set[str]:
        """Threads with a question under way."""
        intents = self._journal().open()
        return {sent.thread_id for intent in intents for group in intent.requests.values() for sent in group}

    def collect(self) -> set[str]:
        """Take in the results of batches that have ended; the threads that got answers or failures by it.

        A provider that cannot be reached changes nothing: everything stays under way. Safe to call at any time, by any
        process: this is what a polling sensor calls.
        """
        import openai

        threads: set[str] = set()
        with self._locked():
            journal = self._journal()
            for intent in journal.open():
                try:
                    threads |= self._advance(intent, journal)
                    self._trouble.pop(intent.id, None)
                except openai.OpenAIError as error:
                    self._trouble[intent.id] = str(error)
        return threads

    def submit(self, requests: Sequence[Request]) -> dict[str, Outcome]:
        """Send what is not under way yet; outcomes by request key: pending_batch, deferred or failed."""
        outcomes: dict[str, Outcome] = {}
        with self._locked():
            journal = self._journal()
            under_way, submissions = journal.in_flight(), journal.submissions()
            ready: dict[str, list[Request]] = {}
            for request in requests:
                if request.key in under_way:
                    outcomes[request.key] = NotAnswered("pending_batch", self._waiting(under_way[request.key]))
                elif reason := self._given_up(request, submissions[request.key], journal):
                    outcomes[request.key] = NotAnswered("failed", reason)
                else:
                    ready.setdefault(request.key, []).append(request)
            for chunk in self._chunks(ready):
                outcomes |= self._open(chunk, number=len(journal.intents) + len(outcomes))
        return outcomes

    def forget(self, thread_id: str) -> None:
        """Keep no answer about this thread that is still under way, and send nothing of it that is not sent yet.

        Calls nobody: works without a key.
        """
        with self._locked():
            open_intents = self._journal().open()
            if open_intents:
                append(self._journal_path, "forget", self._clock(), thread_id=thread_id)
            for intent in open_intents:
                if self._input(intent).exists():
                    self._take_out(intent, thread_id)

    def _take_out(self, intent: Intent, thread_id: str) -> None:
        """Write the input file of an intent again without the questions that only this thread asked."""
        gone = {key for key, group in intent.requests.items() if {sent.thread_id for sent in group} == {thread_id}}
        lines = self._input(intent).read_text("utf-8").splitlines(keepends=True)
        kept = [line for line in lines if json.loads(line)["custom_id"] not in gone]
        if kept:
            write_whole(self._input(intent), "".join(kept))
        elif intent.batch_id is None:
            for key in intent.requests:
                self._accounting.governor.release(intent.reservation(key))
            append(self._journal_path, "closed", self._clock(), intent=intent.id, status="forgotten", unanswered={})
            self._input(intent).unlink()

    def _given_up(self, request: Request, submissions: int, journal: Journal) -> str | None:
        """Why a request is not sent once more; None when it is."""
        if submissions >= self._settings["batch"]["max_submissions"]:
            return f"{submissions} batches without an answer: {journal.last_reason(request.key)}"
        unusable = self._accounting.cache.unusable(request)
        if len(unusable) >= self._settings["max_unusable_answers"]:
            return f"{len(unusable)} unusable answers; last: {unusable[-1]}"
        return None

    def _locked(self) -> FileLock:
        return FileLock(self._directory / "batches.lock")

    def _journal(self) -> Journal:
        return read_journal(self._journal_path)

    def _chunks(self, ready: Mapping[str, list[Request]]) -> Iterable[dict[str, list[Request]]]:
        limits = self._settings["batch"]
        chunk: dict[str, list[Request]] = {}
        size = 0
        for key, group in ready.items():
            length = len(_input_line(group[0]))
            if chunk and (len(chunk) >= limits["max_requests"] or size + length > limits["max_bytes"]):
                yield chunk
                chunk, size = {}, 0
            chunk[key] = group
            size += length
        if chunk:
            yield chunk

    def _open(self, chunk: Mapping[str, list[Request]], number: int) -> dict[str, Outcome]:
        """Reserve, record and send one batch of what the budget allows."""
        intent_id = content_hash([sorted(chunk), number, self._clock().isoformat()])[:32]
        intent = Intent(intent_id, self._clock(), {})
        try:
            worst = {key: self._accounting.prices.worst(group[0], batch=True) for key, group in chunk.items()}
        except UnknownPrice as error:
            return dict.fromkeys(chunk, NotAnswered("deferred", str(error)))
        granted = self._accounting.governor.reserve((intent.reservation(key), worst[key]) for key in chunk)
        outcomes: dict[str, Outcome] = {}
        for (key, group), fits in zip(chunk.items(), granted, strict=True):
            if fits:
                intent.requests[key] = [
                    Sent(key, request.thread_id, request.window_key, request.asked, worst[key]) for request in group
                ]
            else:
                outcomes[key] = NotAnswered("deferred", f"today's budget cannot cover ${worst[key]:.4f} more")
        if intent.requests:
            write_whole(self._input(intent), "".join(_input_line(chunk[key][0]) for key in intent.requests))
            fields = sent_fields(intent.requests)
            append(self._journal_path, "intent", intent.at, intent=intent.id, requests=fields)
            outcomes |= dict.fromkeys(intent.requests, NotAnswered("pending_batch", self._send(intent)))
        return outcomes

    def _send(self, intent: Intent) -> str:
        """Upload and create. Returns what the requests wait for; whether an attempt that failed half-way arrived is
        found out by `collect`."""
        import openai

        try:
            client = self._client()
            content = self._input(intent).read_bytes()
            file = client.files.create(file=(f"{intent.id}.jsonl", content), purpose="batch")
            batch = client.batches.create(
                input_file_id=file.id,
                endpoint="/v1/responses",
                completion_window="24h",
                metadata={INTENT: intent.id},
            )
        except openai.OpenAIError as error:
            self._trouble[intent.id] = str(error)
            return self._waiting(intent)
        self._submitted(intent, batch.id)
        return self._waiting(intent)

    def _submitted(self, intent: Intent, batch_id: str) -> None:
        append(self._journal_path, "submitted", self._clock(), intent=intent.id, batch=batch_id)
        intent.batch_id = batch_id
        self._input(intent).unlink(missing_ok=True)

    def _advance(self, intent: Intent, journal: Journal) -> set[str]:
        if intent.batch_id is None:
            self._reconcile(intent)
        if intent.batch_id is None:
            return set()
        batch = self._client().batches.retrieve(intent.batch_id)
        if batch.status not in _TERMINAL:
            return set()
        return self._close(intent, batch, journal.forgotten.get(intent.id, set()))

    def _reconcile(self, intent: Intent) -> None:
        """Adopt the batch that was created under the intent's name; send again only what certainly never arrived."""
        since = (intent.at - timedelta(days=1)).timestamp()
        found = []
        for batch in self._client().batches.list(limit=100):
            if batch.created_at < since:
                break
            if (batch.metadata or {}).get(INTENT) == intent.id:
                found.append(batch)
        if found:
            self._submitted(intent, found[-1].id)
            for duplicate in found[:-1]:
                self._client().batches.cancel(duplicate.id)
        elif self._clock() - intent.at >= timedelta(seconds=self._settings["batch"]["grace_seconds"]):
            self._send(intent)

    def _close(self, intent: Intent, batch: Any, forgotten: set[str]) -> set[str]:
        """File every result, then close the intent. Interrupted in between, it is done again with the same effect."""
        unanswered = dict.fromkeys(intent.requests, _why(batch))
        for line in self._results(batch):
            group = intent.requests.get(line.get("custom_id"), [])
            response = line.get("response") or {}
            if not group or response.get("status_code") != 200:
                if group:
                    unanswered[group[0].key] = _line_error(line)
                continue
            self._file(intent, group, response["body"], forgotten)
            unanswered.pop(group[0].key, None)
        for key in unanswered:
            self._accounting.governor.release(intent.reservation(key))
        append(
            self._journal_path, "closed", self._clock(), intent=intent.id, status=batch.status, unanswered=unanswered
        )
        self._remove_remote(batch)
        return {sent.thread_id for group in intent.requests.values() for sent in group} - forgotten

    def _file(self, intent: Intent, group: Sequence[Sent], body: Mapping[str, Any], forgotten: set[str]) -> None:
        """Keep one response for the threads that asked; the first of them has paid for it."""
        reservation, worst = intent.reservation(group[0].key), group[0].worst_usd
        wanted = [sent.request() for sent in group if sent.thread_id not in forgotten]
        if not wanted:
            self._accounting.governor.settle(reservation, worst, body.get("model") or "unknown", None)
            return
        outcome = self._accounting.book(wanted[0], body, reservation, worst, batch=True)
        if isinstance(outcome, Answered):
            for request in wanted[1:]:
                self._accounting.share(request, outcome)

    def _results(self, batch: Any) -> Iterable[Mapping[str, Any]]:
        for file_id in (batch.output_file_id, batch.error_file_id):
            if file_id:
                for line in self._client().files.content(file_id).content.split(b"\n"):
                    try:
                        yield json.loads(line)
                    except ValueError:  # its request stays unanswered and is sent again
                        continue

    def _remove_remote(self, batch: Any) -> None:
        """Leave no transcripts behind at the provider; what cannot be removed expires there by itself."""
        import openai

        for file_id in (batch.input_file_id, batch.output_file_id, batch.error_file_id):
            try:
                if file_id:
                    self._client().files.delete(file_id)
            except openai.OpenAIError:
                continue

    def _waiting(self, intent: Intent) -> str:
        reason = f"waiting for batch {intent.batch_id}" if intent.batch_id else "submission not confirmed yet"
        trouble = self._trouble.get(intent.id)
        return f"{reason}: {trouble}" if trouble else reason

    def _input(self, intent: Intent) -> Path:
        return self._directory / f"{intent.id}.jsonl"


def _input_line(request: Request) -> str:
    line = {"custom_id": request.key, "method": "POST", "url": "/v1/responses", "body": request.body}
    return json.dumps(line, ensure_ascii=True) + "\n"


def _why(batch: Any) -> str:
    messages = [error.message for error in (batch.errors.data or [])] if batch.errors else []
    return f"batch {batch.status}" + (f": {messages[0]}" if messages else "")


def _line_error(line: Mapping[str, Any]) -> str:
    body = (line.get("response") or {}).get("body") or {}
    error = line.get("error") or body.get("error") or {}
    return f"{error.get('code') or 'error'}: {error.get('message') or 'no message'}"
