"""Any known model may have a pool, and any two of them may be `auto`'s."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.config_document import ConfigError
from gateway.config_file import Flags, Loaded, load
from gateway.families import MODELS


def loaded(folder: Path, models: list[str], **settings: Any) -> Loaded:
    pools = [
        {"model": model, "endpoints": [{"url": f"http://127.0.0.1:{9000 + number}"}]}
        for number, model in enumerate(models)
    ]
    path = folder / "yardstick.yaml"
    path.write_text(yaml.safe_dump({"pools": pools, **settings}))
    return load(path, Flags())


@pytest.mark.parametrize(("short", "long"), [*product(MODELS, MODELS)])
def test_any_two_are_auto(tmp_path: Path, short: str, long: str) -> None:
    found = loaded(tmp_path, list(MODELS), routing={"short": short, "long": long})
    assert (found.config.routing.short, found.config.routing.long) == (short, long)
    doubtful = [name for name in (short, long) if MODELS[name].chat_template is None]
    assert [warning.message.split()[0] for warning in found.warnings] == doubtful, "a base model can't be sent chats"


def test_an_unknown_model_is_told_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, ["iquest-coder"])
    said = str(caught.value)
    assert all(name in said for name in MODELS)
    assert "did you mean 'iquest-coder-v1-40b-loop-instruct'" in said


def test_pools_without_the_usual_names_need_their_routes(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, ["iquest-coder-v1-7b-instruct", "iquest-coder-v1-14b-instruct"])
    said = str(caught.value)
    assert "set routing.short to one of iquest-coder-v1-7b-instruct, iquest-coder-v1-14b-instruct" in said
    assert "set routing.long to one of" in said
