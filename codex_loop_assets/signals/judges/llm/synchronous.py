"""Asking at once: a few calls at a time, waiting as the server says, each call within the budget.

A failure stays with its own request, except those that would meet every other request too (a bad key, no quota).
"""

from __future__ import annotations

import json
import random
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from codex_loop_assets.signals.judges.llm.accounting import Accounting
from codex_loop_assets.signals.judges.llm.exchange import NotAnswered, Outcome, Request
from codex_loop_assets.signals.judges.llm.prices import UnknownPrice

if TYPE_CHECKING:
    from openai import APIError, APIStatusError, OpenAI

_RETRIED_STATUS = (408, 409, 429)
_FATAL_STATUS = (401, 403, 404)


class Synchronous:
    """Sends requests to POST /v1/responses with bounded concurrency. `settings` is the section `llm_judge`."""

    def __init__(
        self,
        client: Callable[[], OpenAI],
        accounting: Accounting,
        settings: Mapping[str, Any],
        sleep: Callable[[float], None] = time.sleep,
    ):
        self._client = client
        self._accounting = accounting
        self._settings = settings
        self._sleep = sleep

    def ask(self, requests: Sequence[Request]) -> dict[str, Outcome]:
        """Outcomes by request key. Requests are taken in order, so that a budget that runs out serves the first."""
        if not requests:
            return {}
        run = _Run(self._client(), self._accounting, self._settings, self._sleep)
        with ThreadPoolExecutor(max_workers=max(1, self._settings["concurrency"])) as pool:
            outcomes = pool.map(run.ask, requests)
            return {request.key: outcome for request, outcome in zip(requests, outcomes, strict=True)}


class _Run:
    """State that the calls of one round share: a pause that a rate limit imposes on all, and a reason to stop."""

    def __init__(
        self, client: OpenAI, accounting: Accounting, settings: Mapping[str, Any], sleep: Callable[[float], None]
    ):
        self._client = client.with_options(max_retries=0, timeout=settings["timeout_seconds"])
        self._accounting = accounting
        self._settings = settings
        self._sleep = sleep
        self._lock = threading.Lock()
        self._resume_at = 0.0
        self._halt: str | None = None
        self._money = threading.Condition()
        self._under_way = 0

    def ask(self, request: Request) -> Outcome:
        """One request to its end: an answer, or why there is none."""
        try:
            return self._attempts(request)
        except Exception as error:  # a defect met by one request must not take the others' answers along
            return NotAnswered("failed", f"{type(error).__name__}: {error}")

    def _attempts(self, request: Request) -> Outcome:
        try:
            worst = self._accounting.prices.worst(request, batch=False)
        except UnknownPrice as error:
            return NotAnswered("deferred", str(error))
        calls, paid, last = 0, 0.0, "not asked"
        for attempt in range(self._settings["max_attempts"]):
            unusable = self._accounting.cache.unusable(request)
            if len(unusable) >= self._settings["max_unusable_answers"]:
                return NotAnswered("failed", f"{len(unusable)} unusable answers; last: {unusable[-1]}", calls, paid)
            self._wait()
            if self._halt:
                return NotAnswered("failed", self._halt, calls, paid)
            reservation = f"{request.key}:{uuid.uuid4().hex}"
            if not self._reserve(reservation, worst):
                return NotAnswered("deferred", _no_budget(worst, self._accounting.governor.left()), calls, paid)
            try:
                outcome = self._call(request, reservation, worst, attempt)
            finally:
                self._settled()
            if not isinstance(outcome, NotAnswered):
                return outcome
            calls, paid, last = calls + outcome.calls, paid + outcome.cost_usd, outcome.reason
            if outcome.final:
                return NotAnswered("failed", last, calls, paid)
        return NotAnswered("failed", f"gave up after {self._settings['max_attempts']} attempts: {last}", calls, paid)

    def _reserve(self, reservation: str, worst: float) -> bool:
        """Reserve, waiting for calls under way while they hold what is missing: most of it comes back."""
        with self._money:
            while not self._accounting.governor.reserve([(reservation, worst)])[0]:
                if not self._under_way:
                    return False
                self._money.wait()
            self._under_way += 1
            return True

    def _settled(self) -> None:
        with self._money:
            self._under_way -= 1
            self._money.notify_all()

    def _call(self, request: Request, reservation: str, worst: float, attempt: int) -> Outcome:
        """One HTTP call, its reservation settled or released whatever comes of it."""
        import openai

        governor = self._accounting.governor
        try:
            response = self._client.responses.with_raw_response.create(**request.body)
            return self._accounting.book(request, _object(response.http_response.text), reservation, worst)
        except openai.APITimeoutError as error:
            # The provider may have finished and charged an answer that nobody waited for.
            governor.settle(reservation, worst, request.body["model"], None)
            self._pause(error, attempt)
            return NotAnswered("failed", "timed out", calls=1, cost_usd=worst)
        except openai.APIStatusError as error:
            governor.release(reservation)
            return self._refused(error, attempt)
        except openai.APIConnectionError as error:
            if type(error.__cause__).__name__ in ("ConnectError", "ConnectTimeout"):
                governor.release(reservation)
                charged = 0.0
            else:
                governor.settle(reservation, worst, request.body["model"], None)
                charged = worst
            self._pause(error, attempt)
            return NotAnswered("failed", f"no connection: {error.__cause__ or error}", calls=1, cost_usd=charged)

    def _refused(self, error: APIStatusError, attempt: int) -> NotAnswered:
        reason = f"HTTP {error.status_code}: {error.message}"
        if error.status_code in _FATAL_STATUS or error.code == "insufficient_quota":
            self._halt = reason
            return NotAnswered("failed", reason, calls=1, final=True)
        if error.status_code not in _RETRIED_STATUS and error.status_code < 500:
            return NotAnswered("failed", reason, calls=1, final=True)
        wait = retry_after(error)
        if wait is not None and wait > self._settings["max_retry_after_seconds"]:
            return NotAnswered("failed", f"{reason} (told to wait {wait:.0f} s)", calls=1, final=True)
        self._pause(error, attempt)
        return NotAnswered("failed", reason, calls=1)

    def _pause(self, error: APIError, attempt: int) -> None:
        """Wait before the next attempt; after a rate limit everybody waits, else the storm goes on."""
        wait = retry_after(error)
        if wait is None:
            ceiling = self._settings["backoff_first_seconds"] * 2**attempt
            wait = random.uniform(0.5, 1.0) * min(ceiling, self._settings["backoff_max_seconds"])
        if getattr(error, "status_code", None) == 429:
            with self._lock:
                self._resume_at = max(self._resume_at, time.monotonic() + wait)
        else:
            self._sleep(wait)

    def _wait(self) -> None:
        with self._lock:
            wait = self._resume_at - time.monotonic()
        if wait > 0:
            self._sleep(wait)


def retry_after(error: APIError) -> float | None:
    """Seconds the server asks to wait (Retry-After: seconds or a date, or retry-after-ms); None if it asks nothing."""
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    try:
        if "retry-after-ms" in headers:
            return max(0.0, float(headers["retry-after-ms"]) / 1000)
        return max(0.0, float(headers["retry-after"]))
    except KeyError:
        return None
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(headers["retry-after"]).timestamp() - time.time())
    except ValueError:
        return None


def _object(text: str) -> Mapping[str, Any]:
    """A response body as an object; what is none becomes an object without output, which no answer can be read from."""
    try:
        body = json.loads(text)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _no_budget(worst: float, left: float) -> str:
    return f"today's budget has ${left:.4f} left; this call may cost ${worst:.4f}"
