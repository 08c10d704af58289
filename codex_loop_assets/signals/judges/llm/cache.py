"""Answers that were bought, kept by content: equal questions are never paid for twice.

    <directory>/<thread>/<window key>/<request key>.json          an answer, with what it was asked and what it cost
    <directory>/<thread>/<window key>/<request key>.unusable.json answers that were paid for and could not be used

Files are written whole (temporary name, flush, rename), so that a killed process leaves a file or none.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from codex_loop_assets.signals.judges.llm.exchange import Answer, Answered, Request, Tokens


class AnswerCache:
    """A content-addressed store of answers under one directory, safe for several processes."""

    def __init__(self, directory: Path):
        self._directory = directory

    def answers(self, thread_id: str, window_key: str) -> list[Answered]:
        """Everything ever answered about one window, oldest first."""
        found = [
            json.loads(path.read_text("utf-8"))
            for path in self._window(thread_id, window_key).glob("*.json")
            if not path.name.endswith(".unusable.json")
        ]
        return [_answered(entry) for entry in sorted(found, key=lambda entry: (entry["at"], entry["request"]))]

    def put(self, request: Request, answered: Answered, at: str) -> None:
        """Keep an answer; `at` is the ISO time it was bought. A second one to the same request changes nothing."""
        path = self._path(request, ".json")
        if not path.exists():
            write_whole(path, json.dumps(_entry(request, answered, at), ensure_ascii=False))

    def text(self, request: Request) -> str | None:
        """The answer that was kept as it came, for questions with a form of their own; None where there is none."""
        path = self._path(request, ".text.json")
        return json.loads(path.read_text("utf-8")) if path.exists() else None

    def put_text(self, request: Request, text: str) -> None:
        """Keep an answer as it came."""
        write_whole(self._path(request, ".text.json"), json.dumps(text, ensure_ascii=False))

    def unusable(self, request: Request) -> list[str]:
        """Why earlier answers to this request could not be used; empty when there were none."""
        path = self._path(request, ".unusable.json")
        return json.loads(path.read_text("utf-8")) if path.exists() else []

    def put_unusable(self, request: Request, reason: str) -> None:
        """Keep that an answer was paid for in vain, so that it is not bought again without end."""
        write_whole(
            self._path(request, ".unusable.json"), json.dumps([*self.unusable(request), reason], ensure_ascii=False)
        )

    def forget(self, thread_id: str) -> bool:
        """Remove everything about one thread. True when there was anything."""
        directory = self._thread(thread_id)
        if not directory.exists():
            return False
        shutil.rmtree(directory)
        return True

    def _thread(self, thread_id: str) -> Path:
        return self._directory / hashlib.sha256(thread_id.encode("utf-8", "surrogatepass")).hexdigest()[:32]

    def _window(self, thread_id: str, window_key: str) -> Path:
        return self._thread(thread_id) / window_key[:40]

    def _path(self, request: Request, ending: str) -> Path:
        return self._window(request.thread_id, request.window_key) / f"{request.key}{ending}"


def write_whole(path: Path, text: str) -> None:
    """Write a file so that every reader, at any instant and after any crash, sees all of it or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _entry(request: Request, answered: Answered, at: str) -> dict[str, Any]:
    return {
        "request": request.key,
        "at": at,
        "asked": dict(answered.asked),
        "model": answered.model,
        "tokens": {
            "input": answered.tokens.input,
            "cached": answered.tokens.cached,
            "output": answered.tokens.output,
        },
        "cost_usd": answered.cost_usd,
        "answer": answered.answer.model_dump(mode="json"),
    }


def _answered(entry: Mapping[str, Any]) -> Answered:
    return Answered(
        answer=Answer.model_validate(entry["answer"]),
        asked=entry["asked"],
        model=entry["model"],
        tokens=Tokens(**entry["tokens"]),
        cost_usd=entry["cost_usd"],
    )
