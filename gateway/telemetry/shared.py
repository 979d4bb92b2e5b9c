"""One truth from several processes: each worker keeps a snapshot of its metrics in memory that all of them can read.

A worker that answers a scrape renews its own snapshot and adds up all of them; the others' are at most a second old.
Whatever was once shown is in shared memory, so no counter goes down when a worker is killed: the one that takes its
place begins with what its predecessor left.
"""

from __future__ import annotations

import mmap
import struct
import zlib
from collections.abc import Iterable, Sequence

import msgspec
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric

from gateway.telemetry import names

HALF = 2 * 1024 * 1024  # bytes for one snapshot; pages that are never written take no memory
_NUMBER = struct.Struct("=Q")  # of the newest snapshot; an even one is in the first half
_LENGTH, _CHECKSUM = struct.Struct("=I"), struct.Struct("=I")
_SPACE = 64  # for the number, a cache line
_SLOT = _SPACE + 2 * HALF
_ATTEMPTS = 1000

SampleId = tuple[str, tuple[tuple[str, str], ...]]
_OWN = {name.name: name for name in names.ALL}
_ADDED_UP = ("counter", "histogram")


class Family(msgspec.Struct, array_like=True):
    name: str
    help: str
    type: str
    samples: dict[SampleId, float]


Snapshot = dict[str, Family]
_encode = msgspec.msgpack.Encoder().encode
_Wire = list[tuple[str, str, str, list[tuple[str, tuple[tuple[str, str], ...], float]]]]
_decode = msgspec.msgpack.Decoder(_Wire).decode


def snapshot(registry: CollectorRegistry, worker: int) -> Snapshot:
    """All that a registry shows. What is a process's own (CPU, memory) gets the worker's number as a label."""
    found: Snapshot = {}
    for metric in registry.collect():
        more = () if metric.name in _OWN else (("worker", str(worker)),)
        samples = {(each.name, (*each.labels.items(), *more)): float(each.value) for each in metric.samples}
        found[metric.name] = Family(metric.name, metric.documentation, metric.type, samples)
    return found


def lasting(found: Snapshot) -> Snapshot:
    """What stays true of a process that has ended: what it counted."""
    return {name: family for name, family in found.items() if name in _OWN and family.type in _ADDED_UP}


def continued(before: Snapshot, own: Snapshot) -> Snapshot:
    """One process's values after those of its predecessor, of which only `lasting` ones are expected."""
    return _combined([before, own], {})


def merged(snapshots: Iterable[Snapshot]) -> Snapshot:
    """Several processes' values as one: added up, but for names that say otherwise."""
    return _combined(snapshots, {name: known.workers for name, known in _OWN.items()})


def _combined(snapshots: Iterable[Snapshot], rules: dict[str, str]) -> Snapshot:
    result: Snapshot = {}
    for each in snapshots:
        for name, family in each.items():
            if (found := result.get(name)) is None:
                result[name] = Family(name, family.help, family.type, dict(family.samples))
                continue
            for key, value in family.samples.items():
                old = found.samples.get(key)
                if old is None:
                    found.samples[key] = value
                else:
                    found.samples[key] = max(old, value) if rules.get(name) == "max" else old + value
    return result


def exposition(found: Snapshot) -> bytes:
    """In Prometheus's text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collected(found))
    return generate_latest(registry)


class _Collected:
    def __init__(self, found: Snapshot) -> None:
        self._found = found

    def collect(self) -> Iterable[Metric]:
        for family in self._found.values():
            metric = Metric(family.name, family.help, family.type)
            for (name, labels), value in family.samples.items():
                metric.add_sample(name, dict(labels), value)
            yield metric


class Slots:
    """One slot of shared memory for each worker, made before they are forked.

    A slot has one writer, its worker (the supervisor when that has ended), and any number of readers. There are two
    halves: while one is written the other is whole, so that a writer killed midway spoils nothing.
    """

    def __init__(self, count: int) -> None:
        self._memory = mmap.mmap(-1, count * _SLOT)
        self.count = count

    def write(self, slot: int, found: Snapshot) -> None:
        """Raises ValueError for a snapshot that is too large."""
        rows = [
            (family.name, family.help, family.type, [(*key, value) for key, value in family.samples.items()])
            for family in found.values()
        ]
        data = _encode(rows)
        measured = _LENGTH.pack(len(data)) + data
        whole = _CHECKSUM.pack(zlib.crc32(measured)) + measured
        if len(whole) > HALF:
            raise ValueError(f"the metrics of a worker take {len(whole):,} bytes, more than {HALF:,}")
        number = self._number(slot) + 1
        start = self._start(slot, number)
        # Copied, both times: `pack_into` would write zeros first, and a reader might see them.
        self._memory[start : start + len(whole)] = whole
        self._memory[slot * _SLOT : slot * _SLOT + _NUMBER.size] = _NUMBER.pack(number)

    def read(self, slot: int) -> Snapshot:
        """The newest snapshot; empty if there was none yet."""
        for _ in range(_ATTEMPTS):
            data = self._newest(slot)
            if data is not None:
                return _snapshot_of(data)
        raise RuntimeError(f"slot {slot} of the shared metrics is never whole")

    def read_all(self) -> Sequence[Snapshot]:
        return [self.read(slot) for slot in range(self.count)]

    def settle(self, slot: int) -> None:
        """For a worker that has ended: what it counted stays, its gauges go."""
        self.write(slot, lasting(self.read(slot)))

    def _newest(self, slot: int) -> bytes | None:
        """None if it is being written anew."""
        number = self._number(slot)
        if not number:
            return b"\x90"  # an empty list
        start = self._start(slot, number)
        body = start + _CHECKSUM.size
        (checksum,) = _CHECKSUM.unpack(self._memory[start:body])
        (length,) = _LENGTH.unpack(self._memory[body : body + _LENGTH.size])
        measured = self._memory[body : body + _LENGTH.size + min(length, HALF)]
        return measured[_LENGTH.size :] if zlib.crc32(measured) == checksum else None

    def _number(self, slot: int) -> int:
        (number,) = _NUMBER.unpack(self._memory[slot * _SLOT : slot * _SLOT + _NUMBER.size])
        return int(number)

    def _start(self, slot: int, number: int) -> int:
        return slot * _SLOT + _SPACE + number % 2 * HALF


def _snapshot_of(data: bytes) -> Snapshot:
    return {
        name: Family(name, help, kind, {(sample, labels): value for sample, labels, value in samples})
        for name, help, kind, samples in _decode(data)
    }
