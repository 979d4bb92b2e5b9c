"""GPUs as nvidia-smi lists them, as a plan names them, and divided between the families."""

from __future__ import annotations

import re
from pathlib import Path
from shlex import quote

import pytest

from gateway.engines.division import divide
from gateway.engines.gpus import GIB, KNOWN, MIB, Gpu, GpuError, installed_gpus, named_gpu
from gateway.families import MODELS


def nvidia_smi(folder: Path, prints: str, code: int = 0) -> str:
    """A command that prints this, as nvidia-smi's query does."""
    command = folder / "nvidia-smi"
    command.write_text(f"#!/bin/sh\nprintf '%s\\n' {quote(prints)}\nexit {code}\n")
    command.chmod(0o755)
    return str(command)


def test_installed_gpus_are_listed(tmp_path: Path) -> None:
    command = nvidia_smi(tmp_path, "0, NVIDIA H100 80GB HBM3, 81559, 81002\n3, NVIDIA L4, 23034, 100")
    assert installed_gpus(command) == (
        Gpu("NVIDIA H100 80GB HBM3", 81_559 * MIB, 81_002 * MIB, 0),
        Gpu("NVIDIA L4", 23_034 * MIB, 100 * MIB, 3),
    )
    assert installed_gpus(str(tmp_path / "absent")) == ()


@pytest.mark.parametrize(
    ("prints", "code", "complaint"),
    [
        ("NVIDIA-SMI has failed because ...", 9, "ended with 9: NVIDIA-SMI has failed because ...; try it by itself"),
        ("0, NVIDIA GB10, [N/A], [N/A]", 0, "without its memory ('0, NVIDIA GB10, [N/A], [N/A]')"),
    ],
)
def test_gpus_that_cannot_be_listed(tmp_path: Path, prints: str, code: int, complaint: str) -> None:
    with pytest.raises(GpuError, match=re.escape(complaint)):
        installed_gpus(nvidia_smi(tmp_path, prints, code))


def test_gpus_are_named_or_given_by_their_memory() -> None:
    for name in ("h100", "H100", "h100-80gb", "H100 80GB"):
        assert named_gpu(name) is KNOWN["h100"]
    assert named_gpu("A100 40GB") is KNOWN["a100-40gb"]
    assert named_gpu("48.5").memory == int(48.5 * GIB)
    for wrong in ("h1000", "0", "-1", "nan", "inf", "1e9", ""):
        with pytest.raises(GpuError, match="is no GPU known here: name one of h100, "):
            named_gpu(wrong)


@pytest.mark.parametrize(
    ("gpus", "expected"), [(2, None), (3, (2, 1)), (4, (2, 2)), (6, (2, 4)), (8, (4, 4)), (16, (8, 8))]
)
def test_division_between_the_families(gpus: int, expected: tuple[int, int] | None) -> None:
    long = MODELS["iquest-coder-v1-40b-loop-instruct"]
    found = divide(long, MODELS["codegeex4-all-9b"], KNOWN["h100"].memory, gpus)
    assert (found and (found.long.tensor_parallel, found.servers)) == expected
