"""docker-compose.yml and its overrides: by the schema, and by the rules that every service keeps."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from worker.settings import Settings, load

ROOT = Path(__file__).parents[2]
BASE = ROOT / "docker-compose.yml"
OVERRIDES = sorted((ROOT / "deploy" / "compose").glob("*.yml"))
FILES = [BASE, *OVERRIDES]
MADE_BY_THE_USER = ("./pictures", "./secrets")
VARIABLE = re.compile(r"\$\{([A-Z_]+)(?::-((?:[^{}]|\{[^}]*\})*))?(?::\?[^}]*)?\}")


def content(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(file.read_text())
    return found


def resolved(value: Any) -> Any:
    """With the default of each variable in its place."""
    if isinstance(value, str):
        return VARIABLE.sub(lambda match: resolved(match[2]) if match[2] is not None else "asked-for", value)
    if isinstance(value, dict):
        return {key: resolved(each) for key, each in value.items()}
    return [resolved(each) for each in value] if isinstance(value, list) else value


def services(*files: Path) -> list[Any]:
    """Those that a file defines whole, which is where they name an image or what it is built of."""
    return [
        pytest.param(name, resolved(service), id=f"{file.stem}: {name}")
        for file in files
        for name, service in content(file)["services"].items()
        if "restart" in service
    ]


def mounts(service: dict[str, Any]) -> list[tuple[str, str]]:
    """(source, target) of each of a service's volumes."""
    parts = [volume.split(":") for volume in service.get("volumes", [])]
    return [(part[0], part[1]) for part in parts]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_file_keeps_to_the_schema_of_compose(file: Path) -> None:
    checked = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", file],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_compose_itself_takes_a_file(file: Path) -> None:
    if shutil.which("docker") is None or subprocess.run(["docker", "compose", "version"], check=False).returncode:
        pytest.skip("there is no `docker compose` here")
    together = [BASE] if file == BASE else [file] if file.name == "boxes.yml" else [BASE, file]
    arguments = [text for each in together for text in ("-f", str(each))]
    checked = subprocess.run(
        ["docker", "compose", *arguments, "--project-directory", ROOT, "--profile", "*", "config", "--quiet"],
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/root", "BASE": "base", "REDIS_HOST": "box1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize(("name", "service"), services(*FILES))
def test_a_service_may_do_no_more_than_it_has_to(name: str, service: dict[str, Any]) -> None:
    assert service["user"].partition(":")[0] not in ("root", "0")
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"cap_add", "privileged", "pid", "ipc", "userns_mode"} & set(service)
    assert service.get("network_mode", "none") == "none"
    assert not any("docker.sock" in source for source, _ in mounts(service))


@pytest.mark.parametrize(("name", "service"), services(*FILES))
def test_a_service_is_limited_restarted_and_its_log_is_rotated(name: str, service: dict[str, Any]) -> None:
    assert service["mem_limit"]
    assert service["pids_limit"] > 0
    assert "cpus" in service
    assert service["logging"]["driver"] == "json-file"
    assert set(service["logging"]["options"]) == {"max-size", "max-file"}
    assert service["restart"] == {"secrets": "on-failure", "operator": "no"}.get(name, "unless-stopped")
    health = service["healthcheck"]
    assert health == {"disable": True} or {"test", "interval", "timeout", "retries", "start_period"} <= set(health)


@pytest.mark.parametrize(("name", "service"), services(*FILES))
def test_nothing_listens_beyond_this_box_unless_asked_to(name: str, service: dict[str, Any]) -> None:
    for port in service.get("ports", []):
        assert port.startswith("127.0.0.1:"), port


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_an_override_takes_no_rule_away(file: Path) -> None:
    for service in content(file)["services"].values():
        assert not {"cap_add", "privileged", "network_mode", "security_opt", "user", "read_only"} & set(service) or (
            "restart" in service
        )
        for port in resolved(service).get("ports", []):
            assert port.startswith("127.0.0.1:")


