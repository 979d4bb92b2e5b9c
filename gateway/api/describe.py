"""The OpenAPI document: litestar's own for the small routes, and the relayed routes from their wire types."""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import models_json_schema

from gateway import wire

_RELAYED: dict[str, tuple[str, str, type[wire.Wire], type[wire.Wire]]] = {
    "/v1/chat/completions": (
        "Answer a conversation",
        "createChatCompletion",
        wire.ChatCompletionRequest,
        wire.ChatCompletion,
    ),
    "/v1/completions": ("Complete a prompt", "createCompletion", wire.CompletionRequest, wire.Completion),
}
_ERRORS = {
    "400": "The request is wrong, or does not fit the model's window (code `context_length_exceeded`)",
    "401": "The API key is missing or wrong",
    "404": "No such model",
    "405": "The route does not take this method",
    "408": "The request did not come to its end",
    "413": "The body is too large",
    "415": "The body is not JSON, or has a Content-Encoding",
    "431": "The header is too large",
    "500": "The gateway failed",
    "502": "The model server failed",
    "503": "No model server can take the request",
    "504": "The model server took too long",
}
_OF_MODEL_SERVERS = ("502", "504")
_DECISION = {
    "x-request-id": "The request's id: the client's, or a new one",
    "x-yardstick-model": "The model that answered",
    "x-yardstick-endpoint": "The endpoint that answered",
    "x-yardstick-prompt-tokens": "The prompt's length in tokens, as far as it had to be known",
    "x-yardstick-counted": "How: bounded (at most so many), estimated, counted, unsplittable",
    "x-yardstick-threshold": "The threshold, in the short model's tokens",
    "x-yardstick-reason": "Why this model: short-prompt, long-prompt, short-window, short-unavailable, named-model, "
    "only-model or only-able-model (the other one does not chat, or can't fill in the middle)",
}


def describe(own: dict[str, Any]) -> dict[str, Any]:
    """``own`` is litestar's document; returned is the whole API's."""
    types: list[type[wire.Wire]] = [
        wire.ErrorBody,
        wire.TokenizeRequest,
        *(entry[2] for entry in _RELAYED.values()),
        *(entry[3] for entry in _RELAYED.values()),
    ]
    _, schemas = models_json_schema(
        [(model, "validation") for model in types], ref_template="#/components/schemas/{model}"
    )
    components = own.get("components", {})
    known = {**components.get("schemas", {}), **schemas["$defs"]}
    paths = {**own["paths"], **{path: _path(*entry) for path, entry in _RELAYED.items()}}
    asked = [_reference(entry[2]) for entry in _RELAYED.values()]
    paths["/v1/route"]["post"]["requestBody"] = _json_body({"anyOf": asked})
    paths["/tokenize"]["post"]["requestBody"] = _json_body(_reference(wire.TokenizeRequest))
    for path, item in paths.items():
        for operation in item.values():
            _add_errors(operation, _OF_MODEL_SERVERS if path in _RELAYED else ())
            for parameter in operation.get("parameters", ()):
                parameter["example"] = "auto"  # the only one is a model's name
    security = {"apiKey": {"type": "http", "scheme": "bearer"}}
    return {
        **own,
        "paths": paths,
        "components": {**components, "schemas": known, "securitySchemes": security},
        "security": [{}, {"apiKey": []}],
    }


def _path(summary: str, name: str, request: type[wire.Wire], answer: type[wire.Wire]) -> dict[str, Any]:
    headers = {header: {"description": text, "schema": {"type": "string"}} for header, text in _DECISION.items()}
    content = {
        "application/json": {"schema": _reference(answer)},
        "text/event-stream": {
            # Without a type: what a schema says of a stream is its whole text to some tools, one event to others.
            "schema": {"description": "with `stream`: chunks as events, then [DONE]"}
        },
    }
    operation = {
        "summary": summary,
        "operationId": name,
        "tags": ["models"],
        "requestBody": _json_body(_reference(request)),
        "responses": {"200": {"description": "The model's answer", "headers": headers, "content": content}},
    }
    return {"post": operation}


def _json_body(schema: dict[str, Any]) -> dict[str, Any]:
    return {"required": True, "content": {"application/json": {"schema": schema}}}


def _add_errors(operation: dict[str, Any], more: tuple[str, ...]) -> None:
    error = {"application/json": {"schema": _reference(wire.ErrorBody)}}
    for status, text in _ERRORS.items():
        if status not in _OF_MODEL_SERVERS or status in more:
            operation["responses"][status] = {"description": text, "content": error}


def _reference(model: type[wire.Wire]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{model.__name__}"}


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Yardstick API</title>
<link rel="stylesheet" href="/docs/assets/swagger-ui.css"></head>
<body><div id="page"></div><script src="/docs/assets/swagger-ui-bundle.js"></script>
<script>SwaggerUIBundle({url: "/openapi.json", dom_id: "#page", validatorUrl: null})</script></body></html>
"""
