"""The configuration: one frozen tree of settings. Unknown keys are errors.

Times are in seconds, sizes in bytes, lengths in tokens. This file is the only reader of the environment.
Descriptions and examples here are what `yardstick init` writes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from gateway.config_base import Bytes, Seconds, Settings
from gateway.config_engine import EngineSettings
from gateway.config_shadow import ShadowSettings
from gateway.config_traces import TraceSettings

AUTO = "auto"


def environment(name: str) -> str | None:
    """The value of an environment variable; an empty one counts as missing."""
    return os.environ.get(name) or None  # noqa: TID251


def environment_with(added: Mapping[str, str]) -> dict[str, str]:
    """What a process that we start gets: our own environment, and more."""
    return {**os.environ, **added}  # noqa: TID251


def cache_dir() -> Path:
    """Where files that can be made again are kept: $XDG_CACHE_HOME/yardstick, or ~/.cache/yardstick."""
    return _base_dir("XDG_CACHE_HOME", ".cache")


def data_dir() -> Path:
    """Where what can't be made again is kept: $XDG_DATA_HOME/yardstick, or ~/.local/share/yardstick."""
    return _base_dir("XDG_DATA_HOME", ".local/share")


def _base_dir(variable: str, default: str) -> Path:
    root = environment(variable)
    # The XDG base directory specification tells readers to ignore relative paths.
    return (Path(root) if root and Path(root).is_absolute() else Path.home() / default) / "yardstick"


class EndpointSettings(Settings):
    """One model server. ``url`` with or without ``/v1``; ``served_name`` overrides what its /v1/models says."""

    url: str = Field(
        description="http:// or https:// address of the model server, with or without /v1",
        examples=["http://127.0.0.1:9001"],
    )
    api_key: SecretStr | None = Field(
        default=None,
        description="the endpoint's API key; better in the environment: api_key_env",
        examples=["a-secret"],
    )
    api_key_env: str | None = Field(
        default=None,
        description="environment variable that holds the endpoint's API key",
        examples=["ENDPOINT_API_KEY"],
    )
    served_name: str | None = Field(
        default=None,
        description="the model's name on that server; default: what its /v1/models says",
        examples=["codegeex4-all-9b"],
    )

    @field_validator("url")
    @classmethod
    def _url_is_an_address(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https"):
            raise ValueError("the address has to begin with http:// or https://")
        if parts.username is not None or parts.password is not None:
            raise ValueError("the address must hold no user name or password; name the key's variable with api_key_env")
        if parts.query or parts.fragment:
            raise ValueError("the address must end with its path: no ? and no #")
        if not parts.hostname or parts.port == 0 or any(c.isspace() for c in url):
            raise ValueError("the address names no host that could be reached: write http://HOST:PORT")
        return url

    @model_validator(mode="after")
    def _one_source_of_the_key(self) -> EndpointSettings:
        if self.api_key is not None and self.api_key_env is not None:
            raise ValueError("both api_key and api_key_env are given; keep one of them")
        return self

    @property
    def base_url(self) -> str:
        """The address without trailing slashes and without ``/v1``: what ``/v1/models`` is appended to."""
        return self.url.rstrip("/").removesuffix("/v1").rstrip("/")

    @property
    def port(self) -> int:
        """The address's port, or its scheme's."""
        parts = urlsplit(self.url)
        return parts.port or (443 if parts.scheme == "https" else 80)

    def key(self) -> str | None:
        """The endpoint's API key, from the file or the environment; None if it has none or the variable is not set."""
        if self.api_key is not None:
            return self.api_key.get_secret_value()
        return environment(self.api_key_env) if self.api_key_env else None


class PoolSettings(Settings):
    """Interchangeable endpoints that serve one model."""

    model: str = Field(
        min_length=1, description="the name that requests call this model", examples=["codegeex4-all-9b"]
    )
    endpoints: Annotated[tuple[EndpointSettings, ...], Field(min_length=1)] = Field(
        description="model servers that serve it, interchangeable"
    )
    window: Annotated[int, Field(gt=0)] | None = Field(
        default=None,
        description="tokens, prompt and output together; default: what its servers report, at most the family's",
        examples=[32768],
    )
    tokenizer: str | None = Field(
        default=None,
        description="path of a tokenizer.json, or a hub id; default: the model server's /tokenize",
        examples=["./tokenizer.json"],
    )
    tools: bool | None = Field(
        default=None,
        description="whether its servers have a tool parser; default: vLLM servers are asked. `auto` sends requests"
        " with tools to a model that calls them",
        examples=[True],
    )
    affinity: bool = Field(
        default=True,
        description="prompts that begin alike meet the same endpoint again, whose prefix cache knows them; false: the"
        " least loaded endpoint gets every prompt",
    )
    defaults: dict[str, Any] | None = Field(
        default=None, description="fields added where the client left them out", examples=[{"temperature": 0.2}]
    )
    engine: EngineSettings | None = Field(
        default=None, description="how `yardstick engine vllm` starts its servers; the gateway does not read it"
    )


class RoutingSettings(Settings):
    """Which of two models answers ``auto``. ``threshold`` is in the short model's tokens."""

    short: str = Field(default="codegeex4-all-9b", description="the model that answers `auto` up to the threshold")
    long: str = Field(default="iquest-coder-v1-40b-loop-instruct", description="the model that answers `auto` above it")
    threshold: Annotated[int, Field(ge=0)] = Field(
        default=8192, description="prompt length, in the short model's tokens"
    )
    exact: Literal["near", "always"] = Field(
        default="near", description="count exactly only near the threshold or a window (near), or every prompt (always)"
    )
    reserve_output: Annotated[int, Field(ge=1)] = Field(
        default=1024, description="tokens kept free for the answer of a request without max_tokens"
    )
    fallback: Literal["never", "down", "busy"] = Field(
        default="never",
        description="the long model answers `auto`'s short prompts if no endpoint of the short one can be reached "
        "(down), or if they are busy too (busy)",
    )


class EjectionSettings(Settings):
    """When an endpoint that fails is left out. 4xx never count, 429 and 503 mean busy; it returns by itself."""

    failures: Annotated[int, Field(ge=1)] = Field(default=3, description="in a row, after which it is left out")
    seconds: Seconds = Field(default=5.0, description="for how long; twice as long each time until it answers")
    longest: Seconds = Field(default=60.0, description="at most that long")
    share: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.5, description="of a pool's endpoints, left out at the same time at most"
    )


