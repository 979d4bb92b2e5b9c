"""GPUs: those of this machine, and those that a plan can name.

A GPU's memory is what its driver reports (`memory.total`), which is a little less or more than the name says.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

MIB = 1 << 20
GIB = 1 << 30

_QUERY = ("--query-gpu=index,name,memory.total,memory.free", "--format=csv,noheader,nounits")
_SECONDS = 30.0  # it answers within one where persistence mode is on, and within ten where it is not


class GpuError(Exception):
    """The GPUs could not be listed, or a name is not that of a GPU. The message says what to do."""


class MemoryUnknown(GpuError):
    """There are GPUs, but not all of them tell their memory: some share the machine's."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """``memory`` and ``free``: bytes. ``index``: as nvidia-smi numbers it; None for one that is only planned for."""

    name: str
    memory: int
    free: int | None = None
    index: int | None = None


def _known(name: str, mebibytes: int) -> Gpu:
    return Gpu(name, mebibytes * MIB)


# From nvidia-smi's output on such machines, as public issues and logs have it: the first column of "used / total" is
# not needed, the second one is the figure. The H100's, A100's, A10's, L40S's and L4's stand together in
# https://github.com/modal-labs/modal-client/pull/2797.
KNOWN: Mapping[str, Gpu] = MappingProxyType(
    {
        "h100": _known("H100 80 GB", 81_559),
        "h200": _known("H200 141 GB", 143_771),
        "b200": _known("B200 180 GB", 183_359),
        "a100": _known("A100 80 GB", 81_920),
        "a100-40gb": _known("A100 40 GB", 40_960),
        "l40s": _known("L40S 48 GB", 46_068),
        "l4": _known("L4 24 GB", 23_034),
        "a10": _known("A10 24 GB", 23_028),
        "rtx4090": _known("RTX 4090 24 GB", 24_564),
    }
)
DEFAULT = KNOWN["h100"]


def named_gpu(text: str) -> Gpu:
    """A known GPU by its name, or one of so many GiB: "h100", "A100-40GB", "48". Raises GpuError."""
    known = KNOWN.get(text.strip().lower().replace(" ", "-").removesuffix("-80gb"))
    if known is not None:
        return known
    try:
        gibibytes = float(text)
    except ValueError:
        gibibytes = 0.0
    if not 0 < gibibytes < 10_000:
        raise GpuError(f"{text!r} is no GPU known here: name one of {', '.join(KNOWN)}, or its memory in GiB")
    return Gpu(f"GPU of {gibibytes:g} GiB", round(gibibytes * GIB))


def installed_gpus(command: str = "nvidia-smi") -> tuple[Gpu, ...]:
    """This machine's GPUs, in nvidia-smi's order; none where there is no nvidia-smi.

    Raises GpuError where it is there and does not list them.
    """
    try:
        ran = subprocess.run([command, *_QUERY], capture_output=True, text=True, timeout=_SECONDS, check=False)
    except FileNotFoundError:
        return ()
    except (OSError, subprocess.TimeoutExpired) as error:
        raise GpuError(f"the GPUs could not be listed: {error}; try `{command}` by itself") from None
    if ran.returncode != 0:
        said = (ran.stdout + ran.stderr).strip().splitlines() or ["no message"]
        raise GpuError(
            f"the GPUs could not be listed: {command} ended with {ran.returncode}: {said[-1]}; try it by itself"
        )
    return tuple(_parsed(line) for line in ran.stdout.splitlines() if line.strip())


def _parsed(line: str) -> Gpu:
    """One line of the query's CSV. Names have no commas."""
    try:
        index, name, total, free = (cell.strip() for cell in line.split(","))
        return Gpu(name, int(total) * MIB, int(free) * MIB, int(index))
    except ValueError:
        raise GpuError(f"nvidia-smi lists a GPU without its memory ({line.strip()!r})") from None
