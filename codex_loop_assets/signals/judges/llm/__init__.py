"""The judge that asks a language model: one question per session, evidence checked by machine, at a known price.

windows -> prompt -> (cache | budget -> synchronous or batch) -> exchange -> citations -> judge.
"""

from codex_loop_assets.signals.judges.llm.judge import Estimate, LlmJudge, open_llm_judge

__all__ = ["Estimate", "LlmJudge", "open_llm_judge"]
