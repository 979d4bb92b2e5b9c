from __future__ import annotations

from tests.gateway.shadow.store.conftest import opened, postgres, sqlite_url, store, time, url

__all__ = ["opened", "postgres", "sqlite_url", "store", "time", "url"]