@pytest.mark.parametrize(("name", "service"), services(*FILES))
def test_an_image_is_named_by_its_version(name: str, service: dict[str, Any]) -> None:
    image, _, tag = service["image"].partition(":")
    if image == "localhost/line-worker":
        assert tag == "cpu"
    else:
        assert re.search(r"[0-9]+\.[0-9]+", tag), service["image"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_no_secret_stands_in_a_file_or_goes_into_an_environment(file: Path) -> None:
    for name, service in content(file)["services"].items():
        for variable, value in service.get("environment", {}).items():
            is_secret = re.search("PASSWORD|SECRET|TOKEN", variable)
            assert not is_secret or re.search("_FILE$|_DIR$|_WAIT$", variable), f"{name}: {variable}"
            assert not re.search(r"://[^/@]*:[^/@]*@", str(value)), f"{name}: {variable}"


def test_a_password_is_seen_by_its_service_and_nobody_else() -> None:
    readers: dict[str, set[str]] = {}
    for name, service in resolved(content(BASE))["services"].items():
        for volume in service.get("volumes", []):
            if volume.startswith("secrets-") and name != "secrets":
                assert volume.endswith(":ro")
                readers.setdefault(volume.partition(":")[0], set()).add(name)
    assert readers.pop("secrets-cameras") == {"demo-cameras", "cameras"}
    for volume, names in readers.items():
        assert names == {volume.removeprefix("secrets-")}


def test_redis_is_reached_by_nobody_but_its_clients() -> None:
    whole = content(BASE)
    on_it = {name for name, service in whole["services"].items() if "line" in service.get("networks", [])}
    assert on_it == {"redis", "worker", "alerts", "gateway", "demo-cameras", "cameras", "operator"}
    assert whole["networks"]["line"] == whole["networks"]["metrics"] == {"internal": True}
    assert whole["services"]["redis"]["networks"] == ["line"]
    assert "ports" not in whole["services"]["redis"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_what_is_mounted_is_there(file: Path) -> None:
    whole, base = resolved(content(file)), content(BASE)
    declared = set(whole.get("volumes") or {}) | (set() if file.name == "boxes.yml" else set(base["volumes"]))
    for service in whole["services"].values():
        for source, _ in mounts(service):
            if source.startswith("."):
                assert source.startswith(MADE_BY_THE_USER) or (ROOT / source).exists(), source
            elif not source.startswith("/"):
                assert source in declared, source
    used = {source for service in whole["services"].values() for source, _ in mounts(service)}
    assert set(whole.get("volumes") or {}) <= used


@pytest.mark.parametrize(
    ("name", "service"),
    [
        pytest.param(name, service, id=f"{file.stem}: {name}")
        for file in FILES
        for name, service in resolved(content(file))["services"].items()
        if "environment" in service
    ],
)
def test_what_a_service_is_told_are_settings_that_there_are(
    name: str, service: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in service["environment"].items():
        if variable.startswith("LINE_"):
            monkeypatch.setenv(variable, value)
    settings, _ = load()
    assert settings.line == "line1"
    if service["environment"].get("LINE_REDIS__URL"):
        assert settings.redis.username == {"demo-cameras": "camera", "cameras": "camera"}.get(name, name)
        assert settings.redis.password_file is not None


def test_a_service_has_time_to_end_well() -> None:
    whole = content(BASE)["services"]
    drain_s = Settings.model_validate({}).work.drain_timeout_s
    for name in ("worker", "gateway"):
        assert int(whole[name]["stop_grace_period"].removesuffix("s")) >= drain_s + 10


def test_redis_has_room_for_what_the_settings_let_in() -> None:
    redis = resolved(content(BASE))["services"]["redis"]
    sizes = {"gb": 2**30, "g": 2**30}
    memory, limit = (
        int(text.rstrip("gb")) * sizes[text.lstrip("0123456789")] for text in (redis["command"][-1], redis["mem_limit"])
    )
    settings = Settings.model_validate({})
    assert settings.queue.max_bytes + settings.keep.dead_bytes < memory
    assert limit >= 2 * memory


def test_every_variable_is_explained_with_its_default() -> None:
    explained = dict(re.findall(r"^#([A-Z_]+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE))
    used = {name: default for name, default in VARIABLE.findall(BASE.read_text()) if name != "BASE"}
    assert set(used) == set(explained)
    examples = {"MODEL": "./worker/demo/model", "SETTINGS": "", "GATEWAY_KEYS": ""}
    assert {name: examples.get(name, value) for name, value in explained.items()} == used


def test_what_no_image_needs_does_not_go_into_one() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert {".git", ".env", "secrets", "pictures", "tests", "deploy/*", "!deploy/docker"} <= set(ignored)
    for kept in (".env", "/secrets/", "/pictures/"):
        assert kept in (ROOT / ".gitignore").read_text().splitlines()
