"""The private parts of prometheus_client that the site uses: these tests fail when a release changes them."""

from __future__ import annotations

import inspect
import json
import struct
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, values
from prometheus_client.mmap_dict import MmapedDict, mmap_key

from church.observability.metrics import client_internals
from church.observability.metrics.client_internals import SlotFile
from church.observability.metrics.worker_files import SlotValue


def parameters(function: Any) -> list[str]:
    return list(inspect.signature(function).parameters)


def members(value_class: type[Any]) -> set[str]:
    return {name for name in vars(value_class) if not name.startswith("_")} | {"_multiprocess"}


class Recorder(SlotValue):
    """A value class that notes how it is made, and counts nowhere."""

    made: list[tuple[tuple[Any, ...], dict[str, Any]]]

    def __init__(self, *arguments: Any, **named: Any) -> None:
        self.made.append((arguments, named))
        self._value, self._file = 0.0, None


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> type[Recorder]:
    monkeypatch.setattr(Recorder, "made", [], raising=False)
    monkeypatch.setattr(values, "ValueClass", Recorder)
    return Recorder


def test_value_class_of_the_client_has_no_member_that_ours_lacks() -> None:
    assert members(values.MutexValue) == {"inc", "set", "get", "set_exemplar", "get_exemplar", "_multiprocess"}
    assert members(values.MutexValue) <= {*dir(SlotValue)}
    for name in ("inc", "set", "get", "set_exemplar", "get_exemplar"):
        assert parameters(getattr(SlotValue, name)) == parameters(getattr(values.MutexValue, name))


def test_collectors_make_values_with_the_arguments_that_ours_takes(recorder: type[Recorder]) -> None:
    registry = CollectorRegistry()
    Counter("things", "Things.", ["kind"], registry=registry).labels("x")
    Gauge("busy", "Busy.", registry=registry, multiprocess_mode="livesum")
    Histogram("lasted", "Lasted.", buckets=(1.0,), registry=registry)
    assert [(tuple(map(_listed, arguments)), named) for arguments, named in recorder.made] == [
        (("counter", "things", "things_total", ["kind"], ["x"], "Things."), {}),
        (("gauge", "busy", "busy", [], [], "Busy."), {"multiprocess_mode": "livesum"}),
        (("histogram", "lasted", "lasted_sum", [], [], "Lasted."), {}),
        (("histogram", "lasted", "lasted_bucket", ["le"], ["1.0"], "Lasted."), {}),
        (("histogram", "lasted", "lasted_bucket", ["le"], ["+Inf"], "Lasted."), {}),
    ]
    names = ["typ", "metric_name", "name", "labelnames", "labelvalues", "help_text"]
    assert parameters(SlotValue)[:6] == names
    assert parameters(values.MutexValue)[:6] == names


def _listed(argument: Any) -> Any:
    return list(argument) if isinstance(argument, tuple) else argument


def test_value_class_that_is_installed_is_that_of_the_next_collector(
    recorder: type[Recorder], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(values, "ValueClass", values.MutexValue)
    client_internals.install_value_class(recorder)
    counter = Counter("things", "Things.", registry=CollectorRegistry())
    assert isinstance(counter._value, recorder)


def test_declared_families_are_read_from_the_registry() -> None:
    registry = CollectorRegistry()
    Counter("things", "Things.", ["kind", "size"], registry=registry)
    Gauge("busy", "Busy.", registry=registry)
    assert isinstance(registry._collector_to_names, dict)
    assert client_internals.declared_families(registry) == {
        "things": ("counter", "Things.", {"kind", "size"}),
        "busy": ("gauge", "Busy.", frozenset()),
    }


def test_bucket_bounds_end_with_infinity() -> None:
    histogram = Histogram("lasted", "Lasted.", ["kind"], buckets=(0.5, 2.0), registry=CollectorRegistry())
    assert client_internals.bucket_bounds(histogram) == (0.5, 2.0, float("inf"))


def test_key_is_a_json_list_of_metric_sample_labels_and_help() -> None:
    assert parameters(mmap_key) == ["metric_name", "name", "labelnames", "labelvalues", "help_text"]
    key = client_internals.value_key("things", "things_total", ("size", "kind"), ("big", "é"), "Things.")
    assert json.loads(key) == ["things", "things_total", {"kind": "é", "size": "big"}, "Things."]
    assert client_internals.parse_key(key.encode()) == ("things", "things_total", {"kind": "é", "size": "big"})


def test_file_of_the_client_has_the_methods_and_attributes_that_ours_extends(tmp_path: Path) -> None:
    assert parameters(MmapedDict) == ["filename", "read_mode"]
    assert parameters(MmapedDict._init_value) == ["self", "key"]
    assert parameters(MmapedDict.read_value) == ["self", "key"]
    assert parameters(MmapedDict.write_value) == ["self", "key", "value", "timestamp"]
    assert parameters(MmapedDict.close) == ["self"]
    file = SlotFile(tmp_path / "counter_slot0.db")
    assert (file._used, file._capacity) == (8, 1 << 16)
    assert file.read("new") == 0.0
    assert file._used == 8 + 4 + 4 + 16  # the length, the key with its padding, two doubles
    for number in range(1_000):
        file.write_value(f"{number:04d}{'x' * 100}", number, 0.0)
    assert file._capacity == file._f.seek(0, 2) == 1 << 17
    file.close()  # type: ignore[no-untyped-call]


def test_layout_of_the_file_is_as_the_client_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "counter_slot0.db"
    file = SlotFile(path)
    for number in range(9):
        file.write_value(f"{'k' * number}é", number + 0.5, 0.0)
    file.close()  # type: ignore[no-untyped-call]
    data = path.read_bytes()
    read = list(MmapedDict.read_all_values_from_file(str(path)))  # type: ignore[no-untyped-call]
    assert client_internals.used_bytes(data) == read[-1][3] + 16
    assert [(key.decode().rstrip(), at) for key, at in client_internals.read_entries(data)] == [
        (key.rstrip(), at) for key, _value, _time, at in read
    ]
    values_read = [struct.unpack_from("d", data, at)[0] for _key, at in client_internals.read_entries(data)]
    assert values_read == [number + 0.5 for number in range(9)] == [value for _key, value, _time, _at in read]
