"""The small routes, the keys, and the API's description."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.keys import key_line, new_key
from tests.conftest import StartFake, StartGateway
from tests.fakes.client import chat, get, post

CHAT = "/v1/chat/completions"


@pytest.mark.parametrize(
    "path",
    ["/v1/models", "/%76%31/models", "//v1/models", "/v1//models", "/v1/models/", "/v1/models/auto", "/%2Fv1/models"],
)
async def test_no_spelling_of_a_path_gets_around_the_key(
    path: str, tmp_path: Path, fakes: StartFake, serving: StartGateway
) -> None:
    key = new_key()
    (tmp_path / "keys").write_text(key_line("me", key))
    gateway = await serving([await fakes()], api_key_file=str(tmp_path / "keys"))
    found = await gateway.ask(get(path))
    assert found.status == 401
    assert found.error["type"] == "authentication_error"
    assert (await gateway.ask(get("/v1/models", [("authorization", f"Bearer {key}")]))).status == 200


async def test_the_key_is_asked_for_where_it_matters_and_shown_nowhere(
    tmp_path: Path, fakes: StartFake, serving: StartGateway
) -> None:
    key = new_key()
    (tmp_path / "keys").write_text(key_line("me", key))
    fake = await fakes()
    gateway = await serving([fake], api_key_file=str(tmp_path / "keys"))
    for path in (CHAT, "/v1/completions", "/v1/route", "/tokenize", "/tokenize/", "/%74okenize"):
        assert (await gateway.ask(post(path, chat()))).status == 401
        assert (await gateway.ask(post(path, chat(), [("authorization", "Bearer wrong-secret")]))).status == 401
    for path in ("/health/live", "/metrics", "/docs", "/openapi.json", "/"):
        assert (await gateway.ask(get(path))).status == 200
    assert (await gateway.ask(get("/nope"))).status == 404
    found = await gateway.ask(post(CHAT, chat(content="planted-prompt"), [("authorization", f"Bearer {key}")]))
    assert found.status == 200
    text = b"\n".join(await gateway.log_lines()) + (await gateway.ask(get("/metrics"))).body
    assert b'"key":"me"' in text
    for secret in (key.encode(), b"wrong-secret", b"planted-prompt", b"def f()"):
        assert secret not in text


async def test_the_description_has_every_route_and_needs_no_internet(fakes: StartFake, serving: StartGateway) -> None:
    gateway = await serving([await fakes()])
    document = (await gateway.ask(get("/openapi.json"))).json
    assert {CHAT, "/v1/completions", "/v1/models", "/v1/models/{name}", "/v1/route", "/tokenize"} <= set(
        document["paths"]
    )
    assert {"/health/live", "/health/ready", "/metrics"} <= set(document["paths"])
    for path in (CHAT, "/v1/completions"):
        schema = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
        assert schema["$ref"].rpartition("/")[2] in document["components"]["schemas"]
    page = (await gateway.ask(get("/docs"))).body
    assert b"http:" not in page
    assert b"https:" not in page
    for asset in ("swagger-ui.css", "swagger-ui-bundle.js"):
        assert asset.encode() in page
        assert len((await gateway.ask(get(f"/docs/assets/{asset}"))).body) > 10_000
