"""What the gateway needs to know of a chat or completion request; everything else is the model server's business."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

from gateway.body import Body
from gateway.errors import bad_request
from gateway.families import Infill, Model
from gateway.fim import counted_fields, read_infill, refuse_suffix, size_bound
from gateway.tokens import find_media, text_bound
from routing.length import Ask

# Fields by which a client could jump the queue, read another tenant's cache or name its own trace at the model server.
OPERATOR_FIELDS = frozenset({"priority", "kv_transfer_params", "ec_transfer_params", "request_id", "cache_salt"})
_NOT_OPTIONS = frozenset(
    {"messages", "conversation", "tools", "chat_template", "tokenize", "tokenizer", "model_config"}
)
_SMALL = 2048  # bytes under which the difference between a text and its JSON is not worth looking at
_SAMPLE = 32 * 1024
# Beyond any window, so that looking for a tight bound would be for nothing.
_UNBOUNDED = 256 * 1024
_NO_BOUND = 64


class Route(Enum):
    CHAT = "/v1/chat/completions"
    COMPLETIONS = "/v1/completions"

    @property
    def prompt_field(self) -> str:
        return "messages" if self is Route.CHAT else "prompt"


class Request:
    """One request. ``output``: tokens the client wants at most, None if it did not say. ``infill``: a gap to fill."""

    __slots__ = ("asked", "body", "infill", "model", "output", "route", "stream")

    def __init__(self, route: Route, data: bytes, *, operator_fields: bool = False) -> None:
        """Raises a 400 for what no model server could answer."""
        self.route = route
        self.asked: Ask | None = None  # set by who decides
        self.body = body = Body(data)
        self.model = _string(body, "model")
        if route.prompt_field not in body.raws:
            raise bad_request(f"{route.prompt_field!r} is required.", param=route.prompt_field, code="missing_field")
        self.stream = _boolean(body, "stream")
        self.output = _output(body)
        if not operator_fields and not OPERATOR_FIELDS.isdisjoint(body.raws):
            name = min(OPERATOR_FIELDS.intersection(body.raws))
            raise bad_request(f"{name!r} is the operator's to set (`operator_fields` in the config).", param=name)
        if "chat_template" in body.raws:
            raise bad_request("A request can't bring its own chat template.", param="chat_template")
        if "chat_template_kwargs" in body.raws:
            _check_template_options(body)
        if route is Route.CHAT and (found := find_media(body.raws["messages"])) is not None:
            place, kind = found
            message = f"{place} is of type {kind!r}: the models here read text only. Send its content as text."
            raise bad_request(message, param=place, code="unsupported_content")
        self.infill: Infill | None = None
        if "suffix" in body.raws:
            if route is Route.CHAT:
                refuse_suffix(body)
            else:
                self.infill = read_infill(body)

    def release(self) -> None:
        """Lets go of the body: the model server has it, and answers."""
        del self.body
        self.infill = None

    def ask(self, reserve_output: int) -> Ask:
        """The prompt's length as far as the bytes tell; see `routing.length.Ask`."""
        output = reserve_output if self.output is None else self.output
        body = self.body
        if self.infill is not None:
            bound = size_bound(self.infill)
            return Ask(bound, output, bound if bound > _SMALL else 0)
        if "truncate_prompt_tokens" in body.raws:
            cut = body.get("truncate_prompt_tokens")
            if type(cut) is int and (cut > 0 or cut == -1):  # anything else is the model server's to refuse
                return self._uncut(output)._replace(cap=cut if cut > 0 else None, cut_to_window=cut == -1)
        return self._uncut(output)

    def _uncut(self, output: int) -> Ask:
        body = self.body
        if self.route is Route.CHAT:
            size = body.size("messages")
            if size > _UNBOUNDED:
                return Ask(_NO_BOUND * size, output, self._likely(("messages", "tools")))
            bound = text_bound(bytes(body.raws["messages"]), body.raw("tools"))
            return Ask(bound, output, self._likely(("messages", "tools")) if size > _SMALL else 0)
        first = memoryview(body.raws["prompt"])[0]
        if first != ord('"'):
            return _ask_list(body.get("prompt") if first == ord("[") else [None], output)
        size = body.size("prompt")
        return Ask(size, output, self._likely(("prompt",)) if size > _SMALL else 0)

    def suits(self, model: Model) -> bool:
        """Whether the model can do what is asked: base models do not chat, and not every one fills in the middle."""
        if self.route is Route.CHAT:
            return model.chat_template is not None
        return self.infill is None or model.fim is not None

    @property
    def wants_tools(self) -> bool:
        """Whether the model may call a tool; vLLM refuses such a request where it has no parser for the calls."""
        raws = self.body.raws
        return (
            "tools" in raws
            and bytes(raws["tools"]) not in (b"null", b"[]")
            and ("tool_choice" not in raws or bytes(raws["tool_choice"]) != b'"none"')
        )

    def counted_fields(self, model: Model) -> Mapping[str, Any]:
        """The JSON of the fields of which the model's prompt can be counted."""
        return self.body.raws if self.infill is None else counted_fields(self.infill, model)

    def _likely(self, fields: tuple[str, ...]) -> int:
        """The text's own length: most JSON escapes take one byte more than what they stand for. Judged by a sample."""
        size = 0
        for field in fields:
            if (raw := self.body.raws.get(field)) is not None:
                view = memoryview(raw)
                sample = bytes(view[len(view) // 2 :][:_SAMPLE])
                size += int(len(view) * (1 - sample.count(b"\\") / max(1, len(sample))))
        return size


def _ask_list(prompt: Any, output: int) -> Ask:
    """A list of texts, or token ids: the largest decides."""
    if not prompt:
        raise bad_request("'prompt' is empty.", param="prompt")
    if all(type(item) is int for item in prompt):
        return Ask(0, output, tokens=len(prompt))
    if all(isinstance(item, str) for item in prompt):
        sizes = [len(item.encode()) for item in prompt]
        return Ask(max(sizes), output, times=sum(sizes) / max(1, max(sizes)))
    if all(isinstance(item, list) and all(type(token) is int for token in item) for item in prompt):
        sizes = [len(item) for item in prompt]
        return Ask(0, output, tokens=max(sizes), times=sum(sizes) / max(1, max(sizes)))
    raise bad_request("'prompt' must be a text, a list of texts, token ids or a list of token ids.", param="prompt")


def _check_template_options(body: Body) -> None:
    """What a template is given besides the conversation, but nothing in its place: that is what was counted."""
    options = body.get("chat_template_kwargs")
    if options is not None and not isinstance(options, dict):
        raise bad_request(
            "'chat_template_kwargs' must be an object.", param="chat_template_kwargs", code="invalid_type"
        )
    if options and not _NOT_OPTIONS.isdisjoint(options):
        name = min(_NOT_OPTIONS.intersection(options))
        raise bad_request(f"'chat_template_kwargs' can't set {name!r}.", param="chat_template_kwargs")


def _string(body: Body, name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str):
        known = name in body.raws
        raise bad_request(
            f"{name!r} must be a string." if known else f"{name!r} is required: `auto`, or a model of GET /v1/models.",
            param=name,
            code="invalid_type" if known else "missing_field",
        )
    return value


def _boolean(body: Body, name: str) -> bool:
    value = body.get(name)
    if value is None or value is False or value is True:
        return bool(value)
    raise bad_request(f"{name!r} must be true or false.", param=name, code="invalid_type")


def _output(body: Body) -> int | None:
    for name in ("max_completion_tokens", "max_tokens"):
        value = body.get(name)
        if value is None:
            continue
        if type(value) is not int:
            raise bad_request(f"{name!r} must be a whole number.", param=name, code="invalid_type")
        if value < 0:
            raise bad_request(f"{name!r} must be at least 1, got {value}.", param=name)
        return value
    return None
