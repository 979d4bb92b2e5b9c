"""What every part of the configuration is made of."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Seconds = Annotated[float, Field(gt=0, le=86_400)]
Bytes = Annotated[int, Field(gt=0)]
Count = Annotated[int, Field(gt=0)]


class Settings(BaseModel):
    # A validation error must not quote its input: the input may hold an API key.
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
