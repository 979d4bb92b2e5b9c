"""What a simulated model server is started with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from gateway.families import MODELS

Rate = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(gt=0)]


class SimulatedSettings(BaseModel):
    """Speeds are in tokens per simulated second; ``time_scale`` turns simulated seconds into real ones.

    ``time_scale`` 1.0 is real time, 0.1 ten times faster. ``max_num_queued_reqs`` counts sequences in flight,
    waiting or running, as vLLM's flag of that name does (a request with ``n`` 3 takes 3).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)]
    window: Count = Field(131_072, description="max_model_len: tokens of prompt and output together")
    tokenizer: Path
    prefill_tokens_per_second: Rate = 20_000.0
    decode_tokens_per_second: Rate = 60.0
    time_scale: Rate = 1.0
    kv_cache_tokens: Count = Field(1_048_576, description="what kv_cache_usage_perc is a share of")
    max_num_queued_reqs: Count | None = None
    api_key: SecretStr | None = None
    tool_parser: bool = Field(False, description="as with --enable-auto-tool-choice --tool-call-parser")
    request_id_headers: bool = Field(False, description="as with --enable-request-id-headers")

    @field_validator("model")
    @classmethod
    def _has_a_family(cls, model: str) -> str:
        if model not in MODELS:
            raise ValueError(f"unknown model {model!r}; known: {', '.join(MODELS)}")
        return model