class ProbeSettings(Settings):
    """How endpoints are asked whether they are up: GET /health, then /v1/models."""

    period: Seconds = Field(default=5.0, description="between probes of an endpoint that is up")
    period_down: Seconds = Field(default=0.5, description="between probes of one that is down")
    timeout: Seconds = Field(default=5.0, description="for the answers")
    failures: Annotated[int, Field(ge=1)] = Field(
        default=2, description="in a row, after which it is down; at once where no connection can be had"
    )


class LimitSettings(Settings):
    body_bytes: Bytes = Field(default=4 * 1024 * 1024, description="longest request body")
    header_bytes: Bytes = Field(default=32 * 1024, description="request line and headers together")
    stream_buffer_bytes: Bytes = Field(
        default=256 * 1024, description="unsent bytes of one stream at which its upstream is paused"
    )
    total_buffer_bytes: Bytes = Field(default=256 * 1024 * 1024, description="unsent bytes of all streams together")
    connections: Annotated[int, Field(gt=0)] = Field(default=16_384, description="clients connected at the same time")


class TimeoutSettings(Settings):
    header: Seconds = Field(default=10.0, description="for a request's headers to arrive")
    body_idle: Seconds = Field(default=30.0, description="silence within a request's body")
    keep_alive: Seconds = Field(default=75.0, description="an idle client connection is closed after that long")
    connect: Seconds = Field(default=2.0, description="for an endpoint to accept a connection")
    first_byte: Seconds = Field(default=60.0, description="from the request sent to the first byte of its answer")
    first_byte_per_1k_tokens: Annotated[float, Field(ge=0)] = Field(
        default=2.0, description="added to first_byte for every 1,000 prompt tokens: a long prefill takes minutes"
    )
    first_byte_per_1k_output_tokens: Annotated[float, Field(ge=0)] = Field(
        default=60.0,
        description="and, where the answer is not streamed, for every 1,000 tokens that it may have",
    )
    between_chunks: Seconds = Field(default=120.0, description="silence within an endpoint's answer")
    write_stall: Seconds = Field(default=60.0, description="a client that reads nothing for that long is dropped")
    total: Seconds = Field(default=3600.0, description="one request's whole life")
    stream_keep_alive: Seconds = Field(
        default=15.0, description="a comment is sent to a client whose stream was silent that long"
    )
    upstream_idle: Seconds = Field(
        default=4.0, description="idle upstream connections are closed: below vLLM's 5 s keep-alive"
    )


