"""The routes that generate nothing."""

from __future__ import annotations

from gateway.engines.simulated.http import Call
from gateway.engines.simulated.service import VERSION, Service
from gateway.engines.simulated.validation import decode, read
from gateway.engines.simulated.wire import DetokenizeRequest, TokenizeChatRequest, read_tokenize


async def health(service: Service, call: Call) -> None:
    await call.answer(200, b"", [])


async def version(service: Service, call: Call) -> None:
    await call.json({"version": VERSION})


async def load(service: Service, call: Call) -> None:
    """Requests in flight, as with vLLM's --enable-server-load-tracking."""
    await call.json({"server_load": service.engine.in_flight})


async def metrics(service: Service, call: Call) -> None:
    content_type = (b"content-type", b"text/plain; version=0.0.4; charset=utf-8")
    await call.answer(200, service.engine.metrics.exposition(), [content_type])


async def models(service: Service, call: Call) -> None:
    created = int(service.engine.clock.wall())
    permission = {
        "id": f"modelperm-{service.new_id()}",
        "object": "model_permission",
        "created": created,
        "allow_create_engine": False,
        "allow_sampling": True,
        "allow_logprobs": True,
        "allow_search_indices": False,
        "allow_view": True,
        "allow_fine_tuning": False,
        "organization": "*",
        "group": None,
        "is_blocking": False,
    }
    model = {
        "id": service.model,
        "object": "model",
        "created": created,
        "owned_by": "vllm",
        "root": f"simulated/{service.model}",  # the one place where the API says what it is
        "parent": None,
        "max_model_len": service.settings.window,
        "permission": [permission],
    }
    await call.json({"object": "list", "data": [model]})


async def tokenize(service: Service, call: Call) -> None:
    data = decode(call.body)
    request = read_tokenize(data)
    service.check_model(request.model)
    if isinstance(request, TokenizeChatRequest):
        text = service.render({**data, "tools": data.get("tools") or None})  # no tools are as good as none here
    else:
        text = request.prompt
    encoding = await service.tokens.encode(text, special=request.add_special_tokens)
    body = {"count": len(encoding), "max_model_len": service.settings.window, "tokens": encoding.ids}
    await call.json({**body, "token_strs": service.tokens.names(encoding.ids) if request.return_token_strs else None})


async def detokenize(service: Service, call: Call) -> None:
    request = read(DetokenizeRequest, decode(call.body))
    service.check_model(request.model)
    await call.json({"prompt": service.tokens.decode(request.tokens)})
