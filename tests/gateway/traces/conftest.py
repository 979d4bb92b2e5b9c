from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches are sent at once, nearly."""
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