class DrainSettings(Settings):
    """What happens between SIGTERM and the end of the process."""

    delay: Annotated[float, Field(ge=0, le=3600)] = Field(
        default=2.0,
        description="after SIGTERM /health/ready fails, and new connections are still accepted for that long: a load"
        " balancer needs some time to look elsewhere",
    )
    grace: Annotated[float, Field(ge=0, le=86_400)] = Field(
        default=600.0,
        description="answers under way may then take that long; what is left gets an error. A long prompt's prefill and"
        " a long answer take minutes. In Kubernetes, terminationGracePeriodSeconds has to be longer than both",
    )


class Config(Settings):
    host: str = Field(default="127.0.0.1", description="address to listen on; anything but loopback needs api_key_file")
    port: Annotated[int, Field(ge=0, le=65535)] = Field(
        default=8080, description="port to listen on; 0 picks a free one"
    )
    api_key_file: str | None = Field(
        default=None,
        description="clients' keys, hashed: `yardstick keys new NAME --file FILE` adds one; default: anyone may",
        examples=["./keys"],
    )
    pools: Annotated[tuple[PoolSettings, ...], Field(min_length=1)] = Field(
        description="one entry for each model: the endpoints that serve it"
    )
    routing: RoutingSettings = Field(default=RoutingSettings(), description="which of two models answers `auto`")
    ejection: EjectionSettings = Field(default=EjectionSettings(), description="of endpoints that fail")
    probes: ProbeSettings = Field(default=ProbeSettings(), description="of endpoints; times in seconds")
    aliases: dict[str, str] = Field(
        default_factory=dict, description="other names for `auto` or a model", examples=[{"gpt-4o": AUTO}]
    )
    limits: LimitSettings = Field(default=LimitSettings(), description="sizes in bytes, and counts")
    timeouts: TimeoutSettings = Field(default=TimeoutSettings(), description="in seconds")
    drain: DrainSettings = Field(default=DrainSettings(), description="in seconds: how `yardstick serve` ends")
    shadow: ShadowSettings | None = Field(
        default=None, description="shadow-eval beside live traffic; default: there is none"
    )
    traces: TraceSettings = Field(
        default=TraceSettings(),
        description="which requests are traced, where OTEL_EXPORTER_OTLP_ENDPOINT or another of OpenTelemetry's"
        " variables names a receiver; without one, none",
    )
    workers: Annotated[int, Field(ge=1, le=256)] = Field(
        default=1, description="processes that share the port, for as many cores"
    )
    access_log: bool = Field(
        default=True,
        description="one line for each request to a model; faults of the gateway's own are logged in any case",
    )
    stream_usage: bool = Field(
        default=True, description="ask model servers for the usage of streams, and take it out again"
    )
    operator_fields: bool = Field(default=False, description="accept fields that are the operator's, such as priority")

    @field_validator("aliases")
    @classmethod
    def _aliases_name_no_alias(cls, aliases: dict[str, str]) -> dict[str, str]:
        for name, target in aliases.items():
            if target in aliases:
                raise ValueError(f"alias {name!r} names another alias, {target!r}")
        return aliases
