"""What a simulated model server is started with."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from gateway.engines.simulated.faults import Fault
from gateway.engines.simulated.kv import BLOCK_TOKENS, blocks_for
from gateway.engines.simulated.presets import Preset, preset_for
from gateway.engines.simulated.scheduler import Policy, SchedulerSettings
from gateway.engines.simulated.step_time import StepTime
from gateway.engines.simulated.tasks import TaskSettings
from gateway.families import MODELS

Rate = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(gt=0)]


class SimulatedSettings(BaseModel):
    """Names and defaults are those of vLLM's flags where there is such a flag; defaults are those on an H100.

    ``preset`` says how fast it is and how much its KV cache holds; ``step_time`` and ``num_gpu_blocks_override`` stand
    in for it. ``time_scale`` turns simulated seconds into real ones: 1.0 is real time, 0.1 ten times faster.
    ``max_num_queued_reqs`` counts sequences in flight, waiting or running (a request with ``n`` 3 takes 3).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)]
    window: Count = Field(131_072, description="max_model_len: tokens of prompt and output together")
    tokenizer: Path
    preset: str | None = Field(None, description="default: the model's own")
    step_time: StepTime | None = None
    time_scale: Rate = 1.0
    max_num_batched_tokens: Count = 8192
    max_num_seqs: Count = 1024
    long_prefill_token_threshold: Annotated[int, Field(ge=0)] = 0
    scheduling_policy: Policy = "fcfs"
    enable_prefix_caching: bool = True
    scheduler_reserve_full_isl: bool = True
    watermark: Annotated[float, Field(ge=0, lt=1)] = 0.0
    num_gpu_blocks_override: Annotated[int, Field(ge=2)] | None = None
    max_num_queued_reqs: Count | None = None
    enable_prompt_tokens_details: bool = False
    api_key: SecretStr | None = None
    tool_parser: bool = Field(False, description="as with --enable-auto-tool-choice --tool-call-parser")
    request_id_headers: bool = Field(False, description="as with --enable-request-id-headers")
    seed: int = Field(0, description="of everything that is drawn: task pass rates, answers without a seed, faults")
    tasks: TaskSettings | None = None
    faults: tuple[Fault, ...] = ()
    fault_header: bool = Field(False, description="whether a request may ask for a fault by x-simulate-fault")

    @cached_property
    def hardware(self) -> Preset | None:
        """The preset that counts; None if there is none, and none is needed."""
        if self.preset is None and self.step_time and self.num_gpu_blocks_override:
            return None
        return preset_for(self.model, self.preset)

    @cached_property
    def speed(self) -> StepTime:
        if self.step_time is not None:
            return self.step_time
        assert self.hardware is not None
        return self.hardware.step_time

    @cached_property
    def num_gpu_blocks(self) -> int:
        if self.num_gpu_blocks_override is not None:
            return self.num_gpu_blocks_override
        assert self.hardware is not None
        return self.hardware.num_gpu_blocks

    @property
    def scheduler(self) -> SchedulerSettings:
        return SchedulerSettings(
            num_blocks=self.num_gpu_blocks,
            max_model_len=self.window,
            max_num_batched_tokens=self.max_num_batched_tokens,
            max_num_seqs=self.max_num_seqs,
            long_prefill_token_threshold=self.long_prefill_token_threshold,
            policy=self.scheduling_policy,
            prefix_caching=self.enable_prefix_caching,
            reserve_full_prompt=self.scheduler_reserve_full_isl,
            watermark=self.watermark,
        )

    @field_validator("model")
    @classmethod
    def _has_a_family(cls, model: str) -> str:
        if model not in MODELS:
            raise ValueError(f"unknown model {model!r}; known: {', '.join(MODELS)}")
        return model

    @model_validator(mode="before")
    @classmethod
    def _own_window(cls, given: Any) -> Any:
        """A model that was made for less has that as its window."""
        if isinstance(given, dict) and given.get("window") is None and given.get("model") in MODELS:
            return {**given, "window": MODELS[given["model"]].native_window}
        return given

    @model_validator(mode="after")
    def _fits(self) -> SimulatedSettings:
        """Raises what vLLM refuses to start with."""
        if self.max_num_batched_tokens < self.max_num_seqs:
            raise ValueError(
                f"max_num_batched_tokens ({self.max_num_batched_tokens}) must be at least max_num_seqs "
                f"({self.max_num_seqs}): raise the one or lower the other"
            )
        if self.long_prefill_token_threshold > self.window:
            raise ValueError(
                f"long_prefill_token_threshold ({self.long_prefill_token_threshold}) must not be greater than the "
                f"window ({self.window})"
            )
        usable = self.num_gpu_blocks - 1
        if blocks_for(self.window) > usable:
            raise ValueError(
                f"a window of {self.window} tokens does not fit into the KV cache, which holds "
                f"{max(0, usable) * BLOCK_TOKENS}: choose a smaller window or another preset"
            )
        return self
