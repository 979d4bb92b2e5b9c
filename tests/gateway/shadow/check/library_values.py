"""Run by a scoring environment's Python: values of numpy and pandas cross the codec and come back the same.

Prints a JSON object: for each value by name, "" or what went wrong.
"""

from __future__ import annotations

import json
import sys
import traceback
from typing import Any

sys.path.insert(0, sys.argv[1])

import numpy as np
import pandas as pd
from runner.check.codec import Codec
from runner.check.codec_errors import ERRORS
from runner.check.codec_named import FAMILIES
from runner.check.codec_numpy import kinds, values
from runner.check.codec_pandas import kinds as pandas_kinds
from runner.check.codec_pandas import values as pandas_values
from runner.check.codec_plain import KINDS, VALUES
from runner.check.codec_types import CodecError, Unplain
from runner.check.sides import CandidateSide, TestsSide


def codecs() -> tuple[Codec, Codec]:
    made = []
    for parity, side in enumerate((TestsSide({"__name__": "__test__"}), CandidateSide())):
        codec = side.codec = Codec(side, parity, VALUES, [*KINDS, *ERRORS], FAMILIES)
        codec.learn(values(np), kinds(np))
        codec.learn(pandas_values(pd), pandas_kinds(pd))
        made.append(codec)
    return made[0], made[1]


SPAN = pd.date_range("2024-01-01", periods=3, freq="D")
FRAME = pd.DataFrame(
    {
        "i": [1, 2, 3],
        "f": [1.5, np.nan, -0.0],
        "s": ["a", None, "c"],
        "mixed": [1, "x", [1, 2]],
        "b": [True, False, True],
        "t": SPAN,
        "z": SPAN.tz_localize("Europe/Berlin"),
        "d": pd.to_timedelta([1, 2, 3], unit="h"),
        "c": pd.Categorical(["x", "y", "x"], categories=["y", "x", "w"], ordered=True),
        "I": pd.array([1, None, 3], dtype="Int64"),
        "B": pd.array([True, None, False], dtype="boolean"),
        "F": pd.array([1.5, None, 3], dtype="Float64"),
        "S": pd.array(["a", None, "c"], dtype="string"),
        "p": pd.period_range("2024-01", periods=3, freq="M"),
        "n": pd.interval_range(0, 3),
        "i8": np.array([1, 2, 3], "int8"),
        "f4": np.array([1, 2, 3], "float32"),
    }
)
INDEXES = {
    "range": pd.RangeIndex(3, name="r"),
    "numbers": pd.Index([1, 5, 9], name=("a", 1)),
    "floats": pd.Index([1.5, 2.5, np.nan]),
    "texts": pd.Index(["a", "b", "c"]),
    "times": SPAN,
    "months": pd.date_range("2024-01-31", periods=3, freq="M" if pd.__version__ < "2.2" else "ME"),
    "deltas": pd.to_timedelta([1, 2, 3], unit="h"),
    "zoned": SPAN.tz_localize("UTC"),
    "multi": pd.MultiIndex.from_tuples([("a", 1), ("a", 2), ("b", 1)], names=["x", None]),
    "category": pd.CategoricalIndex(["a", "b", "a"]),
    "intervals": pd.interval_range(0, 3),
    "periods": pd.period_range("2024-01", periods=3, freq="M"),
}
ARRAYS = {
    "ints": np.arange(6).reshape(2, 3),
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "strided": np.arange(10)[::3],
    "big-endian": np.arange(3).astype(">i4"),
    "bools": np.array([True, False]),
    "complex": np.array([1j, np.nan]),
    "half": np.array([1.5], "float16"),
    "texts": np.array(["a", "bcd"]),
    "bytes": np.array([b"a", b"bcd"]),
    "objects": np.array([1, "x", None, [1]], object),
    "times": np.array(["2024-01-01", "NaT"], "M8[D]"),
    "empty": np.empty((0, 3)),
    "masked": np.ma.masked_invalid([[1.5, np.nan], [2, 3]]),
    "no mask": np.ma.MaskedArray([1, 2]),
    "scalar array": np.array(5),
}
SCALARS: dict[str, Any] = {
    "float64": np.float64(1.5),
    "int64": np.int64(-3),
    "uint8": np.uint8(255),
    "bool": np.bool_(True),
    "str": np.str_("x"),
    "time": np.datetime64("2024-01-01T00:00", "s"),
    "nat": np.datetime64("NaT"),
    "dtype": np.dtype("float32"),
    "type": np.float32,
    "Timestamp": pd.Timestamp("2024-01-01 12:00:00.123456789", tz="Europe/Berlin"),
    "naive": pd.Timestamp("2024-01-01"),
    "Timedelta": pd.Timedelta("1 days 2 ns"),
    "NaT": pd.NaT,
    "NA": pd.NA,
    "Interval": pd.Interval(0, 1, closed="left"),
    "Period": pd.Period("2024-01", "M"),
    "Categorical": pd.Categorical(["a", "b", None]),
}


