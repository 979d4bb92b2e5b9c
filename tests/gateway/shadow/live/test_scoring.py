"""Where nothing can be scored, the report says since when, and for as long as that lasts."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.config import cache_dir
from gateway.config_shadow import ShadowSettings
from gateway.shadow.live.process import wall
from gateway.shadow.live.scoring import Scorers
from gateway.shadow.store import Store
from gateway.shadow.suites.load import load
from tests.fakes.client import until
from tests.gateway.shadow.store.conftest import opened, sqlite_url, store
from tests.gateway.shadow.store.evidence import Time
from tests.gateway.shadow.walls import need_any

__all__ = ["opened", "sqlite_url", "store"]


@pytest.fixture
def time() -> Time:
    """Now, which is also what scorers go by: the store deletes what is too old."""
    return Time(wall())


@pytest.fixture
def url(sqlite_url: str) -> str:
    return sqlite_url


@contextlib.asynccontextmanager
async def scoring(store: Store, told: list[str]) -> AsyncIterator[None]:
    scorers = Scorers(store, [load("five")], ShadowSettings(), "gateway", told.append, None, again=0.01)
    running = asyncio.create_task(scorers.run())
    try:
        yield
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


async def test_a_gap_lasts_until_scoring_works(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here it is the environment to score in that can't be made, as a file is where its folder should be."""
    need_any()
    cache, told, usual = tmp_path / "cache", list[str](), cache_dir().parent
    usual.mkdir(parents=True, exist_ok=True)
    cache.touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    async with scoring(store, told):
        await until(lambda: len(told) > 3)
        assert all(line.startswith("nothing is scored: ") for line in told)
        (gap,) = store.evidence.gaps()
        assert (gap.source, gap.until) == ("gateway", None)
        cache.unlink()
        cache.symlink_to(usual)  # where it is noted that the sandbox holds, so that it need not be tried again
        await until(lambda: any(line.startswith("scoring at level") for line in told), 120)
        (gap,) = store.evidence.gaps()
        assert gap.until is not None
    assert store.evidence.gaps() == (gap,)


async def test_who_leaves_ends_the_gap(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is missing after that is not for this process to say."""
    told = list[str]()
    (tmp_path / "cache").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    async with scoring(store, told):
        await until(lambda: told)
    (gap,) = store.evidence.gaps()
    assert gap.until is not None
