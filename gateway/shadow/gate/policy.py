"""What a team asks of the gate: a frozen tree of settings, from YAML. Unknown keys are errors."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from math import fsum
from typing import Annotated, Self

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from gateway.config_base import Count, Settings
from gateway.config_document import ConfigError, Document, Problem, described
from gateway.config_problems import Finding
from gateway.families import MODELS
from gateway.shadow.gate.draws import Kind

Share = Annotated[float, Field(ge=0, le=1)]


class Side(Settings):
    family: str
    model: str

    @model_validator(mode="after")
    def _is_known(self) -> Self:
        if self.model not in MODELS:
            raise ValueError(f"{self.model!r} is none of the models known here: {', '.join(MODELS)}")
        if MODELS[self.model].family != self.family:
            raise ValueError(f"{self.model} is of the family {MODELS[self.model].family}, not {self.family}")
        return self


class Bucket(Settings):
    """Prompts of at most `up_to` tokens (routing tokenizer), and of more than the next smaller bucket's."""

    up_to: Count
    weight: Annotated[float, Field(gt=0, le=1)]


class Policy(Settings):
    """The first family may have these lengths if its pass@1 is less than `delta` below the second's in every bucket.

    `alpha` bounds the chance of a wrong answer, over all looks together. `buckets` declare their shares of the draws;
    shares sum to 1. Their order does not matter.
    """

    first: Side
    second: Side
    delta: Annotated[float, Field(gt=0, lt=1)]
    alpha: Annotated[float, Field(gt=0, le=0.5)] = 0.05
    evidence: Kind = Kind.CANARY
    buckets: Annotated[tuple[Bucket, ...], Field(min_length=1)]
    max_flip_rate: Share = Field(default=0.02, description="of answers that are scored twice, how many may flip")
    least_reruns: int = Field(default=20, ge=0, description="answers that have to be scored twice; 0: none")
    pairs_per_control: Count = Field(default=100, description="one canonical and one known-bad sample in so many")
    max_dropped: Share = Field(default=0.1, description="of a bucket's pairs, how many may lack a verdict")

    @field_validator("buckets")
    @classmethod
    def _cover_the_draws(cls, buckets: tuple[Bucket, ...]) -> tuple[Bucket, ...]:
        edges = [bucket.up_to for bucket in buckets]
        if len(set(edges)) < len(edges):
            raise ValueError("two buckets have the same up_to: drop one")
        total = fsum(bucket.weight for bucket in buckets)
        if abs(total - 1) > 1e-6:
            raise ValueError(f"the weights sum to {total:g}, not to 1")
        return tuple(sorted(buckets, key=lambda bucket: bucket.up_to))

    @model_validator(mode="after")
    def _compares_two(self) -> Self:
        if self.first == self.second:
            raise ValueError("first and second are the same model: there is nothing to compare")
        return self

    @classmethod
    def from_yaml(cls, text: str, name: str = "policy") -> Self:
        """Raises ConfigError with everything that is wrong, with lines; `name` is what it calls the text."""
        document = _document(text, name)
        problems = list(document.duplicates())
        try:
            # By way of JSON, as the gateway's configuration: strict, and lists may still become tuples.
            policy = cls.model_validate_json(json.dumps(document.data, default=str), strict=True)
        except ValidationError as error:
            raise ConfigError([*problems, *_problems(document, error)]) from None
        if problems:
            raise ConfigError(problems)
        return policy

    @property
    def names(self) -> tuple[str, ...]:
        """Of the buckets, as reports call them."""
        starts = [0, *(bucket.up_to for bucket in self.buckets)]
        return tuple(f"{start + 1:,} to {end:,} tokens" for start, end in pairwise(starts))

    def place(self, prompt_tokens: int) -> int | None:
        """Which bucket a prompt belongs to; None beyond the last."""
        fitting = (place for place, bucket in enumerate(self.buckets) if prompt_tokens <= bucket.up_to)
        return next(fitting, None)


def _document(text: str, name: str) -> Document:
    try:
        document = Document(name, yaml.compose(text, yaml.SafeLoader))
        data = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError([Problem("", f"is not YAML: {' '.join(str(error).split())}", file=name)]) from None
    if not isinstance(data, dict) or not all(isinstance(key, str) for key in data):
        message = "has to hold settings (`delta: 0.05`, `buckets:`, ...), not " + described(data)
        raise ConfigError([Problem("", message, file=name, line=1, column=1)])
    document.data = data
    return document


def _problems(document: Document, error: ValidationError) -> Iterator[Problem]:
    for detail in error.errors(include_url=False):
        kind = detail["type"]
        message = detail["msg"].removeprefix("Value error, ").replace("Input should", "should", 1)
        message = {"missing": "is missing", "extra_forbidden": "unknown key"}.get(kind, message)
        yield document.problem(Finding(tuple(detail["loc"]), message), key=kind == "extra_forbidden", written=True)
