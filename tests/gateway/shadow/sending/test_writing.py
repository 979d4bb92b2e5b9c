from __future__ import annotations

from pathlib import Path

from sqlalchemy import text

from gateway.shadow.store import Counter, Gap, Run, Sample, Store, Total
from gateway.shadow.store.database import Database
from tests.gateway.shadow.sending.worlds import writer_of
from tests.gateway.shadow.store.evidence import NOON, Time, a_run, a_sample

DAY = "2027-01-15"


def test_in_order_with_totals(store: Store, time: Time) -> None:
    writer = writer_of(store, now=time)
    for number in range(20):
        assert writer.add(a_sample(number), a_run(a_sample(number)))
        assert writer.count(Counter.TOKENS, 5, model="m", reason="mirror")
    writer.close()
    assert len(list(store.evidence.samples())) == 20
    assert store.evidence.totals() == (Total(DAY, Counter.TOKENS, 100, "m", "mirror"),)
    assert not writer.add(a_sample(21))
    assert not writer.count(Counter.TOKENS)


def test_what_is_stored_is_told_and_nothing_before(store: Store, time: Time) -> None:
    told = list[tuple[Sample, tuple[Run, ...], int]]()

    def added(sample: Sample, runs: tuple[Run, ...]) -> None:
        told.append((sample, runs, len(list(store.evidence.samples()))))

    writer = writer_of(store, now=time, added=added)
    samples = [a_sample(number) for number in range(3)]
    for sample in samples:
        writer.add(sample, a_run(sample))
    writer.close()
    assert told == [(sample, (a_run(sample),), number + 1) for number, sample in enumerate(samples)]


def test_a_store_that_is_away_for_a_while(store: Store, tmp_path: Path, time: Time) -> None:
    database = Database(f"sqlite:///{tmp_path}/store.db")

    def rename(one: str, other: str) -> None:
        with database.writing() as connection:
            connection.execute(text(f"ALTER TABLE {one} RENAME TO {other}"))

    rename("samples", "away")
    writer = writer_of(store, now=time, most=3)
    taken = [writer.add(a_sample(number)) for number in range(3)]
    time.now += 60
    taken += [writer.add(a_sample(number)) for number in range(3, 50)]
    time.now += 60
    rename("away", "samples")
    writer.close()
    assert taken == [True] * 3 + [False] * 47  # what is held is bounded, whatever comes
    assert [drawn.sample for drawn in store.evidence.samples()] == [a_sample(number) for number in range(3)]
    assert store.evidence.totals() == (Total(DAY, Counter.DROPPED, 47, reason="store"),)
    why = "more samples came than the store took"
    assert store.evidence.gaps() == (Gap("one", NOON + 60, why, NOON + 120),)
    database.close()


def test_a_store_that_stays_away_holds_up_nobody(store: Store, tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/store.db")
    with database.writing() as connection:
        connection.execute(text("ALTER TABLE samples RENAME TO away"))
    database.close()
    writer = writer_of(store)
    writer.add(a_sample())
    writer.close()
