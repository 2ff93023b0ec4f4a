"""How many cores a process may keep busy, in a container and out of one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from worker.cores import cpu_share, usable_cores
from worker.devices import Device, threads

V1 = Path("/sys/fs/cgroup/cpu")
V2 = Path("/sys/fs/cgroup")


def laid_out(root: Path, own: str, files: dict[str, str]) -> Path:
    """A tree as the kernel shows it: the process's groups, and what is in them."""
    for name, text in ({"proc/self/cgroup": own} | below("sys/fs/cgroup", files)).items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def v1(quota: str, period: str = "100000") -> dict[str, str]:
    return {"cpu.cfs_quota_us": f"{quota}\n", "cpu.cfs_period_us": f"{period}\n"}


def below(folder: str, files: dict[str, str]) -> dict[str, str]:
    return {f"{folder}/{name}": text for name, text in files.items()}


WHOLE, HALF, FREE = ({"cpu.max": f"{quota} 100000\n"} for quota in ("100000", "50000", "max"))


@pytest.mark.parametrize(
    ("own", "files", "share"),
    [
        pytest.param("0::/\n", HALF, 0.5, id="version 2"),
        pytest.param("0::/\n", FREE, None, id="version 2 without a limit"),
        pytest.param("0::/\n", {}, None, id="version 2 without a file"),
        pytest.param("0::/pods/one\n", below("pods/one", FREE) | below("pods", HALF), 0.5, id="a parent's"),
        pytest.param("0::/pods/one\n", below("pods/one", HALF) | below("pods", WHOLE), 0.5, id="the least"),
        pytest.param("0::/../other\n", WHOLE, None, id="outside of what is seen"),
        pytest.param("1:cpu:/one\n0::/\n", below("cpu/one", v1("150000")), 1.5, id="version 1"),
        pytest.param("1:cpu:/one\n", below("cpu/one", v1("-1")), None, id="version 1 without a limit"),
        pytest.param(
            "4:memory:/x\n1:cpu,cpuacct:/one\n", below("cpu,cpuacct", v1("100000", "50000")), 2.0, id="in a container"
        ),
        pytest.param("1:cpu:/\n", below("cpu", v1("rubbish")), None, id="not a number"),
        pytest.param("1:cpuset:/\n", v1("100000"), None, id="of another controller"),
    ],
)
def test_the_share_is_the_least_of_all_groups_above(
    tmp_path: Path, own: str, files: dict[str, str], share: float | None
) -> None:
    assert cpu_share(laid_out(tmp_path, own, files)) == share


def test_without_control_groups_there_is_no_limit(tmp_path: Path) -> None:
    assert cpu_share(tmp_path) is None


@pytest.fixture
def half_a_core() -> Iterator[Path]:
    """The list of processes of a real group that may use half a core."""
    top = V1 if V1.is_dir() else V2
    group = top / f"line-worker-test-{os.getpid()}"
    try:
        group.mkdir()
        if (group / "cpu.cfs_quota_us").exists():
            (group / "cpu.cfs_quota_us").write_text("50000")
        else:
            (group / "cpu.max").write_text("50000 100000")
    except OSError as error:
        pytest.skip(f"control groups are not ours to make here: {error}")
    yield group / "cgroup.procs"
    group.rmdir()


def test_a_process_with_a_share_runs_no_more_threads_than_that(half_a_core: Path) -> None:
    program = "from worker.devices import Device, threads; print(threads(Device('cpu')))"
    command = ["sh", "-c", f'echo $$ > {half_a_core} && exec "$@"', "sh", sys.executable, "-c", program]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said == "1\n"


def test_cores_that_are_named_are_taken_at_their_word() -> None:
    assert threads(Device("cpu", cores=(0, 1, 2))) == 3
    assert 1 <= threads(Device("cpu")) == usable_cores() <= len(os.sched_getaffinity(0))
