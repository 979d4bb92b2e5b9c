"""What the generating routes share: the model's name, the prompt's room, plans and ids."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from gateway import families
from gateway.engines.simulated.answers import Library, build_answers
from gateway.engines.simulated.engine import Engine, Job, Sequence
from gateway.engines.simulated.errors import (
    bad_request,
    output_too_long,
    prompt_fills_window,
    prompt_too_long,
    unknown_model,
)
from gateway.engines.simulated.faults import Faults
from gateway.engines.simulated.http import Call
from gateway.engines.simulated.kv import BLOCK_TOKENS
from gateway.engines.simulated.logprobs import Logprobs
from gateway.engines.simulated.plan import Limits, Plan, Planner
from gateway.engines.simulated.settings import SimulatedSettings
from gateway.engines.simulated.tokens import PromptTokens
from gateway.engines.simulated.wire import Generation

VERSION = "0.32.0"


@dataclass(frozen=True)
class Answered:
    """One request on its way: what every chunk and body of its answer carries."""

    id: str
    created: int
    job: Job
    prompt_tokens: int
    cache_shown: bool = False

    def usage(self, completion_tokens: int) -> dict[str, Any]:
        total = self.prompt_tokens + completion_tokens
        return {"prompt_tokens": self.prompt_tokens, "total_tokens": total, "completion_tokens": completion_tokens}

    def final_usage(self, completion_tokens: int) -> dict[str, Any]:
        """A stream's usage at its end: there, what is not known is left out."""
        usage, details = self.usage(completion_tokens), self._prompt_details
        if details is None:
            return usage
        return {**usage, "prompt_tokens_details": {key: n for key, n in details.items() if n is not None}}

    @property
    def full_usage(self) -> dict[str, Any]:
        generated = sum(len(sequence.plan) for sequence in self.job.sequences)
        details = self._prompt_details
        return {**self.usage(generated), "prompt_tokens_details": details, "completion_tokens_details": None}

    @property
    def _prompt_details(self) -> dict[str, int | None] | None:
        """With --enable-prompt-tokens-details. Only chat tells what was added to the cache: the new full blocks."""
        if not self.cache_shown:
            return None
        full = len(self.job.sequences[-1].prompt) // BLOCK_TOKENS * BLOCK_TOKENS
        created = max(0, full - self.job.cached) if self.id.startswith("chat") else None
        return {"cached_tokens": self.job.cached, "created_cache_tokens": created, "multimodal_tokens": None}

    @property
    def plans(self) -> list[Plan]:
        return [sequence.plan for sequence in self.job.sequences]


class Service:
    """The parts that a route needs, built once."""

    def __init__(self, settings: SimulatedSettings, engine: Engine, new_id: Callable[[], str]) -> None:
        self.settings = settings
        self.model = settings.model
        self.family = families.MODELS[settings.model]
        self.engine = engine
        self.new_id = new_id
        self.tokens = PromptTokens(settings.tokenizer)
        made_of = self.family.architecture  # whose vocabulary is larger than a stand-in's tokenizer
        self.vocabulary = max(self.tokens.vocabulary, made_of.vocabulary if made_of else 0)
        self.library = Library()
        self.answers = build_answers(settings, self.library)
        self.faults = Faults(settings.faults, seed=settings.seed, by_header=settings.fault_header)
        self.planner = Planner(self.tokens.tokenizer, self.library)
        self.logprobs = Logprobs(self.tokens.tokenizer)
        self.fingerprint = f"vllm-{VERSION}-{sha256(settings.model.encode()).hexdigest()[:8]}"

    def render(self, body: dict[str, Any]) -> str:
        """The prompt of a chat body. Raises families.TemplateError."""
        if not body["messages"]:
            raise bad_request("Cannot apply chat template to an empty conversation. Provide at least one message.")
        if body.get("chat_template") is not None:
            message = "Chat template is passed with request, but --trust-request-chat-template is not set. "
            raise bad_request(message + "Refused request with untrusted chat template.")
        return families.render(self.family, body)

    def check_model(self, name: str | None) -> None:
        if name and name != self.model:
            raise unknown_model(name, self.model)

    def check_output(self, param: str, limit: int | None) -> None:
        if limit is not None and limit > self.settings.window:
            raise output_too_long(self.settings.window, param, limit)

    def room(self, prompt: int, limit: int | None) -> int:
        """How many tokens may follow a prompt of that many: ``limit``, shortened to what the window leaves.

        Raises the 400 of a prompt beyond the window.
        """
        window = self.settings.window
        if prompt > window:
            raise prompt_too_long(window, prompt)
        return window - prompt if limit is None else min(limit, window - prompt)

    def check_filled(self, prompt: int) -> None:
        """Raises the 400 of a prompt that leaves no place for the one token that is generated behind a mere echo."""
        if prompt >= self.settings.window:
            raise prompt_fills_window(self.settings.window)

    async def encode(self, text: str, *, special: bool, truncated: bool) -> list[int]:
        """A prompt's tokens, up to one more than the window has room for, unless it is to be truncated."""
        if truncated:
            return (await self.tokens.encode(text, special=special)).ids
        self.tokens.check_length(text, self.settings.window)
        return (await self.tokens.encode(text, special=special)).ids[: self.settings.window + 1]

    def limits(self, request: Generation, max_tokens: int) -> Limits:
        return Limits(
            max_tokens=max_tokens,
            min_tokens=request.min_tokens,
            ignore_end=request.ignore_eos,
            stop=tuple(request.stop_strings),
            stop_ids=frozenset(request.stop_token_ids or ()),
            keep_stop=request.include_stop_str_in_output,
            banned=tuple(request.bad_words),
            allowed=tuple(request.allowed_token_ids or ()),
            keep_special=not request.skip_special_tokens,
        )

    def accept(
        self,
        call: Call,
        prefix: str,
        request: Generation,
        sequences: list[Sequence],
        max_tokens: int,
        *,
        arrived: float,
        prompt_tokens: int,
    ) -> Answered:
        """Give the request its id. X-Request-Id wins over the body's, and that over one of our own."""
        given = call.headers.get(b"x-request-id", b"").decode("latin-1") or request.request_id or self.new_id()
        job = Job(sequences, request.choices, max_tokens, arrived, request.priority)
        created = int(self.engine.clock.wall())
        return Answered(f"{prefix}-{given}", created, job, prompt_tokens, self.settings.enable_prompt_tokens_details)
