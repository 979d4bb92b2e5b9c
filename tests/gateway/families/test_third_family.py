"""A third family is one new file: CONTRIBUTING's example, put into a copy of the package, serves chats and gaps."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import sys
from pathlib import Path

import gateway
import routing
from tests.conftest import StartFake
from tests.fakes.client import Client, post
from tests.fakes.server import FakeServer

NAME = "acme-coder-3b"
ROOT = Path(__file__).parents[3]


def example() -> str:
    section = (ROOT / "CONTRIBUTING.md").read_text().split("## A third family\n")[1].split("\n## ")[0]
    found = re.search(r"```python\n(.*?)```", section, re.DOTALL)
    assert found, "the section shows a whole file"
    return found[1]


def copied(folder: Path) -> Path:
    """The packages in a folder of their own, with the example as the only file more."""
    for package in (gateway, routing):
        source = Path(package.__file__ or "").parent
        shutil.copytree(source, folder / source.name, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "gateway" / "families" / "acme.py").write_text(example())
    return folder


async def listens(port: int, process: asyncio.subprocess.Process) -> None:
    """Waits until something answers on the port."""
    async with asyncio.timeout(30):
        while process.returncode is None:
            try:
                async with Client(port):
                    return
            except ConnectionError:
                await asyncio.sleep(0)
    raise AssertionError(f"the gateway ended with {process.returncode}")


async def test_the_example_is_a_family(fakes: StartFake, tmp_path: Path, unused_tcp_port_factory) -> None:
    fake: FakeServer = await fakes(name=NAME)
    port = unused_tcp_port_factory()
    command = [sys.executable, "-m", "gateway", "serve", "--endpoint", f"{NAME}={fake.url}", "--port", str(port)]
    process = await asyncio.create_subprocess_exec(*command, cwd=copied(tmp_path), stdout=asyncio.subprocess.DEVNULL)
    try:
        await listens(port, process)
        async with Client(port) as client:
            messages = [{"role": "user", "content": "hello"}]
            chat = await client.ask(
                post("/v1/chat/completions", json.dumps({"model": "auto", "messages": messages}).encode())
            )
            files = [{"path": "a.py", "content": "x"}]
            gap = {"model": NAME, "prompt": "P", "suffix": "S", "stop": "\n", "reference_files": files}
            filled = await client.ask(post("/v1/completions", json.dumps(gap).encode()))
            wrong = await client.ask(post("/v1/completions", json.dumps({**gap, "suffix": "<mid>"}).encode()))
        assert (chat.status, filled.status, wrong.status) == (200, 200, 400)
        assert chat.header(b"x-yardstick-model") == NAME.encode()
        first, second = (json.loads(seen.body) for seen in fake.requests)
        assert first == {"model": NAME, "messages": messages, "temperature": 0.2}
        assert second == {
            "model": NAME,
            "prompt": "<file>a.py\nx\n<pre>P<suf>S<mid>",
            "temperature": 0.2,
            "stop": ["\n"],
            "stop_token_ids": [0, 1, 2, 3, 4],
            "skip_special_tokens": False,
            "spaces_between_special_tokens": False,
        }
    finally:
        process.terminate()
        await process.wait()
