"""What Dagster calls is guarded: it keeps its own copy of every exception, in its event log, in ticks and in logs, where
forgetting reaches late, so that no secret of a trace may be in one.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any

import dagster as dg

from codex_loop_assets.signals.redaction import redact, without_secrets


def guarded(body: Callable[..., Any]) -> Callable[..., Any]:
    """The function that Dagster calls, with secrets taken out of whatever it raises. Goes under Dagster's own decorator."""
    if inspect.isgeneratorfunction(body):

        @functools.wraps(body)
        def run_generator(*arguments: Any, **named: Any):
            try:
                yield from body(*arguments, **named)
                return
            except Exception as error:
                safe = _safe(error)
            # Outside the block, where the original would become the new one's context.
            raise safe

        return run_generator

    @functools.wraps(body)
    def run(*arguments: Any, **named: Any) -> Any:
        try:
            return body(*arguments, **named)
        except Exception as error:
            safe = _safe(error)
        raise safe

    return run


def _safe(error: Exception) -> Exception:
    """As `without_secrets`, but what Dagster reads a decision from stays what it is."""
    safe = without_secrets(error)
    if safe is not error and isinstance(error, dg.Failure):
        failure = dg.Failure(redact(error.description or ""), allow_retries=error.allow_retries)
        failure.__cause__ = safe.__cause__
        return failure
    return safe
