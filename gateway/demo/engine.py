"""What may stand behind the demo's gateway: two model servers, and what can be asked and expected of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

SHORT, LONG = "codegeex4-all-9b", "iquest-coder-v1-40b-loop-instruct"
ALIAS = "gpt-4o"
HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelServer:
    """``arguments`` are of the `yardstick` command. ``ready``: what it prints once it answers, up to its port."""

    model: str
    log_name: str
    arguments: tuple[str, ...]
    ready: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lengths:
    """In tokens. ``threshold`` is the gateway's; ``window`` the long model's. ``max_tokens``: of every answer.

    ``several``: multi-file prompts, the shortest first, which is sent twice.
    """

    threshold: int
    window: int
    max_tokens: int
    several: tuple[int, int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """``introduction`` says what is real and what is not; ``first_token`` heads a column, with a ``note`` below."""

    introduction: str
    servers: str
    first_token: str
    note: str
    success: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """``tokenizers``: a tokenizer.json for each model. ``writes_code``: whether answers are code that can be checked,
    the same each time. ``knows_tasks``: whether they solve the suite's tasks now and then. ``limit_seconds``: what a
    run must stay below.
    """

    servers: tuple[ModelServer, ...]
    tokenizers: Mapping[str, Path]
    lengths: Lengths
    writes_code: bool
    knows_tasks: bool = False
    start_seconds: float
    limit_seconds: float
    words: Words
