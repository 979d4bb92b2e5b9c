"""METRICS.md, the page of all metrics, from the registry: `python -m gateway.telemetry.page` writes it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from gateway.telemetry import names
from gateway.telemetry.names import Name

FILE = Path(__file__).with_name("METRICS.md")
_INTRODUCTION = """\
# Metrics
Made from the registry (`gateway/telemetry/names/`) by `python -m gateway.telemetry.page`. Tests compare this page with
the registry, and the registry with what a running gateway emits.

`GET /metrics` of the gateway has them in Prometheus's text format: with `--workers N` the same whichever worker
answers, and with shadow-eval those of the process beside as well. Counters begin at 0 with the gateway, and go on where
a worker is killed. Whatever clients send, labels have values of the configuration, of our own code and of this page,
but for one of shadow-eval's: `sampling` of `yardstick_shadow_stratum_info` has the sampling parameters that requests
gave, cut at 120 characters and of 20 strata at most (`stratum`, a digest, tells them apart). `python_*` and `process_*`
are those of prometheus_client (with several workers each has the label `worker`).

Every request to a model is counted once, when it ends, with its outcome: `yardstick_requests_total`. Times begin with a
request's last byte, so that a client's slow sending is not in them, and each histogram takes only what it is true of:
the overhead, every request that was sent to a model server; the time to the first chunk, every stream that began, also
one that broke or was cancelled then; the time per chunk and the whole request's, answers that were complete. Of answers
that are not streamed there is the whole request's time alone. A gateway sees the chunks of a stream, not its tokens:
never plot its time per chunk as one series with vLLM's time per token.
"""


def page() -> str:
    subjects = {"Requests": names.OF_REQUESTS, "Endpoints and the gateway": names.OF_GATEWAY}
    parts = [_INTRODUCTION]
    for title, own in {**subjects, "Shadow-eval, where it is configured": names.OF_SHADOW}.items():
        parts.append("\n".join([f"## {title}", "| metric | type | unit | labels | |", "|---|---|---|---|---|"]))
        parts[-1] += "".join(f"\n{_row(name)}" for name in own) + "\n"
    parts.append("\n".join(["## Buckets", *_buckets(), ""]))
    parts.append("\n".join(["## Labels", "| label | | values that are fixed |", "|---|---|---|", *_labels(), ""]))
    return "\n".join(parts)


def _row(name: Name) -> str:
    labels = ", ".join(f"`{label}`" for label in name.labels)
    shown = name.name + ("_total" if name.type == "counter" else "")
    return f"| `{shown}` | {name.type} | {name.unit} | {labels} | {name.help} |"


def _buckets() -> Iterator[str]:
    """Histograms that have the same ones together. Each also has +Inf, `_sum` and `_count`."""
    sharing: dict[tuple[float, ...], list[str]] = {}
    for name in names.ALL:
        if name.buckets:
            sharing.setdefault(name.buckets, []).append(f"`{name.name}`")
    for bounds, own in sharing.items():
        yield f"- {', '.join(own)}: {', '.join(f'{bound:,.10g}' for bound in bounds)}"


def _labels() -> Iterator[str]:
    for label in dict.fromkeys(label for name in names.ALL for label in name.labels):
        fixed: dict[tuple[str, ...], list[str]] = {}
        for name in names.ALL:
            if label in name.values:
                fixed.setdefault(name.values[label], []).append(f"`{name.samples[0]}`")
        several = len(fixed) > 1
        shown = [
            ", ".join(f"`{value}`" for value in values) + (f" ({', '.join(of)})" if several else "")
            for values, of in fixed.items()
        ]
        yield f"| `{label}` | {names.MEANINGS[label]} | {'; '.join(shown)} |"


if __name__ == "__main__":
    FILE.write_text(page(), encoding="utf-8")
    sys.stderr.write(f"{FILE}: written\n")
