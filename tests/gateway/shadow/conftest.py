"""What needs the benchmark's libraries: only where it is asked for, with ``-m scoring``."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.shadow.environment import Environment, EnvironmentMissing, find


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves tests marked ``scoring`` out unless they are asked for."""
    if config.option.markexpr:
        return
    left_out = [item for item in items if item.get_closest_marker("scoring")]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="session")
def scoring_environment() -> Environment:
    """The one in YARDSTICK_SCORING, or where `yardstick shadow setup` puts it; a skip where there is none."""
    folder = os.environ.get("YARDSTICK_SCORING")
    try:
        return find(Path(folder) if folder else None)
    except EnvironmentMissing as error:
        pytest.skip(str(error))
