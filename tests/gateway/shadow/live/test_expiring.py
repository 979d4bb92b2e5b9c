"""What is too old goes, also where nobody scores."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import text

from gateway.shadow.live.expiring import EVERY, expire
from gateway.shadow.store import Retention, open_store
from gateway.shadow.store.database import Database
from tests.conftest import StartFake
from tests.fakes.process import serve_process
from tests.gateway.shadow.live.test_beside import SHORT, Beside, right_or_wrong
from tests.gateway.shadow.store.evidence import NOON, Time, a_sample, both

DAY = 86_400.0


class Slept(Exception):
    """Often enough."""


async def test_it_deletes_at_once_and_then_every_hour(tmp_path: Path) -> None:
    time, left, waits = Time(), list[int](), list[float]()
    with open_store(f"sqlite:///{tmp_path}/store.db", keep=Retention(samples=1), clock=time) as store:
        for hours in (-30, 0, 20):
            store.add(a_sample(hours, at=NOON + hours * 3_600), *both(a_sample(hours, at=NOON + hours * 3_600)))

        async def sleep(seconds: float) -> None:
            waits.append(seconds)
            left.append(len(list(store.evidence.samples())))
            if len(left) == 3:
                raise Slept
            time.now += 25 * 3_600

        with pytest.raises(Slept):
            await expire(store, sleep)
    assert left == [2, 1, 0]
    assert waits == [EVERY] * 3


async def test_a_store_that_is_away_is_asked_again_soon(tmp_path: Path) -> None:
    url, waits = f"sqlite:///{tmp_path}/store.db", list[float]()
    with open_store(url, clock=Time()) as store:
        rename(url, "samples", "away")

        async def sleep(seconds: float) -> None:
            waits.append(seconds)
            if len(waits) == 2:
                raise Slept
            rename(url, "away", "samples")

        with pytest.raises(Slept):
            await expire(store, sleep)
    assert waits[0] < waits[1] == EVERY


def rename(url: str, table: str, to: str) -> None:
    database = Database(url)
    with database.writing() as connection:
        connection.execute(text(f"ALTER TABLE {table} RENAME TO {to}"))
    database.close()


@pytest.mark.timeout(120)
async def test_nothing_is_kept_too_long_without_any_scorer(fakes: StartFake, tmp_path: Path) -> None:
    beside = Beside(tmp_path)
    short = await fakes(script=right_or_wrong)
    with open_store(f"sqlite:///{beside.store}", clock=Time()) as store:
        store.add(a_sample(1, at=NOON - 60_000 * DAY), *both(a_sample(1, at=NOON - 60_000 * DAY)))
    config = beside.write({SHORT: [short.url]}, scorers=0)
    async with serve_process(config, environment=beside.environment):
        await beside.drawn(lambda drawn: not drawn)
