"""The registry of all metrics: names, types, units, labels, buckets and help, so that nothing is spelled twice.

`python -m gateway.telemetry.page` makes METRICS.md, the page for people, from it.
"""

from __future__ import annotations

from types import ModuleType

from gateway.telemetry.names import gateway, requests, shadow
from gateway.telemetry.names.gateway import *  # noqa: F403 - one registry, in files by subject
from gateway.telemetry.names.meanings import MEANINGS as MEANINGS
from gateway.telemetry.names.name import LENGTH_BOUNDS as LENGTH_BOUNDS
from gateway.telemetry.names.name import LENGTHS as LENGTHS
from gateway.telemetry.names.name import Name as Name
from gateway.telemetry.names.requests import *  # noqa: F403
from gateway.telemetry.names.shadow import *  # noqa: F403


def _of(module: ModuleType) -> tuple[Name, ...]:
    return tuple(value for value in vars(module).values() if isinstance(value, Name))


OF_REQUESTS, OF_GATEWAY, OF_SHADOW = _of(requests), _of(gateway), _of(shadow)
ALL = (*OF_REQUESTS, *OF_GATEWAY, *OF_SHADOW)
