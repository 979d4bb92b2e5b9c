"""Servers, clocks and a tokenizer for the tests of the engines."""

from __future__ import annotations

import asyncio
import heapq
import sysconfig
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from gateway.families import MODELS

from .contract import Server
from .sides import ENGINES, Engine, engine_of, gateway_before, simulated_servers

_VLLM_SECONDS = 1800  # for one test on vLLM, with the start of its servers, beside much else


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "direct_only(reason): about the model server alone, not through the gateway")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """vLLM's part is marked, and left out unless it is asked for (``-m vllm``); `direct_only` keeps the gateway out."""
    left_out = []
    for item in items:
        chosen = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
        if str(chosen.get("engine", "")).startswith("vllm"):
            item.add_marker(pytest.mark.vllm)
            item.add_marker(pytest.mark.timeout(_VLLM_SECONDS))
            if not config.option.markexpr:
                left_out.append(item)
                continue
        if chosen.get("way") == "gateway" and item.get_closest_marker("direct_only"):
            left_out.append(item)
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        gone = set(left_out)
        items[:] = [item for item in items if item not in gone]


@pytest.fixture(scope="session")
def tokenizer_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small byte-level BPE with the special tokens of every model that is served."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = list(dict.fromkeys(token for model in MODELS.values() for token in model.special_tokens))
    trainer = trainers.BpeTrainer(
        vocab_size=1500,
        special_tokens=special,
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    library = Path(sysconfig.get_paths()["stdlib"])
    tokenizer.train([str(path) for path in sorted(library.glob("*.py"))[:12]], trainer)
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    tokenizer.save(str(path))
    return path


@pytest.fixture(scope="session")
def start_server(tokenizer_file: Path) -> Iterator[Callable[..., Server]]:
    """Starts simulated servers on free ports: ``start_server(**settings)``."""
    with simulated_servers(tokenizer_file) as start:
        yield start


@pytest.fixture(scope="session", params=list(ENGINES))
def engine(
    request: pytest.FixtureRequest, tokenizer_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Engine]:
    """One after the other: each ends before the next one starts."""
    with (
        simulated_servers(tokenizer_file) as start,
        engine_of(request.param, tokenizer_file, start, tmp_path_factory.mktemp("engine")) as found,
    ):
        yield found


@pytest.fixture(scope="session", params=["direct", "gateway"])
def way(request: pytest.FixtureRequest, engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """The engine's servers, or gateways in front of them."""
    if request.param == "direct":
        yield engine
        return
    folder = tmp_path_factory.mktemp("gateway")
    with (
        gateway_before(engine.plain, engine.tokenizer, folder) as plain,
        gateway_before(engine.guarded, engine.tokenizer, folder) as guarded,
    ):
        yield Engine(engine.model, engine.tokenizer, plain, guarded)


@pytest.fixture
def server(way: Engine) -> Server:
    """With vLLM's defaults."""
    return way.plain


@pytest.fixture
def guarded(way: Engine) -> Server:
    """With a key, a tool parser, request id headers and prompt token details; one sequence runs, one may wait."""
    return way.guarded


@pytest.fixture(scope="session")
def simulated_server(start_server: Callable[..., Server]) -> Server:
    return start_server(time_scale=0.05)


@pytest.fixture(scope="session")
def keyed_server(start_server: Callable[..., Server]) -> Server:
    return start_server(time_scale=0.05, api_key="secret")


@dataclass
class ManualClock:
    """A clock that stands still until a test moves it. ``sleep`` returns when its time has come."""

    time: float = 0.0
    sleepers: list[tuple[float, int, asyncio.Future[None]]] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=count)

    def now(self) -> float:
        return self.time

    def wall(self) -> float:
        return 1_700_000_000.0 + self.time

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        await self._due(self.time + seconds)

    def call_at(self, when: float, callback: Callable[[], None]) -> asyncio.Future[None]:
        """Called by the way of the event loop, like a timer."""
        timer = self._due(when)
        timer.add_done_callback(lambda timer: None if timer.cancelled() else callback())
        return timer

    def _due(self, when: float) -> asyncio.Future[None]:
        future = asyncio.get_running_loop().create_future()
        heapq.heappush(self.sleepers, (when, next(self._numbers), future))
        return future

    async def advance(self, seconds: float) -> None:
        """Move on, waking sleepers one by one in the order of their times."""
        end = self.time + seconds
        await self.settle()
        while self.sleepers and self.sleepers[0][0] <= end + 1e-9:
            due, _, future = heapq.heappop(self.sleepers)
            self.time = max(self.time, due)
            if not future.done():
                future.set_result(None)
            await self.settle()
        self.time = end

    async def settle(self) -> None:
        """Let every task run until it waits for time or for something outside."""
        for _ in range(50):
            await asyncio.sleep(0)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()
