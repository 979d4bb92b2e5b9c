"""How a model is served, as far as the configuration says. Nothing is guessed: what it does not say is "unknown"."""

from __future__ import annotations

import json
from hashlib import sha256

from gateway.config import PoolSettings
from gateway.families import MODELS
from gateway.shadow.gate.draws import Served

UNKNOWN = "unknown"
_CHARACTERS = 16


def served_of(pool: PoolSettings) -> Served:
    """Two pools that would serve differently have different ones, where `engine` and `defaults` are what is run.

    `revision`: weights and revision. `engine`: a digest of the other engine settings. `template`: a digest of the
    family's, which counts are made with. `sampling`: fields that are added to what leaves them out.
    """
    model, engine = MODELS.get(pool.model), pool.engine
    flags = engine.model_dump(mode="json", exclude={"weights", "revision", "host", "port"}) if engine else None
    weights = [part for part in (engine.weights, engine.revision) if part] if engine else []
    defaults = pool.defaults if pool.defaults is not None else dict(model.defaults) if model else None
    return Served(
        family=model.family if model else UNKNOWN,
        model=pool.model,
        revision="@".join(weights) or UNKNOWN,
        engine=_digest(flags) if flags else UNKNOWN,
        quantisation=_quantisation(engine.flags if engine else ()),
        template=_digest(model.chat_template) if model and model.chat_template else UNKNOWN,
        sampling=json.dumps(defaults, sort_keys=True, default=str) if defaults is not None else UNKNOWN,
    )


def _quantisation(flags: tuple[str, ...]) -> str:
    """vLLM's flag, `--quantization fp8` or `--quantization=fp8`; the last one wins there, too."""
    found = UNKNOWN
    for place, flag in enumerate(flags):
        name, is_there, value = flag.partition("=")
        if name in ("--quantization", "-q"):
            found = value if is_there else (flags[place + 1] if place + 1 < len(flags) else UNKNOWN)
    return found


def _digest(value: object) -> str:
    return sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:_CHARACTERS]
