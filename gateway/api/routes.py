"""The small routes: what models there are, what would be decided, health, metrics, and the API's description."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, NoReturn

import swagger_ui_bundle
from litestar import Litestar, MediaType, Request, Response, get, post
from litestar.exceptions import HTTPException
from litestar.openapi.config import OpenAPIConfig
from litestar.params import FromPath, FromQuery
from litestar.static_files import create_static_files_router
from litestar.types import ControllerRouterHandler, ExceptionHandlersMap
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from gateway import wire
from gateway.api.describe import PAGE, describe
from gateway.body import Body
from gateway.decide import AUTO
from gateway.errors import ApiError, bad_request
from gateway.fim import counted_fields, read_infill
from gateway.generation import Generation
from gateway.pools import Pool
from gateway.request import Request as ModelRequest
from gateway.request import Route
from routing.length import Count

_NO_LIMIT = 1 << 40
AnyRequest = Request[Any, Any, Any]
Current = Callable[[], Generation]


def build(
    current: Current, draining: Callable[[], bool], metrics: Callable[[], bytes], version: str, **litestar: Any
) -> Litestar:
    """The application of all routes that are not relayed. A request is answered by the generation that is current."""
    created = int(time.time())  # noqa: TID251 - OpenAI's clients want to know when a model was made available
    routes = [
        *_models(current, created),
        *_decisions(current),
        *_health(current, draining),
        *_metrics(metrics),
    ]
    assets = create_static_files_router(
        path="/docs/assets", directories=[Path(swagger_ui_bundle.swagger_ui_path)], include_in_schema=False
    )
    return Litestar(
        route_handlers=[*routes, _document, _page, assets],
        openapi_config=OpenAPIConfig(title="Yardstick", version=version, path="/litestar-schema", render_plugins=[]),
        exception_handlers=_ERROR_HANDLERS,
        logging_config=None,
        **litestar,
    )


def _models(current: Current, created: int) -> list[ControllerRouterHandler]:
    def card(name: str, pool: Pool, alias_of: str | None = None) -> wire.ModelCard:
        owner = pool.model.family if alias_of is None else "yardstick"
        return wire.ModelCard(
            id=name, created=created, owned_by=owner, max_model_len=pool.window, up=pool.up, alias_of=alias_of
        )

    def cards() -> dict[str, wire.ModelCard]:
        generation = current()
        config, pools = generation.config, generation.pools
        long = pools[config.routing.long]
        found = {AUTO: card(AUTO, long, f"{config.routing.short} or {config.routing.long}, by prompt length")}
        found.update((name, card(name, pool)) for name, pool in pools.items())
        for alias, target in config.aliases.items():
            found[alias] = card(alias, long if target == AUTO else pools[target], target)
        return found

    @get("/v1/models", summary="The models, `auto` and the aliases")
    async def list_models() -> wire.ModelList:
        return wire.ModelList(data=list(cards().values()))

    @get("/v1/models/{name:path}", summary="One model")
    async def show_model(name: FromPath[str]) -> wire.ModelCard:
        found = cards().get(name.removeprefix("/"))
        if found is None:
            raise decider_404(name.removeprefix("/"), cards())
        return found

    return [list_models, show_model]


def decider_404(name: str, known: Mapping[str, object]) -> ApiError:
    return ApiError(
        404, f"The model {name!r} does not exist here. There are: {', '.join(known)}.", code="model_not_found"
    )


def _decisions(current: Current) -> list[ControllerRouterHandler]:
    @post("/v1/route", status_code=200, summary="What would answer this request, and why; no model is called")
    async def route(request: AnyRequest) -> wire.Routed:
        return await decide_only(await request.body(), current())

    @post("/tokenize", status_code=200, summary="Count a prompt with the gateway's own tokenizer and template")
    async def tokenize(request: AnyRequest) -> wire.TokenizeAnswer:
        return await count_only(await request.body(), current())

    return [route, tokenize]


async def decide_only(data: bytes, generation: Generation) -> wire.Routed:
    """The decision for a chat or completion request's body. Raises what serving it would raise."""
    kind = Route.COMPLETIONS if "messages" not in Body(data) else Route.CHAT
    request = ModelRequest(kind, data, operator_fields=generation.config.operator_fields)
    decision = await generation.decider.decide(request)
    pool, routing = generation.pools[decision.model], generation.config.routing
    return wire.Routed(
        model=decision.model,
        reason=decision.reason,
        prompt_tokens=decision.tokens,
        counted=decision.method,
        output_tokens=routing.reserve_output if request.output is None else request.output,
        threshold=routing.threshold,
        window=pool.window,
        endpoints_up=[endpoint.address for endpoint in pool.endpoints if endpoint.up],
    )


