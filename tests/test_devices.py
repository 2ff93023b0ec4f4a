"""Device strings, and what they do to a worker process."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.devices import (
    KINDS,
    VISIBLE_DEVICES,
    Device,
    check_cores,
    child_environment,
    index_here,
    parse_devices,
    set_flags,
)
from worker.errors import DeviceError

cpu_devices = st.builds(
    lambda first, more: Device("cpu", cores=tuple(range(first, first + more))), st.integers(0, 999), st.integers(0, 64)
)
other_devices = st.builds(Device, st.sampled_from([kind for kind in KINDS if kind != "cpu"]), st.integers(0, 99))


@pytest.mark.parametrize(
    ("text", "devices"),
    [
        ("cpu", [Device("cpu")]),
        ("cpu:0", [Device("cpu", cores=(0,))]),
        ("cpu:0-3", [Device("cpu", cores=(0, 1, 2, 3))]),
        ("cpu:0,cpu:1", [Device("cpu", cores=(0,)), Device("cpu", cores=(1,))]),
        ("cpu:0,1", [Device("cpu", cores=(0,)), Device("cpu", cores=(1,))]),
        ("cpu:0-1,2-3", [Device("cpu", cores=(0, 1)), Device("cpu", cores=(2, 3))]),
        ("gpu:0,1", [Device("gpu", 0), Device("gpu", 1)]),
        ("gpu", [Device("gpu", 0)]),
        ("npu:7", [Device("npu", 7)]),
        ("xpu:0", [Device("xpu", 0)]),
        ("mlu:0", [Device("mlu", 0)]),
        ("dcu:0,1", [Device("dcu", 0), Device("dcu", 1)]),
        ("gcu", [Device("gcu", 0)]),
        ("iluvatar_gpu:2", [Device("iluvatar_gpu", 2)]),
        ("iluvatar_gpu", [Device("iluvatar_gpu", 0)]),
        ("metax_gpu:0,1", [Device("metax_gpu", 0), Device("metax_gpu", 1)]),
        ("Metax_GPU : 3", [Device("metax_gpu", 3)]),
        (" GPU:0 , cpu:2 ", [Device("gpu", 0), Device("cpu", cores=(2,))]),
    ],
)
def test_the_grammar_of_device_strings(text: str, devices: list[Device]) -> None:
    assert parse_devices(text) == devices


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not understood"),
        ("cpu:", "not understood"),
        ("gpu:", "not understood"),
        ("cpu0", "not understood"),
        ("cpu,", "not understood"),
        ("cpu:a", "not understood"),
        ("cpu:-1", "not understood"),
        ("gpu:0;1", "not understood"),
        ("_gpu:0", "not understood"),
        ("metax__gpu:0", "not understood"),
        ("metax:0", "kind must be one of cpu, gpu"),
        ("0", "kind must be one of cpu, gpu"),
        ("tpu:0", "kind must be one of cpu, gpu"),
        ("cpu:3-1", "backwards"),
        ("gpu:0-1", "gpu:0,1"),
        ("gpu:0,0", "twice"),
        ("cpu:0,cpu:0-0", "twice"),
        ("cpu:99999", "not understood"),
    ],
)
def test_a_wrong_device_string_is_told_what_is_wrong(text: str, says: str) -> None:
    with pytest.raises(DeviceError, match=says):
        parse_devices(text)


@pytest.mark.parametrize("text", ["cpu:0-1,cpu:1", "cpu,cpu:0"])
def test_two_workers_may_share_cores_if_asked(text: str) -> None:
    assert len(parse_devices(text)) == 2


@given(st.lists(cpu_devices | other_devices, min_size=1, max_size=8, unique=True))
def test_what_is_printed_is_read_back(devices: list[Device]) -> None:
    assert parse_devices(",".join(map(str, devices))) == devices


@given(st.text(alphabet="cpugn:0123-, x", max_size=20))
def test_any_text_parses_or_is_a_device_error(text: str) -> None:
    try:
        devices = parse_devices(text)
    except DeviceError:
        return
    assert devices
    assert parse_devices(",".join(map(str, devices))) == devices


def test_a_core_that_does_not_exist_is_refused_naming_those_that_do() -> None:
    with pytest.raises(DeviceError, match=f"no core 4000 here.* {max(os.sched_getaffinity(0))}"):
        check_cores(parse_devices("cpu:4000")[0])


def test_cores_of_this_machine_are_accepted() -> None:
    for core in os.sched_getaffinity(0):
        check_cores(Device("cpu", cores=(core,)))
    check_cores(Device("cpu"))
    check_cores(Device("gpu", 0))


def test_a_worker_sees_its_own_device_and_no_other() -> None:
    environment = child_environment(Device("gpu", 1), {"PATH": "/bin", "CUDA_VISIBLE_DEVICES": "0,1,2"})
    assert environment["CUDA_VISIBLE_DEVICES"] == "1"
    assert {environment[name] for name in VISIBLE_DEVICES.values() if name != "CUDA_VISIBLE_DEVICES"} == {"-1"}
    assert environment["PATH"] == "/bin"


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"cpu"}))
def test_a_worker_of_any_kind_counts_its_device_as_the_first(kind: str) -> None:
    environment = child_environment(Device(kind, 3), {"CUDA_VISIBLE_DEVICES": "5"})
    assert environment[VISIBLE_DEVICES[kind]] == "3"
    assert index_here(Device(kind, 3), environment) == 0
    shown = {name for name in VISIBLE_DEVICES.values() if environment.get(name) not in (None, "-1")}
    assert shown == {VISIBLE_DEVICES[kind]}
    # HIP, MACA and XRE heed CUDA's variable too: there a -1 could hide what their own one shows.
    assert ("CUDA_VISIBLE_DEVICES" in environment) == (kind not in ("dcu", "metax_gpu", "xpu"))


@pytest.mark.parametrize(
    ("text", "environment", "index"),
    [
        ("gpu:1", {}, 1),
        ("gpu:1", {"CUDA_VISIBLE_DEVICES": "1"}, 0),
        ("gpu:1", {"CUDA_VISIBLE_DEVICES": "0,1"}, 1),
        ("gpu:0", {"CUDA_VISIBLE_DEVICES": "1"}, 0),
        ("gpu:0", {"CUDA_VISIBLE_DEVICES": "0"}, 0),
        ("gpu:11", {"CUDA_VISIBLE_DEVICES": "1"}, 11),
        ("npu:2", {"CUDA_VISIBLE_DEVICES": "2"}, 2),
        ("dcu:2", {"CUDA_VISIBLE_DEVICES": "2"}, 0),
        ("dcu:2", {"HIP_VISIBLE_DEVICES": "1,2,3", "CUDA_VISIBLE_DEVICES": "2"}, 2),
        ("iluvatar_gpu:1", {"CUDA_VISIBLE_DEVICES": "1"}, 0),
    ],
)
def test_frameworks_count_the_devices_that_a_process_sees(text: str, environment: dict[str, str], index: int) -> None:
    assert index_here(parse_devices(text)[0], environment) == index


def test_a_worker_has_what_its_kind_wants_set_before_paddle_is_loaded() -> None:
    environment = child_environment(Device("npu"), {"FLAGS_allocator_strategy": "naive_best_fit"})
    assert environment["FLAGS_npu_jit_compile"] == "0"
    assert environment["FLAGS_allocator_strategy"] == "naive_best_fit"  # whoever sets it otherwise has a reason
    assert not any(name.startswith("FLAGS_") for name in child_environment(Device("cpu"), {}))
    program: dict[str, str] = {}
    set_flags(Device("xpu"), program)
    assert program == dict(KINDS["xpu"].flags)


def test_a_cpu_worker_sees_no_accelerator_and_has_a_thread_for_each_of_its_cores() -> None:
    environment = child_environment(Device("cpu", cores=(2, 3, 4)), {})
    assert {environment[name] for name in VISIBLE_DEVICES.values()} == {"-1"}
    assert environment["OMP_NUM_THREADS"] == environment["OPENBLAS_NUM_THREADS"] == "3"


def test_pinning_holds_for_every_thread_started_later() -> None:
    core = min(os.sched_getaffinity(0))
    code = (
        "import os, threading; from worker.devices import *; seen = [];"
        f"pin(parse_devices('cpu:{core}')[0]);"
        "t = threading.Thread(target=lambda: seen.append(os.sched_getaffinity(0))); t.start(); t.join(); print(seen[0])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"{{{core}}}"
