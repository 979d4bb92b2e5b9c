"""How many people are there when. `--users` is the most at once, `--run-time` the whole time, as without a shape."""

from __future__ import annotations

from typing import Any

from locust import LoadTestShape

from loadtests.people.curves import spike, steps

_DEFAULT_SECONDS = 120.0


class _Shape(LoadTestShape):
    abstract = True
    use_common_options = True

    def people(self, share: float, users: int) -> int:
        raise NotImplementedError

    def tick(self) -> tuple[int, float] | None:
        options: Any = self.runner.environment.parsed_options
        users = options.num_users or options.users or 1
        share = self.get_run_time() / float(options.run_time or _DEFAULT_SECONDS)
        return None if share >= 1 else (self.people(share, users), float(users))


class Steps(_Shape):
    def people(self, share: float, users: int) -> int:
        return steps(share, users)


class Spike(_Shape):
    def people(self, share: float, users: int) -> int:
        return spike(share, users)


SHAPES: dict[str, type[_Shape]] = {"steps": Steps, "spike": Spike}
