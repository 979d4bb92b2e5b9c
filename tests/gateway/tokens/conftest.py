"""Tokenizers to test with: one trained here, and the real ones where the data folder has them."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from gateway.tokens import Counter, demo


class Both:
    """Our counter, and the reference it must equal."""

    def __init__(self, path: Path) -> None:
        data = path.read_bytes()
        self.source = gzip.decompress(data) if path.suffix == ".gz" else data
        self.counter = Counter(self.source)
        self.reference = Tokenizer.from_buffer(self.source)

    def exact(self, text: str) -> int:
        return len(self.reference.encode_batch_fast([text], add_special_tokens=False)[0])


@pytest.fixture(scope="session")
def demo_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return demo.train(tmp_path_factory.mktemp("tokenizer") / "demo.json", corpus_bytes=1_000_000)


@pytest.fixture(scope="session")
def trained(demo_path: Path) -> Both:
    return Both(demo_path)


@pytest.fixture(scope="session", params=["demo", "glm4", "codegeex-13b"])
def both(request: pytest.FixtureRequest, trained: Both) -> Both:
    if request.param == "demo":
        return trained
    folder = os.environ.get("YARDSTICK_TEST_DATA")
    if not folder:
        pytest.skip("YARDSTICK_TEST_DATA is not set: no real tokenizer")
    return Both(Path(folder) / "tokenizers" / request.param / "tokenizer.json.gz")


@pytest.fixture(scope="session")
def workers() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool
