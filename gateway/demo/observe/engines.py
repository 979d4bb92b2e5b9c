"""Three simulated model servers: two of the short model, the second of them small and now and then in trouble."""

from __future__ import annotations

import json
import re
from urllib.request import Request, urlopen

from gateway.demo.engine import HOST, LONG, SHORT, Engine, ModelServer, Words
from gateway.demo.simulated import LENGTHS, arguments
from gateway.demo.tokenizer import cached_tokenizer
from gateway.families import MODELS

TIME_SCALE = 0.2
SMALL = "codegeex-small"
_BLOCK_TOKENS = 16
_SPARE_BLOCKS = 32
_MOST_QUEUED, _FEW_QUEUED = 24, 12
RESETS, SICK_PROBES = 4, 4
"""Answers that break off in one trouble, which are enough for an ejection, and probes that fail in one."""


def engine(time_scale: float = TIME_SCALE) -> Engine:
    """Trains the tokenizer if it is not there yet. Raises OSError."""
    tokenizer = cached_tokenizer()
    # Hardly more than one whole window: a burst has to wait, and takes blocks from what runs. Where both are full the
    # long model stands in.
    blocks = MODELS[SHORT].pool_window // _BLOCK_TOKENS + _SPARE_BLOCKS
    limit = "--max-num-queued-reqs"
    large = (limit, str(_MOST_QUEUED))
    small = (limit, str(_FEW_QUEUED), "--num-gpu-blocks-override", str(blocks))
    return Engine(
        servers=tuple(
            ModelServer(
                model=model,
                log_name=name,
                arguments=(*arguments(model, tokenizer, time_scale), *more),
                ready=rf"http://{re.escape(HOST)}:",
            )
            for model, name, more in ((SHORT, "codegeex", large), (SHORT, SMALL, small), (LONG, "loop", ()))
        ),
        tokenizers={SHORT: tokenizer, LONG: tokenizer},
        lengths=LENGTHS,
        writes_code=True,
        knows_tasks=True,
        start_seconds=120.0,
        limit_seconds=300.0,
        words=Words(
            introduction="Simulated: the model servers, their speed, and how often they are right; no model runs. Real:"
            " the gateway, HTTP, Prometheus, every token count, and shadow-eval, which runs the tests of what they"
            f" answer.\nTime scale {time_scale:g}: {1 / time_scale:g} simulated seconds pass in a real one. Now and"
            " then one server breaks off answers, and another time is unwell: that is meant.",
            servers="three simulated model servers",
            first_token="",
            note="",
            success="",
        ),
    )


def break_answers(address: str) -> None:
    """The next answers of the server at ``address`` (host:port) end in a reset."""
    _plant(address, {"kind": "reset-mid-stream", "count": RESETS})


def be_unwell(address: str) -> None:
    """Its next probes fail."""
    _plant(address, {"kind": "unhealthy", "count": SICK_PROBES})


def _plant(address: str, fault: dict[str, object]) -> None:
    request = Request(f"http://{address}/sim/faults", json.dumps(fault).encode(), {"content-type": "application/json"})
    with urlopen(request, timeout=30):
        pass
