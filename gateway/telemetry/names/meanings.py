"""What labels mean, for people. Values that are fixed stand with the metrics."""

from __future__ import annotations

MEANINGS = {
    "route": "the route; `refused`: of requests turned away before it counted (no key, wrong method, too large)",
    "model": "a model of the configuration; empty where none was chosen",
    "outcome": "how it ended, or what it found",
    "method": "how the prompt was measured; `bounded`: at most so many tokens, by its bytes; `unsplittable`: at least"
    " so many, since it has no place where it may be cut for counting",
    "reason": "why",
    "length": "the prompt has at most so many tokens, as the model server says (else as the decision had it)",
    "endpoint": "host and port of a model server",
    "hash": "of the settings in use",
    "verdict": "`error` is our own fault, and in no rate",
    "level": "the sandbox's level and whether the tests ran apart from the program",
    "family": "of the model",
    "suite": "of the tasks",
    "category": "of the tasks; `all`: the whole suite",
    "evidence": "`live-exact`, `live-near`, `mirror` or `canary`: never pooled",
    "form": "of the prompt: `complete`, `instruct` or chat turns",
    "stratum": "tells apart all else that is never pooled: see `yardstick_shadow_stratum_info`",
    "interval": "what the interval is of",
    "bound": "which end of the interval",
    "suite_version": "the digest of the suite",
    "mirrored": "of which evidence the mirrored sample is",
    "sampling": "the request's sampling parameters, cut at 120 characters",
    "inflated": "whether prompts were made longer",
    "revision": "of the model's weights",
    "engine": "the model server and its version",
    "quantisation": "of the weights",
    "template": "the chat template",
    "pool_sampling": "the pool's default sampling parameters",
    "first": "the policy's first model, which may have these lengths or not",
    "second": "the policy's second model",
    "bucket": "prompts of at most so many tokens, by the policy",
}