async def count_only(data: bytes, generation: Generation) -> wire.TokenizeAnswer:
    config, pools = generation.config, generation.pools
    body = Body(data)
    name = body.get("model", AUTO)
    if not isinstance(name, str):
        raise bad_request("'model' must be a string.", param="model", code="invalid_type")
    name = config.aliases.get(name, name)
    pool = pools.get(config.routing.short if name == AUTO else name)
    if pool is None:
        raise decider_404(name, pools)
    field = "messages" if "messages" in body else "prompt"
    if field not in body:
        raise bad_request("'prompt' or 'messages' is required.", param="prompt", code="missing_field")
    route = Route.CHAT if field == "messages" else Route.COMPLETIONS
    fields: Mapping[str, Any] = body.raws
    if route is Route.COMPLETIONS and (infill := read_infill(body)) is not None:
        if pool.model.fim is None:
            raise bad_request(f"{pool.name} can't fill in the middle: it takes no 'suffix'.", param="model")
        fields = counted_fields(infill, pool.model)
    elif route is Route.CHAT and pool.model.chat_template is None:
        raise bad_request(f"{pool.name} does not chat: give a 'prompt' instead of 'messages'.", param="model")
    counted = await pool.tokens.count(route.value, fields, Count(pool.name, _NO_LIMIT))
    return wire.TokenizeAnswer(
        count=counted.tokens, max_model_len=pool.window, model=pool.name, estimated=not counted.complete
    )


def _health(current: Current, draining: Callable[[], bool]) -> list[ControllerRouterHandler]:
    @get("/health/live", summary="The process answers")
    async def live() -> wire.Health:
        return wire.Health(status="live")

    @get("/health/ready", summary="Every pool (?pools=any: at least one) has an endpoint that is up")
    async def ready(pools: FromQuery[Literal["all", "any"]] = "all") -> wire.Health:
        if draining():
            raise ApiError(503, "The gateway is shutting down.", code="draining", retry_after=1)
        known = current().pools
        down = [name for name, pool in known.items() if not pool.up]
        if len(down) == len(known) or (down and pools == "all"):
            raise ApiError(503, f"No endpoint is up for: {', '.join(down)}.", code="not_ready", retry_after=1)
        return wire.Health(status="ready")

    return [live, ready]


def _metrics(expose: Callable[[], bytes]) -> list[ControllerRouterHandler]:
    @get("/metrics", media_type=CONTENT_TYPE_LATEST, summary="Prometheus metrics")
    async def metrics() -> bytes:
        return expose()

    return [metrics]


@get("/openapi.json", include_in_schema=False)
async def _document(request: AnyRequest) -> dict[str, Any]:
    return describe(request.app.openapi_schema.to_schema())


@get(["/docs", "/"], media_type=MediaType.HTML, include_in_schema=False)
async def _page() -> str:
    return PAGE


def _render(error: ApiError) -> Response[bytes]:
    headers = {name.decode(): value.decode() for name, value in error.headers()}
    return Response(error.body(), status_code=error.status, headers=headers, media_type=MediaType.JSON)


def _api_error(_: AnyRequest, error: ApiError) -> Response[bytes]:
    return _render(error)


_BEHIND_V1 = ("/chat/completions", "/completions", "/models")


def _http_error(request: AnyRequest, error: HTTPException) -> Response[bytes]:
    """litestar's own errors in OpenAI's shape."""
    if error.status_code >= 500:
        _fault(request, error)
    path = request.url.path
    allow = (error.headers or {}).get("allow") or (error.headers or {}).get("Allow")
    if error.status_code == 404:
        message = f"There is no route {request.method} {path}; GET /docs lists them."
        if path.endswith(_BEHIND_V1):
            message += " A client's base URL ends in /v1, once."
        return _render(ApiError(404, message, code="not_found"))
    if error.status_code == 405:
        return _render(ApiError(405, f"{path} does not take {request.method}.", code="method_not_allowed", allow=allow))
    return _render(ApiError(error.status_code, str(error.detail), code="invalid_request"))


def _fault(_: AnyRequest, error: Exception) -> NoReturn:
    """Our own mistake: `Gateway` logs it, and answers."""
    raise error


_ERROR_HANDLERS: ExceptionHandlersMap = {ApiError: _api_error, HTTPException: _http_error, Exception: _fault}
