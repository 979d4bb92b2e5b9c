"""What a team asks of canary tasks: a frozen tree of settings. Unknown keys are errors."""

from __future__ import annotations

from math import fsum
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from gateway.config_base import Count, Settings
from gateway.shadow.gate.policy import Bucket, Side
from gateway.shadow.match.matcher import Form

LIKE_LIVE: Literal["like live"] = "like live"
MOST_CANARIES = 10_000
"""An hour: more is a load test."""

_LEAST_SLACK = 64  # tokens: a cut file ends with a line, and some lines have as many


class CanarySide(Side):
    """One of the two models, and what a day (UTC) may cost it: prompt and answer, in its own tokens."""

    daily_tokens: Count = Field(description="tokens a day, UTC; a day ends over it by one canary at most")


class PerHour(Settings):
    per_hour: Annotated[float, Field(gt=0, le=MOST_CANARIES)]


class PerLiveRequest(Settings):
    per_live_request: Annotated[float, Field(gt=0, le=1)]


class Inflation(Settings):
    """Distractor files around a task, to bring it to lengths that no task has by itself.

    `targets`: the lengths (rendered prompt, routing tokenizer). Declared buckets are inflated where they hold a target;
    none at all: every bucket, to lengths log-uniform over it.
    """

    enabled: bool = False
    targets: tuple[Count, ...] = ()
    tolerance: Annotated[float, Field(gt=0, le=0.2)] = 0.02
    folder: Path | None = Field(
        default=None, description="Python files to take distractors from; default: this Python's standard library"
    )

    @field_validator("targets")
    @classmethod
    def _in_order(cls, targets: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(sorted(set(targets)))

    def slack(self, target: int) -> int:
        """How many tokens below its target a prompt may be: `tolerance` of it, or 64 if that is more. Above: none."""
        return max(_LEAST_SLACK, int(self.tolerance * target))

    def lowest(self, start: int) -> int:
        """The lowest target whose prompts surely have more than `start` tokens."""
        return max(start + _LEAST_SLACK, int(start / (1 - self.tolerance)) + 1) + 1


class Plan(Settings):
    """Off until switched on. One plan is one distribution: with other settings the gate has to start a new stream.

    `lengths`: the gate's buckets with the shares of the draws in each, or "like live": half octaves, weighted as live
    prompts are. `longest`: where "like live" ends; by default what a window of 32,768 holds with the answer, though
    the other family may take a quarter more tokens for the same text.
    """

    enabled: bool = False
    first: CanarySide
    second: CanarySide
    suite: str = Field(default="five", description="`five`, or a JSONL file of tasks")
    rate: PerHour | PerLiveRequest = PerHour(per_hour=12)
    forms: Annotated[tuple[Literal[Form.COMPLETE, Form.INSTRUCT], ...], Field(min_length=1)] = (
        Form.COMPLETE,
        Form.INSTRUCT,
    )
    direct_completion: bool = Field(
        default=False, description="send the complete form bare to /v1/completions, as a base model needs it"
    )
    lengths: Literal["like live"] | Annotated[tuple[Bucket, ...], Field(min_length=1)] = LIKE_LIVE
    longest: Count = 24_576
    inflation: Inflation = Inflation()
    uniform_share: Annotated[float, Field(gt=0, le=1)] = Field(
        default=0.2, description="of the draws, made whatever live prompts import: bounds how much a draw can weigh"
    )
    pairs_per_control: Count = Field(
        default=50, description="one canonical and one known-bad sample in so many pairs; the gate's default needs 100"
    )
    max_tokens: Count = Field(default=1_280, description="of an answer; bigcodebench 0.2.5's default")
    temperature: Annotated[float, Field(ge=0, le=2)] | None = Field(
        default=None, description="what production uses; default: the pool's own"
    )
    seed: Annotated[int, Field(ge=0)] = 0

    @field_validator("forms")
    @classmethod
    def _each_form_once(cls, forms: tuple[Form, ...]) -> tuple[Form, ...]:
        if len(set(forms)) < len(forms):
            raise ValueError("a form is given twice")
        return forms

    @field_validator("lengths")
    @classmethod
    def _cover_the_draws(cls, lengths: str | tuple[Bucket, ...]) -> str | tuple[Bucket, ...]:
        if isinstance(lengths, str):
            return lengths
        if len({bucket.up_to for bucket in lengths}) < len(lengths):
            raise ValueError("two buckets have the same up_to: drop one")
        total = fsum(bucket.weight for bucket in lengths)
        if abs(total - 1) > 1e-6:
            raise ValueError(f"the weights sum to {total:g}, not to 1")
        return tuple(sorted(lengths, key=lambda bucket: bucket.up_to))

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.first.model == self.second.model:
            raise ValueError("first and second are the same model: there is nothing to compare")
        if self.direct_completion and self.forms != (Form.COMPLETE,):
            raise ValueError("direct_completion has the complete form only: forms has to be [complete]")
        if self.lengths == LIKE_LIVE and self.inflation.targets:
            raise ValueError('lengths "like live" are the targets: give buckets, or leave inflation.targets out')
        for target in self.inflation.targets:
            self._has_its_bucket(target)
        return self

    def _has_its_bucket(self, target: int) -> None:
        edges = [bucket.up_to for bucket in self.lengths if isinstance(bucket, Bucket)]
        if target > edges[-1]:
            raise ValueError(f"the inflation target {target:,} is beyond the last bucket")
        lowest = self.inflation.lowest(max((edge for edge in edges if edge < target), default=0))
        if target < lowest:
            raise ValueError(
                f"the inflation target {target:,} is so near the end of the bucket below it that prompts may fall"
                f" into that: take {lowest:,} or more"
            )
