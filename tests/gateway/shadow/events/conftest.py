from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.shadow.store import Retention, Store, open_store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(f"sqlite:///{tmp_path}/store.db", keep=Retention(prompts=True)) as opened:
        yield opened
