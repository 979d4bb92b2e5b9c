"""Shadow-eval beside the gateway: the part of the configuration that the tap and the shadow process read."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from gateway.config_base import Count, Settings

OWN_SUITE = "five"
"""The name of our own suite; any other name is a file's."""
QUEUE = "YARDSTICK_SHADOW_QUEUE"
"""The environment variable that has the queue's URL where no setting does."""
Share = Annotated[float, Field(ge=0, le=1)]
LONGEST_KEPT = 3_650
"""Days."""
Days = Annotated[float, Field(ge=0, le=LONGEST_KEPT)]


class MirrorSettings(Settings):
    """Matched requests that also go to the other model."""

    enabled: bool = Field(default=False, description="ask the other model what a matched request asked")
    daily_tokens: Count = Field(default=1_000_000, description="prompts and answers, a day (UTC) and model")
    at_once: Count = Field(default=2, description="mirrored requests under way; more wait")
    waiting: Count = Field(default=64, description="mirrored requests that wait; more are shed and counted")


class Retention(Settings):
    """What the store keeps, and for how many days."""

    samples: Days = Field(default=30, description="samples with their runs and scores, counters, gaps")
    answers: Days = Field(default=0, description="answers after they were scored, from the time of the sample")
    unscored: Days = Field(default=3, description="answers that nobody has scored; their runs are errors then")
    prompts: bool = Field(
        default=False, description="keep prompts of live samples at all, secrets cut out; if so, as long as samples"
    )


class ShadowSettings(Settings):
    """Which live requests are sampled, and what becomes of them. Nobody is sampled who is not named here."""

    keys: dict[str, Share] = Field(
        default_factory=dict,
        description="share of the requests that is sampled, by the name of a client's key; all others: none",
        examples=[{"team-a": 0.1}],
    )
    keyless: Share = Field(default=0.0, description="the same for a gateway without keys")
    models: dict[str, Share] = Field(
        default_factory=dict,
        description="multiplies it, by the model that answers",
        examples=[{"codegeex4-all-9b": 0.5}],
    )
    most_per_second: Annotated[float, Field(gt=0, le=100_000)] = Field(
        default=2, description="samples that each gateway process copies; more are dropped, and counted"
    )
    suites: Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        default=(OWN_SUITE,), description="tasks that prompts are compared with: five, or JSONL files"
    )
    store: str | None = Field(
        default=None,
        description="sqlite:///FILE or postgresql://USER@HOST/DATABASE; default: $YARDSTICK_SHADOW_STORE, else"
        " shadow.db in $XDG_DATA_HOME/yardstick",
        examples=["sqlite:////var/lib/yardstick/shadow.db"],
    )
    queue: str | None = Field(
        default=None,
        description="redis://HOST/NUMBER or postgresql://USER@HOST/DATABASE: from it workers hear at once of what waits"
        " in the store; default: $YARDSTICK_SHADOW_QUEUE, else none, and they look now and then",
        examples=["redis://127.0.0.1/0"],
    )
    keep: Retention = Field(default=Retention(), description="in days: how long the store keeps what")
    scorers: Annotated[int, Field(ge=0, le=512)] = Field(
        default=1,
        description="answers that are scored at once beside the gateway; 0: only by `yardstick shadow worker`",
    )
    environment: str | None = Field(
        default=None,
        description="folder of the scoring libraries; default: where `yardstick shadow setup` puts them",
        examples=["./scoring"],
    )
    mirror: MirrorSettings = Field(
        default=MirrorSettings(), description="matched requests that also go to the other model"
    )
    canary: dict[str, Any] | None = Field(
        default=None,
        description="canary tasks beside live traffic; gateway/shadow/README.md explains its settings",
        examples=[
            {"enabled": True, "first": {"family": "codegeex", "model": "codegeex4-all-9b", "daily_tokens": 200000}}
        ],
    )
    gate: str | None = Field(
        default=None,
        description="policy of `yardstick shadow gate` (YAML), whose answer /metrics then has: looked at again some"
        " minutes after new verdicts",
        examples=["./policy.yaml"],
    )
    priority: int | None = Field(
        default=None,
        description="vLLM's `priority` of mirrored requests and canaries, for servers with --scheduling-policy priority"
        " (greater comes later); others refuse it",
        examples=[10],
    )
    shed_above: Count = Field(
        default=16, description="requests under way for each of a pool's endpoints, above which none is added by us"
    )
