from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.shadow.store import Store, open_store
from tests.gateway.shadow.store.evidence import Time


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def store(tmp_path: Path, time: Time) -> Iterator[Store]:
    with open_store(f"sqlite:///{tmp_path}/store.db", clock=time) as opened:
        yield opened
