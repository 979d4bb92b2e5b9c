from __future__ import annotations

from typing import Any

from gateway.config import PoolSettings
from gateway.shadow.gate.draws import Served
from gateway.shadow.sending import served_of
from gateway.shadow.sending.served import UNKNOWN


def pool(model: str = "codegeex4-all-9b", **settings: Any) -> PoolSettings:
    return PoolSettings.model_validate({"model": model, "endpoints": [{"url": "http://h:1"}], **settings})


def test_nothing_is_guessed() -> None:
    unknown = served_of(pool("their-own"))
    assert unknown == Served(UNKNOWN, "their-own", UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN)
    known = served_of(pool())
    assert (known.family, known.revision, known.quantisation) == ("codegeex", UNKNOWN, UNKNOWN)


def test_what_is_served_otherwise_is_told_apart() -> None:
    engines = [{}, {"weights": "/w"}, {"revision": "abc"}, {"dtype": "float16"}, {"flags": ["--quantization", "fp8"]}]
    served = [served_of(pool(engine=engine)) for engine in engines]
    served += [served_of(pool(defaults={"temperature": 0.1})), served_of(pool())]
    assert len(set(served)) == len(served)
    assert served[4].quantisation == served_of(pool(engine={"flags": ["--quantization=fp8"]})).quantisation == "fp8"
    assert served_of(pool(engine={"port": 9})) == served[0]
