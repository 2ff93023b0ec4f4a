"""What the images are made of: pinned, whole, and from where the program itself says that it comes."""

from __future__ import annotations

import runpy
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from worker.devices import KINDS

ROOT = Path(__file__).parents[1]
DOCKER = ROOT / "deploy" / "docker"
PIN = runpy.run_path(str(DOCKER / "pin.py"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
IN_FULL = ("openvino", "onnxruntime", "export", "serve", "mqtt")
NOT_PINNED = PIN["LEFT_OUT"] | {"paddlepaddle"}


def lines(file: Path) -> list[str]:
    text = [line.strip() for line in file.read_text().splitlines()]
    return [line for line in text if line and not line.startswith("#")]


def pins(name: str) -> dict[str, str]:
    """Name → version of a requirements file and those that it names."""
    found: dict[str, str] = {}
    for line in lines(DOCKER / "requirements" / f"{name}.txt"):
        if line.startswith("-r "):
            found |= pins(line.removeprefix("-r ").removesuffix(".txt"))
        else:
            requirement = Requirement(line)
            [specifier] = requirement.specifier
            assert specifier.operator == "=="
            found[canonicalize_name(requirement.name)] = specifier.version
    return found


@pytest.mark.parametrize(
    ("file", "wanted"),
    [
        ("core", PROJECT["dependencies"]),
        ("full", [line for extra in IN_FULL for line in PROJECT["optional-dependencies"][extra]]),
    ],
)
def test_an_image_has_what_the_project_asks_for(file: str, wanted: list[str]) -> None:
    known = pins(file)
    for requirement in map(Requirement, wanted):
        if canonicalize_name(requirement.name) not in NOT_PINNED:
            assert requirement.specifier.contains(known[canonicalize_name(requirement.name)], prereleases=True)


@pytest.mark.parametrize(("file", "extras"), [("core", ()), ("full", ("fast", "serve", "mqtt"))])
def test_what_is_needed_by_what_is_needed_is_pinned_too(file: str, extras: tuple[str, ...]) -> None:
    missing = set(PIN["needed"](extras)) - set(pins(file))
    assert not missing, f"python deploy/docker/pin.py {','.join(extras)}"


@pytest.mark.parametrize("file", sorted(path.stem for path in (DOCKER / "devices").iterdir()))
def test_a_devices_package_is_the_one_that_a_refusal_names(file: str) -> None:
    kind, _, variant = file.partition("-")
    installed = lines(DOCKER / "devices" / f"{file}.txt")
    assert any(line.startswith(f"{KINDS[kind].package}==") for line in installed)
    if kind != "cpu":
        index = variant or KINDS[kind].index
        assert installed[0] == f"--index-url https://www.paddlepaddle.org.cn/packages/stable/{index}/"


def test_every_kind_of_device_has_an_image() -> None:
    assert {path.stem.partition("-")[0] for path in (DOCKER / "devices").iterdir()} == set(KINDS)


def test_the_cpu_image_has_the_projects_paddle() -> None:
    [wanted] = [line for line in PROJECT["dependencies"] if line.startswith("paddlepaddle")]
    assert lines(DOCKER / "devices" / "cpu.txt") == [wanted]
