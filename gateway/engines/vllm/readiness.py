"""Whether a vLLM server answers, and what it says that it serves."""

from __future__ import annotations

from gateway.clock import Clock
from gateway.config import TimeoutSettings
from gateway.discovery import choose_served
from gateway.engines.vllm.command import API_KEY, Launch
from gateway.engines.vllm.options import server_environment
from gateway.upstream import Endpoint, Upstream
from gateway.upstream_connection import Broken, Unsent

_REACHED_AT = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # a server that listens everywhere


class Door:
    """Where one server is asked."""

    def __init__(self, launch: Launch) -> None:
        self._model = launch.model
        self._endpoint = Endpoint(reached_at(launch), launch.port, api_key=server_environment(launch, API_KEY) or "")
        self._upstream = Upstream(Clock(), TimeoutSettings())

    async def is_healthy(self, seconds: float) -> bool:
        """False too if it does not answer in time: its engine is dead, or it hangs."""
        try:
            status, _ = await self._upstream.fetch(self._endpoint, "GET", "/health", seconds=seconds)
        except (Unsent, Broken, TimeoutError):
            return False
        return status == 200

    async def window(self, seconds: float) -> int | None:
        """The window that it reports for the model. Raises Broken, for another model too, Unsent and TimeoutError."""
        status, body = await self._upstream.fetch(self._endpoint, "GET", "/v1/models", seconds=seconds)
        if status != 200:
            raise Broken(f"GET /v1/models answered {status}")
        try:
            return choose_served(body, self._model, self._model)[1]
        except Broken:
            raise Broken(f"GET /v1/models does not name {self._model}") from None


def reached_at(launch: Launch) -> str:
    return _REACHED_AT.get(launch.host, launch.host)


def address(launch: Launch) -> str:
    host = reached_at(launch)
    return f"http://[{host}]:{launch.port}" if ":" in host else f"http://{host}:{launch.port}"
