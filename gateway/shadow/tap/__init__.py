"""The tap: copies of live requests for shadow-eval, without live traffic noticing.

`Tap` lives in the gateway's event loop and only takes copies: `sampling` says of which requests, `frames` how they go
through a unix socket to the shadow process beside the gateway. Nothing is looked at here; all that takes time is done
there. Whatever is wrong with that process, requests are answered as if there were no tap; what it missed is counted.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Beside:
    """The shadow process of this gateway: where it listens, and what its own requests are sealed with."""

    socket: Path
    secret: bytes = field(repr=False)
