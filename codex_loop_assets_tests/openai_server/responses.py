"""POST /v1/responses and /v1/embeddings: what the real endpoints check, and the shape of what they return."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import struct
import time
from collections.abc import Mapping

from codex_loop_assets_tests.openai_server.faults import Fault
from codex_loop_assets_tests.openai_server.model import Model

_numbers = itertools.count(1)


class BadRequest(Exception):
    """The request is wrong; becomes an HTTP 400 in OpenAI's form."""


def respond(body: Mapping, model: Model, fault: Fault | None) -> dict:
    """A Response object for this request body. Raises BadRequest."""
    check_response_request(body)
    text = json.dumps(model(body), ensure_ascii=False)
    content = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    status, incomplete = "completed", None
    if fault is not None and fault.kind == "refusal":
        content = {"type": "refusal", "refusal": "I cannot help with that."}
    elif fault is not None and fault.kind == "malformed":
        content["text"] = '{"findings": [{"turn": "T1"}], "facets": null'
    elif fault is not None and fault.kind == "incomplete":
        content["text"], status, incomplete = text[: len(text) // 2], "incomplete", {"reason": "max_output_tokens"}
    response = {
        "id": f"resp_{next(_numbers):08d}",
        "object": "response",
        "created_at": int(time.time()),
        "status": status,
        "error": None,
        "incomplete_details": incomplete,
        "instructions": body.get("instructions"),
        "model": f"{body['model']}-2025-08-07",
        "output": [
            {"id": "msg_1", "type": "message", "role": "assistant", "status": status, "content": [content]},
        ],
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "text": body.get("text"),
        "usage": usage(json.dumps(body), text),
    }
    if fault is not None and fault.kind == "no_usage":
        response["usage"] = None
    return response


def usage(asked: str, answered: str) -> dict:
    """Token counts at four bytes a token."""
    tokens_in, tokens_out = len(asked.encode()) // 4, len(answered.encode()) // 4
    return {
        "input_tokens": tokens_in,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": tokens_out,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": tokens_in + tokens_out,
    }


def check_response_request(body: Mapping) -> None:
    """What the real endpoint refuses: missing fields, unknown fields, a schema that strict mode does not allow."""
    known = {"model", "instructions", "input", "text", "max_output_tokens", "store", "reasoning", "metadata"}
    if not isinstance(body.get("model"), str) or not body.get("input"):
        raise BadRequest("Missing required parameter: 'model' or 'input'.")
    if set(body) - known:
        raise BadRequest(f"Unknown parameter: {sorted(set(body) - known)[0]!r}.")
    form = body.get("text", {}).get("format", {})
    if form.get("type") == "json_schema":
        if not form.get("name") or "schema" not in form:
            raise BadRequest("Missing required parameter: 'text.format.name' or 'text.format.schema'.")
        if form.get("strict"):
            for schema in [form["schema"], *form["schema"].get("$defs", {}).values()]:
                _check_strict(schema)


def _check_strict(schema: Mapping) -> None:
    if schema.get("type") != "object":
        return
    if schema.get("additionalProperties") is not False:
        raise BadRequest("Invalid schema: 'additionalProperties' is required to be supplied and to be false.")
    if set(schema.get("required", [])) != set(schema["properties"]):
        raise BadRequest("Invalid schema: 'required' must name every key in properties.")
    if any("default" in part for part in schema["properties"].values()):
        raise BadRequest("Invalid schema: 'default' is not permitted.")


def embed(body: Mapping, fault: Fault | None) -> dict:
    """A list of embeddings: unit vectors that depend on the text alone. Raises BadRequest.

    malformed: no vectors; no_usage: as compatible servers answer."""
    texts = [body["input"]] if isinstance(body.get("input"), str) else body.get("input")
    if not texts or any(not isinstance(text, str) or not text for text in texts):
        raise BadRequest("'input' must be a non-empty string or a list of them.")
    size = body.get("dimensions", 1536)
    data = []
    for index, text in enumerate(texts):
        vector = _vector(text, size)
        coded = (
            base64.b64encode(struct.pack(f"<{size}f", *vector)).decode()
            if body.get("encoding_format") == "base64"
            else vector
        )
        data.append({"object": "embedding", "index": index, "embedding": coded})
    tokens = sum(len(text.encode()) // 4 + 1 for text in texts)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    kind = fault.kind if fault is not None else None
    return {
        "object": "list",
        "data": [] if kind == "malformed" else data,
        "model": body["model"],
        **({} if kind == "no_usage" else {"usage": usage}),
    }


def _vector(text: str, size: int) -> list[float]:
    """Sum of a pseudo-random vector per word: texts that share words are near each other."""
    total = [0.0] * size
    for word in text.lower().split() or [text]:
        stream = hashlib.shake_256(word.encode("utf-8", "surrogatepass")).digest(size)
        total = [value + byte / 127.5 - 1.0 for value, byte in zip(total, stream, strict=True)]
    length = sum(value * value for value in total) ** 0.5 or 1.0
    return [value / length for value in total]
