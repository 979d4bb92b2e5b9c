"""Fetches a model's weights into $HF_HOME, unless they are there already: fetch_weights.py REPOSITORY [REVISION].

A file of its own says that they are complete, so that later starts ask no hub, and an interrupted one goes on.
"""

import os
import sys
from pathlib import Path

from huggingface_hub import snapshot_download

repository, revision = sys.argv[1], (*sys.argv[2:], "main")[0]
complete = Path(os.environ["HF_HOME"]) / "complete" / f"{repository.replace('/', '--')}@{revision}"
if complete.exists():
    print(f"{repository} at {revision} is there already", flush=True)
else:
    print(f"fetching {repository} at {revision}", flush=True)
    folder = snapshot_download(repository, revision=revision)
    complete.parent.mkdir(parents=True, exist_ok=True)
    complete.touch()
    print(f"complete: {folder}", flush=True)
