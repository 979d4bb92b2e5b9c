import json
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

RETRIED = {429, 500, 502, 503, 504}


def fetch_json(url: str) -> Any:
    with urlopen(url, timeout=10) as response:
        return json.load(response)


def get_with_retries(
    url: str,
    fetch: Callable[[str], Any] = fetch_json,
    attempts: int = 4,
    pause: float = 0.5,
    sleep: Callable[[float], None] = time.sleep,
) -> Any:
    """Fetch `url`, trying again after connection errors and after statuses that may pass."""
    for attempt in range(1, attempts + 1):
        try:
            return fetch(url)
        except (HTTPError, URLError) as error:
            final = isinstance(error, HTTPError) and error.code not in RETRIED
            if final or attempt == attempts:
                raise
            sleep(pause * 2 ** (attempt - 1))
    raise ValueError("attempts must be at least 1")


def iter_items(first_url: str, fetch: Callable[[str], Any] = fetch_json) -> Iterator[Any]:
    """Yield every item of a paginated API whose pages look like {"items": [...], "next": url or null}."""
    url: str | None = first_url
    while url:
        page = get_with_retries(url, fetch)
        yield from page["items"]
        url = page.get("next")
