"""Policy tests of the rendered manifests: where they are asked for, with ``-m manifests``, as `make manifests` does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.deploy.manifests import tools
from tests.deploy.manifests.objects import Manifests

_HERE = Path(__file__).parent


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    here = [item for item in items if item.path.is_relative_to(_HERE)]
    for item in here:
        item.add_marker(pytest.mark.manifests)
    if config.option.markexpr:
        return
    config.hook.pytest_deselected(items=here)
    items[:] = [item for item in items if item not in here]


@pytest.fixture(params=tools.OVERLAYS)
def manifests(request: pytest.FixtureRequest) -> Manifests:
    """Of each overlay."""
    return _rendered(request.param)


@pytest.fixture
def production() -> Manifests:
    return _rendered("production")


@pytest.fixture
def small() -> Manifests:
    return _rendered("small")


@pytest.fixture(scope="session")
def invalid() -> Callable[..., list[str]]:
    """`tools.invalid`; a skip where its tools are not installed."""
    try:
        tools.installed("python")
    except tools.Missing as error:
        pytest.skip(str(error))
    return tools.invalid


def _rendered(overlay: str) -> Manifests:
    try:
        return Manifests(overlay, tools.rendered(overlay))
    except tools.Missing as error:
        pytest.skip(str(error))
