"""What is purged is gone, also from the files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text

from gateway.shadow.store import Counter, Gap, Purged, Retention, State, Store, Total, open_store
from gateway.shadow.store.database import Database
from tests.gateway.shadow.store.conftest import Open
from tests.gateway.shadow.store.evidence import NOON, Time, a_run, a_sample, a_score, both, stored
from tests.gateway.shadow.store.postgres import Server

DAY = 86_400


def fill(store: Store) -> None:
    """Samples of two keys, one of each a day for four days, with runs and scores; and counters and gaps."""
    for day in range(4):
        for number, key in enumerate(["a", "b"]):
            sample = a_sample(10 * day + number, at=NOON + day * DAY, key=key)
            store.add(sample, *both(sample))
            store.record(a_score(both(sample)[0]), a_score(both(sample)[0], number=1))
        store.count("s", [Total(f"2027-01-{15 + day}", Counter.SAMPLED, 1)])
        store.gap(Gap("s", NOON + day * DAY, "why", NOON + day * DAY + 1))
    store.gap(Gap("s", NOON + 2, "it lasts"))


def left(store: Store) -> list[tuple[int, str]]:
    return [(round((d.sample.at - NOON) / DAY), d.sample.key) for d in store.evidence.samples()]


def test_purging_by_time(store: Store) -> None:
    fill(store)
    assert store.purge(before=NOON + 2 * DAY) == Purged(samples=4, runs=8, scores=8, counters=2, gaps=2)
    assert sorted(left(store)) == [(2, "a"), (2, "b"), (3, "a"), (3, "b")]
    assert [total.day for total in store.evidence.totals()] == ["2027-01-17", "2027-01-18"]
    assert len(store.evidence.gaps()) == 3
    assert store.purge(before=NOON + 2 * DAY).rows == 0


def test_purging_a_key(store: Store) -> None:
    fill(store)
    assert store.purge(key="a", before=NOON + DAY) == Purged(samples=1, runs=2, scores=2)
    assert store.purge(key="a") == Purged(samples=3, runs=6, scores=6)
    assert {key for _, key in left(store)} == {"b"}
    assert store.purge(key="a").rows == 0


def test_purging_everything(store: Store) -> None:
    fill(store)
    control = a_sample(99, control=True, between=(both(a_sample())[0].served, both(a_sample())[1].served))
    store.add(control)
    assert store.purge(everything=True) == Purged(samples=9, runs=16, scores=16, counters=4, gaps=5)
    assert left(store) == []
    assert store.evidence.totals() == ()
    fill(store)
    assert len(left(store)) == 8


def test_nothing_is_purged_by_mistake(store: Store) -> None:
    for wanted in ({}, {"everything": True, "key": "a"}, {"everything": True, "before": NOON}):
        with pytest.raises(ValueError, match="say what to purge"):
            store.purge(**wanted)


def test_what_is_old_expires(opened: Open, time: Time) -> None:
    store = opened(samples=2, answers=1)
    fill(store)
    time.now = NOON + 3 * DAY + 1
    assert store.expire() == Purged(samples=4, runs=8, scores=8, counters=1, gaps=1)
    answers = {
        (round((drawn.sample.at - NOON) / DAY), scored.run.state.value): scored.run.answer is not None
        for drawn in store.evidence.samples(answers=True)
        for scored in drawn.runs
    }
    assert answers == {(2, "scored"): False, (2, "waiting"): True, (3, "scored"): True, (3, "waiting"): True}
    assert opened().expire().rows == 0


def test_what_stays_open_is_given_up(opened: Open, time: Time) -> None:
    store = opened(unscored=2)
    samples = [a_sample(number) for number in range(3)]
    store.add(samples[0], *both(samples[0], state=State.ASKED))
    for sample in samples[1:]:
        store.add(sample, *both(sample))
    store.claim("w", seconds=60)
    time.now = NOON + 3_601
    store.expire()
    assert store.backlog() == {State.ASKED: 0, State.WAITING: 3, State.LEASED: 1}
    time.now = NOON + 2 + 2 * DAY
    store.expire()
    assert store.backlog() == {State.ASKED: 0, State.WAITING: 2, State.LEASED: 0}
    assert sum(run.answer is not None for run, _, _ in stored(store)) == 2


def test_a_score_for_what_was_purged_is_none(store: Store) -> None:
    sample = a_sample()
    store.add(sample, a_run(sample))
    (claim,) = store.claim("w", seconds=60)
    store.purge(everything=True)
    assert store.record(a_score(claim.run)) == 0
    assert not store.renew(claim, seconds=60)


def in_files(folder: Path, words: bytes) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.is_file() and words in path.read_bytes()]


def test_nothing_of_it_is_left_in_sqlites_files(tmp_path: Path, sqlite_url: str, time: Time) -> None:
    with open_store(sqlite_url, clock=time, keep=Retention(prompts=True)) as store:
        for number in range(20):
            sample = a_sample(number, key="a" if number % 2 else "b", request_id="marker-id", prompt="marker-prompt")
            store.add(sample, a_run(sample, answer="marker-answer " * (1 if number < 10 else 1000)))
            if number == 5:
                store.record(a_score(a_run(sample)))
        assert in_files(tmp_path, b"marker-")
        assert store.purge(key="a").samples == 10
        sample = a_sample(0)
        assert [drawn.sample.key for drawn in store.evidence.samples()] == ["b"] * 10
        assert store.purge(key="b").samples == 10
        assert in_files(tmp_path, b"marker-") == []


def test_nothing_of_it_is_left_in_postgresqls_tables(postgres: Server) -> None:
    url = postgres.empty_database()
    with open_store(url, keep=Retention(prompts=True)) as store:
        for number in range(20):
            sample = a_sample(number, key="a", request_id="marker-id", prompt="marker-prompt")
            store.add(sample, a_run(sample, answer="marker-answer"))
        store.add(replace(a_sample(99), key="b"))
        database = Database(url)
        with database.writing() as connection:
            connection.execute(text("ANALYZE"))
        checkpoint(database)
        assert in_files(postgres.data / "base", b"marker-")
        assert store.purge(key="a").samples == 20
        checkpoint(database)
        database.close()
        assert in_files(postgres.data / "base", b"marker-") == []
        assert [drawn.sample.key for drawn in store.evidence.samples()] == ["b"]


def checkpoint(database: Database) -> None:
    with database.writing() as connection:
        connection.execute(text("CHECKPOINT"))
