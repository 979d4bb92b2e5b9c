"""From a request to the pool that answers it: aliases, the length rule, and counting where the rule asks for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gateway.config import Config
from gateway.errors import ApiError, bad_request
from gateway.fim import check_markers
from gateway.pools import Pool
from gateway.request import Request
from routing.length import Ask, Count, Counted, Decision, PoolFacts, Rule, TooLong, check, choose

AUTO = "auto"
_AT_MOST = 4  # windows up to which a prompt that is too long is counted, to say by how much


class Decider:
    """Decides for `auto` by length; takes a named model at its word, if the prompt fits its window."""

    def __init__(self, config: Config, pools: Mapping[str, Pool]) -> None:
        self._pools = pools
        self._aliases = config.aliases
        self._short = pools[config.routing.short]
        self._long = pools[config.routing.long]
        self._reserve = config.routing.reserve_output
        self._may_go_long = config.routing.fallback != "never"
        self.rule = Rule(threshold=config.routing.threshold, exact=config.routing.exact)

    async def decide(self, request: Request) -> Decision:
        """Raises the 404 of an unknown model and the 400 of a prompt that does not fit."""
        name = self._aliases.get(request.model, request.model)
        ask = request.asked = request.ask(self._reserve)
        if name == AUTO:
            if ask.tokens is not None:
                raise bad_request(
                    "Token ids belong to one model's vocabulary: name the model instead of `auto`.", param="prompt"
                )
            only = self._only_able(request)
            if only is not None:
                return await self._decide_for_one(request, ask, only)
            if self._short is not self._long:
                short, long = self._short.facts, self._long.facts
                return await self._settle(request, lambda counts: choose(ask, self.rule, short, long, counts))
            decision = await self._settle(request, lambda counts: check(ask, self.rule, self._short.facts, counts))
            return decision._replace(reason="only-model")
        pool = self._pools.get(name)
        if pool is None:
            raise self.unknown_model(request.model)
        if not request.suits(pool.model):
            raise self._unsuited(request, pool)
        facts: PoolFacts = pool.facts
        return await self._settle(request, lambda counts: check(ask, self.rule, facts, counts))

    def _only_able(self, request: Request) -> Pool | None:
        """The one of `auto`'s two that can do what is asked (or neither can); None if both can, or are the same."""
        short, long = self._short, self._long
        if not request.suits(short.model):
            return long
        if not request.suits(long.model):
            return short
        if request.wants_tools and short.calls_tools != long.calls_tools:
            return short if short.calls_tools else long
        return None

    async def _decide_for_one(self, request: Request, ask: Ask, pool: Pool) -> Decision:
        """Of the two models for `auto`, ``pool``'s if any can do what is asked; the other can't."""
        if not request.suits(pool.model):
            raise self._unsuited(request, pool)
        decision = await self._settle(request, lambda counts: check(ask, self.rule, pool.facts, counts))
        return decision._replace(reason="only-able-model")

    async def fallback(self, request: Request, decision: Decision) -> Decision | None:
        """The long model in the short one's place, if it may answer this; never the other way round."""
        name = self._aliases.get(request.model, request.model)
        if not self._may_go_long or name != AUTO or decision.model != self._short.name or self._short is self._long:
            return None
        if not request.suits(self._long.model) or (request.wants_tools and not self._long.calls_tools):
            return None
        asked, facts = request.asked, self._long.facts
        assert asked is not None  # since it was decided
        try:
            instead = await self._settle(request, lambda counts: check(asked, self.rule, facts, counts))
        except ApiError:  # it is too long for the long one: what happened to the short one is the better answer
            return None
        return instead._replace(reason="short-unavailable")

    async def _settle(
        self, request: Request, rule: Callable[[Mapping[str, Counted]], Decision | Count | TooLong]
    ) -> Decision:
        """Counts what the rule asks for until it has decided; most requests need no count."""
        counts: dict[str, Counted] = {}
        while isinstance(outcome := rule(counts), Count):
            counts[outcome.model] = await self.count(request, outcome)
        if isinstance(outcome, TooLong):
            raise await self._too_long(request, outcome, counts.get(outcome.model))
        if request.infill is not None:
            check_markers(request.infill, self._pools[outcome.model].model)
        return outcome

    async def overflow(self, request: Request, pool: Pool, message: str) -> ApiError:
        """The model server found the prompt too long, which it is where we only estimated: say by how much."""
        ask = request.ask(self._reserve)
        seen = await self.count(request, Count(pool.name, _AT_MOST * pool.window))
        if seen.estimated:
            return bad_request(message, param=request.route.prompt_field, code="context_length_exceeded")
        return _too_long(request, TooLong(pool.name, pool.window, seen.tokens, ask.output), seen)

    async def _too_long(self, request: Request, found: TooLong, counted: Counted | None) -> ApiError:
        if counted is not None and not counted.complete:
            counted = await self.count(request, Count(found.model, _AT_MOST * found.window))
            found = found._replace(tokens=counted.tokens)
        return _too_long(request, found, counted)

    async def count(self, request: Request, wanted: Count) -> Counted:
        pool = self._pools[wanted.model]
        return await pool.tokens.count(request.route.value, request.counted_fields(pool.model), wanted)

    def _unsuited(self, request: Request, pool: Pool) -> ApiError:
        """``pool``'s model is of the wrong kind for the request: say which ones are of the right kind."""
        if request.infill is None:
            problem = f"{pool.name} does not chat: it is a base model, which completes text (POST /v1/completions)"
            wanted = "chat"
        else:
            problem = f"{pool.name} can't fill in the middle: it takes no 'suffix'"
            wanted = "fill in the middle"
        others = [other.name for other in self._pools.values() if request.suits(other.model)]
        known = f"Models that {wanted} here: {', '.join(others)}" if others else f"No model here can {wanted}"
        return bad_request(f"{problem}. {known}.", param="model", code="unsupported_by_model")

    def unknown_model(self, name: str) -> ApiError:
        known = ", ".join([AUTO, *self._pools, *self._aliases])
        return ApiError(
            404,
            f"The model {name!r} does not exist here. There are: {known}. To make it an alias, add to the config: "
            f"`aliases: {{{name!r}: {AUTO}}}`.",
            code="model_not_found",
            param="model",
        )


def _too_long(request: Request, found: TooLong, counted: Counted | None) -> ApiError:
    """OpenAI's error for an overflow, with both numbers; clients cut their history when they see its code."""
    tokens, output = found.tokens, found.output
    floor = "at least " if counted is not None and not counted.complete else ""
    return bad_request(
        f"This model's maximum context length is {found.window} tokens. However, you requested {floor}"
        f"{tokens + output} tokens ({tokens} in the prompt, {output} for the completion) of {found.model}. "
        "Please shorten the prompt or the completion.",
        param=request.route.prompt_field,
        code="context_length_exceeded",
    )
