"""What runs against real vLLM: only where it is asked for, with ``-m vllm``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .servers import VllmServers, vllm_servers

_HERE = Path(__file__).parent
_SECONDS = 1800  # for one test, with the start of its servers, beside much else


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Marks what is in this folder, and leaves it out unless it is asked for."""
    here = [item for item in items if item.path.is_relative_to(_HERE)]
    for item in here:
        item.add_marker(pytest.mark.vllm)
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(_SECONDS))
    if config.option.markexpr:
        return
    config.hook.pytest_deselected(items=here)
    items[:] = [item for item in items if item not in here]


@pytest.fixture(scope="session")
def start_vllm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VllmServers]:
    """``start_vllm(model, *flags)``: a model server that answers, or a skip where vLLM is not installed."""
    with vllm_servers(tmp_path_factory.mktemp("vllm")) as servers:
        yield servers
