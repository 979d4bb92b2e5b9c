"""Tiny checkpoints of the served architectures, made on the spot: real vLLM serves them on a CPU.

Their weights are random and so are their answers; windows, vocabularies and special tokens are the real models'.
"""

from __future__ import annotations

from gateway.engines.vllm.tiny.checkpoint import cache_bytes, make

__all__ = ["cache_bytes", "make"]
