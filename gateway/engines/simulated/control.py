"""Our own routes, under /sim: what this server plants, and what it breaks. vLLM has nothing there."""

from __future__ import annotations

from urllib.parse import parse_qsl

from gateway.engines.simulated.errors import bad_request
from gateway.engines.simulated.faults import KINDS, Fault
from gateway.engines.simulated.http import Call
from gateway.engines.simulated.service import Service
from gateway.engines.simulated.validation import decode, read


async def tasks(service: Service, call: Call) -> None:
    """GET /sim/tasks: the tasks that the model knows, and the share of draws in which it solves each."""
    book, planted = service.answers.tasks, service.settings.tasks
    body = {"model": service.model, "seed": service.settings.seed, "pass_rate": None, "concentration": None}
    if book is None or planted is None:
        await call.json({**body, "tasks": []})
        return
    body.update(pass_rate=planted.pass_rate, concentration=planted.concentration)
    await call.json({**body, "tasks": book.table()})


async def faults(service: Service, call: Call) -> None:
    """GET /sim/faults shows the faults in force; POST adds one, in place of that of its kind; DELETE ends one
    (/sim/faults?kind=K) or all. Each answers with what is in force then."""
    if call.method == "POST":
        service.faults.add(read(Fault, decode(call.body)))
    elif call.method == "DELETE":
        kind = dict(parse_qsl(call.query.decode("latin-1"))).get("kind")
        if kind is not None and kind not in KINDS:
            raise bad_request(f"unknown fault {kind!r}; known: {', '.join(KINDS)}", "kind")
        service.faults.clear(kind)
    await call.json({"faults": service.faults.table()})
