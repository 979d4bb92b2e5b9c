"""Starts the shadow process of a gateway, and ends it with the gateway."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway.config import Config
from gateway.shadow.live.settings import check
from gateway.shadow.tap import Beside

_PATIENCE = 15.0  # seconds in which it gives back what it was scoring


@contextmanager
def shadow_process(config: Config, port: int) -> Iterator[Beside | None]:
    """Runs as long as the scope, and ends, too, if this process is killed. None if the configuration asks for none.

    Raises ValueError for settings that can't be used. ``port``: where the gateway listens, for mirrored requests and
    canaries.
    """
    if config.shadow is None:
        yield None
        return
    check(config)
    with tempfile.TemporaryDirectory(prefix="yardstick-") as folder:  # nobody else's to enter
        beside = Beside(Path(folder) / "tap", secrets.token_bytes(32))
        # A session of its own: Ctrl-C is for the gateway, which goes on for as long as it drains.
        process = subprocess.Popen(
            [sys.executable, "-m", "gateway.shadow.live.keeper"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        assert process.stdin is not None
        try:
            process.stdin.write(_what_it_needs(config, port, beside))
            process.stdin.flush()
            yield beside
        finally:
            process.stdin.close()
            try:
                process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _what_it_needs(config: Config, port: int, beside: Beside) -> bytes:
    """One line. The keys of endpoints are masked in it: it asks them nothing."""
    document = {
        "config": config.model_dump(mode="json"),
        "address": f"http://{_reachable(config.host)}:{port}",
        "socket": str(beside.socket),
        "secret": beside.secret.hex(),
    }
    return json.dumps(document).encode() + b"\n"


def _reachable(host: str) -> str:
    if host in ("", "0.0.0.0", "::"):
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host
