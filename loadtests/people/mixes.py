"""Who comes: weights of the kinds of people, by the name of the mix."""

from __future__ import annotations

from typing import Any

from locust import events
from locust.runners import WorkerRunner

from loadtests.people import shapes
from loadtests.people.arrivals import Arrivals
from loadtests.people.person import Person
from loadtests.people.users import Agent, Chatter, Solver, Typist

MIXES: dict[str, dict[type[Person], int]] = {
    "team": {Typist: 10, Chatter: 6, Agent: 2, Solver: 2},
    "ide": {Typist: 1},
    "chat": {Chatter: 1},
    "agents": {Agent: 3, Chatter: 1},
    "benchmark": {Solver: 1},
    "arrivals": {Arrivals: 1},
}


@events.init.add_listener
def choose(environment: Any, runner: Any, **_: Any) -> None:
    """Workers start whom their master names, and so keep all classes."""
    if isinstance(runner, WorkerRunner):
        return
    weights = MIXES[environment.parsed_options.mix]
    for person, weight in weights.items():
        person.weight = weight
    environment.user_classes = list(weights)
    shape = shapes.SHAPES.get(environment.parsed_options.shape)
    if shape is not None:
        environment.shape_class = shape()
        environment.shape_class.runner = runner
