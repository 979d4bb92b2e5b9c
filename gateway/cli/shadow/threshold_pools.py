"""Costs and loads of the two pools, from the engine model: nothing of it is measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from math import fsum
from random import Random

from gateway.config import PoolSettings
from gateway.config_engine import EngineSettings
from gateway.engines.simulated.presets import Preset
from gateway.engines.simulated.replay import Arrival, percentile, replay
from gateway.engines.simulated.scheduler import SchedulerSettings
from gateway.shadow.threshold.inputs import Costs, LivePrompt, Load, PoolLoad

BATCH = 16
"""Sequences that decode at once, where GPU-seconds of one request are told apart from the others'."""
_SEED = 20_261_129


@dataclass(frozen=True, slots=True)
class Pool:
    """`replicas` servers of one preset, with the flags that the configuration's `engine` gives them."""

    model: str
    preset: Preset
    replicas: int
    window: int
    engine: EngineSettings

    @property
    def gpus(self) -> int:
        return self.replicas * self.preset.machine.gpus

    @property
    def scheduler(self) -> SchedulerSettings:
        return SchedulerSettings(
            num_blocks=self.preset.num_gpu_blocks,
            max_model_len=self.window,
            max_num_batched_tokens=self.engine.max_num_batched_tokens,
            max_num_seqs=self.engine.max_num_seqs,
            long_prefill_token_threshold=self.engine.long_prefill_token_threshold,
            prefix_caching=False,
        )

    def seconds(self) -> Callable[[int, int], float]:
        """GPU-seconds of a request: its prompt alone, and its output in a batch of BATCH."""
        step, budget = self.preset.step_time, self.engine.max_num_batched_tokens

        @cache
        def of(prompt: int, output: int) -> float:
            decoding = output * step.decode(prompt + output // 2, BATCH) / BATCH
            return self.preset.machine.gpus * (step.prefill(prompt, budget) + decoding)

        return of


def pool_of(settings: PoolSettings, preset: Preset, replicas: int, native_window: int) -> Pool:
    return Pool(settings.model, preset, replicas, settings.window or native_window, settings.engine or EngineSettings())


class Loads:
    """Both pools' loads at a threshold, on `requests` arrivals that are the same for every threshold.

    They come independently at a constant rate (Poisson), with lengths drawn from the live prompts. `beyond`: of them,
    those that no server could answer, left out; outputs are cut to the window.
    """

    def __init__(self, prompts: Sequence[LivePrompt], rate: float, requests: int, short: Pool, long: Pool) -> None:
        random = Random(_SEED)
        drawn = random.choices(prompts, [prompt.weight for prompt in prompts], k=requests)
        self._rate = rate
        self._pools = short, long
        self._costs = short.seconds(), long.seconds()
        at = 0.0
        self._arrivals = []
        for prompt in drawn:
            at += random.expovariate(rate)
            self._arrivals.append(Arrival(at, prompt.prompt_tokens, max(1, prompt.output_tokens)))
        self.beyond = sum(arrival.prompt_tokens >= long.window for arrival in self._arrivals)

    def at(self, threshold: int) -> Load:
        short = [each for each in self._arrivals if each.prompt_tokens <= threshold]
        long = [each for each in self._arrivals if each.prompt_tokens > threshold]
        return Load(self._pool(0, short), self._pool(1, long))

    def _pool(self, place: int, arrivals: Sequence[Arrival]) -> PoolLoad:
        pool, seconds = self._pools[place], self._costs[place]
        fitting = [_cut(each, pool.window) for each in arrivals if each.prompt_tokens < pool.window]
        if not fitting:
            return PoolLoad(0.0, 0.0, 0.0)
        waits = replay(fitting, pool.replicas, pool.scheduler, pool.preset.step_time)
        busy = fsum(seconds(each.prompt_tokens, each.output_tokens) for each in fitting)
        return PoolLoad(
            ttft_p99=percentile(waits.ttft, 0.99),
            itl_p99=percentile(waits.itl, 0.99),
            utilisation=busy * self._rate / len(self._arrivals) / pool.gpus,
        )


def costs_of(short: Pool, long: Pool) -> Costs:
    return Costs(short.seconds(), long.seconds())


def _cut(arrival: Arrival, window: int) -> Arrival:
    room = window - arrival.prompt_tokens
    return Arrival(arrival.at, arrival.prompt_tokens, min(arrival.output_tokens, room))
