"""A local server that speaks OpenAI's protocol (Responses, Embeddings, Files, Batches), for tests with the real SDK.

It checks requests as strictly as the real one where a mistake would cost money or answers, records them, and fails on
demand. It imports nothing of the product.
"""

from codex_loop_assets_tests.openai_server.faults import Fault
from codex_loop_assets_tests.openai_server.model import phrase_model
from codex_loop_assets_tests.openai_server.server import OpenAiServer

__all__ = ["Fault", "OpenAiServer", "phrase_model"]
