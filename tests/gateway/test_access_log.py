"""`access_log: false` is about requests: what goes wrong in the gateway itself is written down all the same."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from tests.conftest import StartFake
from tests.fakes.client import chat, post
from tests.fakes.gateway import SHORT
from tests.fakes.process import serve_process, write_config

CHAT = "/v1/chat/completions"
_FAULT = """\
from gateway.pools import Pool

def fail(*given, **named):
    raise ValueError("planted")

Pool.pick = fail
"""
"""Python runs a `sitecustomize` at its start: a mistake in a gateway that is otherwise as users start it."""


@pytest.mark.parametrize(("access_log", "workers"), [(True, 1), (False, 1), (False, 2)])
async def test_faults_are_logged_whether_requests_are_or_not(
    fakes: StartFake, tmp_path: Path, access_log: bool, workers: int
) -> None:
    (tmp_path / "sitecustomize.py").write_text(_FAULT)
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    fake = await fakes()
    urls, log = {SHORT: [fake.url]}, tmp_path / "log"
    routing = {"short": SHORT, "long": SHORT}
    config = write_config(tmp_path / "y.yaml", urls, routing=routing, access_log=access_log, workers=workers)
    async with serve_process(config, environment={"PYTHONPATH": path}, log=log) as gateway:
        found = await gateway.ask(post(CHAT, chat()))
        assert found.status == 500
        request_id = (found.header(b"x-request-id") or b"").decode()
        gateway.signal(signal.SIGTERM)
        assert await gateway.ended() == 0
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(line["fault"], line["request_id"]) for line in lines if "fault" in line] == [("ValueError", request_id)]
    of_requests = [(line["request_id"], line["outcome"]) for line in lines if "fault" not in line]
    assert of_requests == [(request_id, "gateway_error")] * access_log