def same(one: Any, other: Any) -> None:
    assert type(one) is type(other), (type(one), type(other))
    if isinstance(one, pd.DataFrame):
        pd.testing.assert_frame_equal(one, other, check_exact=True, check_freq=True)
        assert list(one.dtypes) == list(other.dtypes)
    elif isinstance(one, pd.Series):
        pd.testing.assert_series_equal(one, other, check_exact=True)
    elif isinstance(one, pd.Index):
        pd.testing.assert_index_equal(one, other, exact=True)
        assert getattr(one, "freq", None) == getattr(other, "freq", None)
    elif isinstance(one, np.ma.MaskedArray):
        assert one.dtype == other.dtype
        assert (one.mask is np.ma.nomask) == (other.mask is np.ma.nomask)
        np.testing.assert_array_equal(one.mask, other.mask)
        np.testing.assert_array_equal(one.data, other.data)
    elif isinstance(one, np.ndarray):
        assert one.dtype == other.dtype, (one.dtype, other.dtype)
        np.testing.assert_array_equal(one, other)
    elif isinstance(one, pd.Categorical):
        assert pd.Series(one).equals(pd.Series(other))
        assert one.dtype == other.dtype
    elif one is pd.NA or one is pd.NaT:
        assert other is one
    else:
        assert one == other or (one != one and other != other), (one, other)


def both_ways(value: Any) -> None:
    tests, candidate = codecs()
    there = candidate.loads(tests.dumps(value))
    same(value, there)
    assert len(candidate.dumps(None)) < 10, "said to have changed"
    same(value, tests.loads(candidate.dumps([there]))[0])
    same(value, codecs()[0].loads(codecs()[1].dumps(value)))


def changed_in_place() -> None:
    tests, candidate = codecs()
    frame, array, series = FRAME.copy(), np.zeros(3), pd.Series([1, 2])
    given = candidate.loads(tests.dumps((frame, array, series)))
    given[0]["new"] = [7, 8, 9]
    given[0].drop(columns="mixed", inplace=True)
    given[1][1] = 5
    given[2][0] = 9
    back = tests.loads(candidate.dumps(given[0]))
    assert back is frame
    assert list(frame["new"]) == [7, 8, 9]
    assert "mixed" not in frame
    assert array[1] == 5
    assert series[0] == 9
    assert frame.iloc[0, 0] == 1
    assert frame["new"].sum() == 24


def damaged() -> None:
    import random

    chance = random.Random(7)
    for value in (FRAME, *INDEXES.values(), *ARRAYS.values(), *SCALARS.values()):
        for _ in range(40):
            whole = bytearray(codecs()[1].dumps([value]))
            for _ in range(chance.randint(1, 3)):
                at = chance.randrange(len(whole))
                whole[at : at + chance.randint(0, 2)] = chance.randbytes(chance.randint(0, 2))
            try:
                codecs()[0].loads(bytes(whole))
            except (CodecError, Unplain):
                pass


def main() -> None:
    cases: dict[str, Any] = {f"series {name}": (lambda name=name: both_ways(FRAME[name])) for name in FRAME}
    for group in (INDEXES, ARRAYS, SCALARS):
        cases |= {f"value {name}": (lambda one=one: both_ways(one)) for name, one in group.items()}
    for name, index in INDEXES.items():
        cases[f"frame by {name}"] = lambda index=index: both_ways(FRAME[["i", "f"]].set_axis(index, axis=0))
        cases[f"columns {name}"] = lambda index=index: both_ways(FRAME[["i", "f", "s"]].set_axis(index, axis=1))
    cases |= {
        "frame": lambda: both_ways(FRAME),
        "empty frame": lambda: both_ways(pd.DataFrame()),
        "no rows": lambda: both_ways(FRAME[:0]),
        "no columns": lambda: both_ways(FRAME[[]]),
        "same names": lambda: both_ways(pd.concat([FRAME["i"], FRAME["f"]], axis=1, keys=["x", "x"])),
        "changed in place": changed_in_place,
        "damaged": damaged,
    }
    wrong = {}
    for name, case in cases.items():
        try:
            case()
            wrong[name] = ""
        except BaseException:
            wrong[name] = traceback.format_exc()[-1500:]
    print(json.dumps(wrong))


main()
