"""Of the endpoints, as the gateway sees them, and of the gateway itself."""

from __future__ import annotations

from gateway.telemetry.names.name import counter, gauge

IN_FLIGHT = gauge(
    "yardstick_in_flight", "attempts", "Attempts that were sent and have not ended", ("model", "endpoint")
)
ENDPOINT_UP = gauge(
    "yardstick_endpoint_up",
    "1 or 0",
    "1 if the endpoint answered when last asked",
    ("model", "endpoint"),
    workers="max",
)
ENDPOINT_EJECTED = gauge(
    "yardstick_endpoint_ejected",
    "workers",
    "1 while the endpoint is left out after failures; of several workers, how many leave it out",
    ("model", "endpoint"),
)
EJECTIONS = counter(
    "yardstick_ejections",
    "ejections",
    "Times that the endpoint was left out after failures",
    ("model", "endpoint"),
)
PROBES = counter(
    "yardstick_probes",
    "probes",
    "Times that the endpoint was asked whether it is well and what it serves: it said so (up) or not (down)",
    ("model", "endpoint", "outcome"),
    {"outcome": ("up", "down")},
)
OPEN_CONNECTIONS = gauge("yardstick_open_connections", "connections", "Client connections")
LOG_LINES_DROPPED = counter(
    "yardstick_log_lines_dropped",
    "lines",
    "Log lines thrown away because nobody read them fast enough",
)
CONFIG_RELOADS = counter(
    "yardstick_config_reloads",
    "reloads",
    "Changed configurations that were taken (applied) or not (refused)",
    ("outcome",),
    {"outcome": ("applied", "refused")},
    workers="max",
)
CONFIG_IN_USE = gauge(
    "yardstick_config_in_use", "workers", "Workers that serve with the settings of this hash", ("hash",)
)
