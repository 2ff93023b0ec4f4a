"""The Kubernetes files: what kustomize makes of them is what an API server takes, and as hard as it should be."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import redis
import yaml
from ports import free_port
from stream.guarded import GuardedRedis

from worker.settings import load

REPOSITORY = Path(__file__).parents[2]
KUBERNETES = REPOSITORY / "deploy" / "kubernetes"
SCHEMAS = Path(__file__).with_name("schemas")
VERSIONS = ("1.29", "1.33", kubernetes_validate.latest_version())
WORKLOADS = ("Deployment", "StatefulSet")
Object = dict[str, Any]


def kustomize(folder: Path) -> str:
    """What `kustomize build` makes of a folder; skips where none is there that knows components and labels."""
    for command in (["kubectl", "kustomize"], ["kustomize", "build"]):
        if shutil.which(command[0]) is None:
            continue
        done = subprocess.run([*command, str(folder)], capture_output=True, text=True, check=False)
        if "unknown field" in done.stderr or "unknown command" in done.stderr:
            continue  # of years ago
        assert done.returncode == 0, done.stderr
        return done.stdout
    pytest.skip("no kubectl (1.28 or later) or kustomize (5 or later) on the PATH")


@pytest.fixture(scope="module")
def deploy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of `deploy`, with secrets as a user makes them."""
    folder = tmp_path_factory.mktemp("kubernetes") / "deploy"
    unwanted = shutil.ignore_patterns("redis_*_password", "wheels", "node_modules")
    shutil.copytree(REPOSITORY / "deploy", folder, ignore=unwanted)
    subprocess.run([folder / "redis" / "make-secrets.sh", folder / "kubernetes" / "secrets"], check=True)
    return folder


@pytest.fixture(scope="module")
def example(deploy: Path) -> list[Object]:
    """The example as it is."""
    return rendered(deploy / "kubernetes" / "example")


@pytest.fixture(scope="module")
def everything(deploy: Path) -> list[Object]:
    """The example with every line that is commented out, and KEDA by Prometheus in the place of KEDA by Redis."""
    example = deploy / "kubernetes" / "example"
    folder = shutil.copytree(example, example.with_name("everything"))
    file = folder / "kustomization.yaml"
    lines = [line.replace("# - ../", "- ../") for line in file.read_text().splitlines()]
    file.write_text("\n".join(line for line in lines if line.strip() != "- ../components/keda") + "\n")
    return rendered(folder)


def rendered(folder: Path) -> list[Object]:
    return [one for one in yaml.safe_load_all(kustomize(folder)) if one]


def pods(objects: list[Object]) -> Iterator[tuple[str, Object]]:
    """Name and pod's specification of each workload."""
    for one in objects:
        if one["kind"] in WORKLOADS:
            yield one["metadata"]["name"], one["spec"]["template"]


def containers(pod: Object) -> list[Object]:
    return [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]


def check(one: Object, version: str) -> None:
    """Against the API server's schema, or ours for what is an operator's; nothing that they do not know is let pass."""
    schema = SCHEMAS / f"{one['kind']}.json"
    if schema.exists():
        jsonschema.Draft202012Validator(json.loads(schema.read_text())).validate(one)
    else:
        kubernetes_validate.validate(one, version, strict=True)


@pytest.mark.parametrize("version", VERSIONS)
def test_each_object_is_one_that_the_api_server_takes(
    example: list[Object], everything: list[Object], version: str
) -> None:
    for one in [*example, *everything]:
        check(one, version)
    assert len(example) > 25


@pytest.mark.parametrize("schema", sorted(SCHEMAS.glob("*.json")), ids=lambda path: path.stem)
def test_our_schemas_are_schemas_and_refuse_what_they_do_not_know(schema: Path) -> None:
    document = json.loads(schema.read_text())
    jsonschema.Draft202012Validator.check_schema(document)
    [sound] = [one for one in written() if one["kind"] == schema.stem][:1]
    check(sound, VERSIONS[0])
    for wrong in ({**sound, "specs": {}}, {**sound, "spec": {**sound["spec"], "tpyo": 1}}, {**sound, "spec": {}}):
        with pytest.raises(jsonschema.ValidationError):
            check(wrong, VERSIONS[0])


def test_keda_scales_by_the_backlog_and_not_by_the_frames_in_work() -> None:
    [scaled] = [
        one
        for one in written()
        if one["kind"] == "ScaledObject" and one["spec"]["triggers"][0]["type"] == "redis-streams"
    ]
    scaled["spec"]["triggers"][0]["metadata"]["consumerGroup"] = "inspect"
    with pytest.raises(jsonschema.ValidationError):
        check(scaled, VERSIONS[0])


def written() -> list[Object]:
    """Every object as it is written, without kustomize: also checked where there is none."""
    files = [file for file in KUBERNETES.rglob("*.yaml") if "kustomization" not in file.name]
    objects = [one for file in files for one in yaml.safe_load_all(file.read_text()) if one]
    return [one for one in objects if not is_patch(one)]


def is_patch(one: Object) -> bool:
    return one["kind"] == "Deployment" and "selector" not in one["spec"]


@pytest.mark.parametrize("version", VERSIONS)
def test_each_file_by_itself_is_sound(version: str) -> None:
    for one in written():
        check(one, version)


def test_every_container_is_held_as_tightly_as_it_can_be(example: list[Object], everything: list[Object]) -> None:
    for name, pod in [*pods(example), *pods(everything)]:
        spec = pod["spec"]
        assert spec["automountServiceAccountToken"] is False, name
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["securityContext"]["runAsUser"] > 0, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for container in containers(pod):
            security = container["securityContext"]
            assert security["allowPrivilegeEscalation"] is False, name
            assert security["readOnlyRootFilesystem"] is True, name
            assert security["capabilities"] == {"drop": ["ALL"]}, name
            assert "memory" in container["resources"]["limits"], name
            assert {"cpu", "memory"} <= container["resources"]["requests"].keys(), name
            assert container["image"].partition(":")[2] not in ("", "latest"), name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys(), name
        assert all("hostPath" not in volume for volume in spec.get("volumes", [])), name


def test_no_password_stands_in_a_pod_and_each_role_has_its_own_alone(example: list[Object]) -> None:
    mounted = {
        name: {volume["secret"]["secretName"] for volume in pod["spec"]["volumes"] if "secret" in volume}
        for name, pod in pods(example)
    }
    assert mounted == {
        "alerts": {"line-worker-alerts"}, "cameras": {"line-worker-cameras"}, "gateway": {"line-worker-gateway"},
        "redis": {"line-worker-redis"}, "worker-cpu": {"line-worker-worker"},
    }  # fmt: skip
    keys = {one["metadata"]["name"]: set(one["data"]) for one in example if one["kind"] == "Secret"}
    for role, user in {"alerts": "alerts", "cameras": "camera", "gateway": "gateway", "worker": "worker"}.items():
        assert keys[f"line-worker-{role}"] == {f"redis_{user}_password"}
    for _, pod in pods(example):
        for container in containers(pod):
            assert not [
                one for one in container.get("env", []) if "PASSWORD" in one["name"] and "FILE" not in one["name"]
            ]
            assert not any("secretRef" in source for source in container.get("envFrom", []))


def test_every_setting_is_one_that_there_is(everything: list[Object]) -> None:
    [settings] = [one for one in everything if one["metadata"]["name"].startswith("line-worker-settings")]
    known = {f"LINE_{name.upper().replace('.', '__')}" for name in load({})[1]}
    for name, pod in pods(everything):
        for container in containers(pod):
            own = {one["name"] for one in container.get("env", []) if one["name"].startswith("LINE_")}
            assert own <= known, name
    assert set(settings["data"]) <= known


def test_a_pod_has_the_time_that_its_drain_takes(example: list[Object]) -> None:
    grace = {name: pod["spec"]["terminationGracePeriodSeconds"] for name, pod in pods(example)}
    settings, _ = load({})
    assert grace["worker-cpu"] > settings.work.drain_timeout_s + 10
    assert grace["gateway"] > settings.gateway.timeout_s + 5


def test_every_pod_is_behind_the_policies_and_every_selector_finds_its_pods(everything: list[Object]) -> None:
    labels = {name: pod["metadata"]["labels"] for name, pod in pods(everything)}
    assert {label["app.kubernetes.io/part-of"] for label in labels.values()} == {"line-worker"}
    for one in everything:
        wanted = selected_by(one)
        if wanted is not None:
            assert any(wanted.items() <= label.items() for label in labels.values()), one["metadata"]["name"]
    clients = {name for name, label in labels.items() if label.get("line-worker/redis") == "client"}
    assert clients == labels.keys() - {"redis"}


def selected_by(one: Object) -> dict[str, str] | None:
    """The labels that an object selects pods by."""
    if one["kind"] == "NetworkPolicy":
        return dict(one["spec"]["podSelector"]["matchLabels"])
    if one["kind"] == "Service":
        return dict(one["spec"]["selector"])
    if one["kind"] in (*WORKLOADS, "PodDisruptionBudget"):
        return dict(one["spec"]["selector"]["matchLabels"])
    return None


def test_classes_of_devices_stand_beside_each_other(everything: list[Object]) -> None:
    limits = {name: pod["spec"]["containers"][0]["resources"]["limits"] for name, pod in pods(everything)}
    assert limits["worker-gpu-nvidia"]["nvidia.com/gpu"] == 1
    assert limits["worker-npu-ascend"]["huawei.com/Ascend910"] == 1
    devices = {
        name: [env["value"] for env in pod["spec"]["containers"][0]["env"] if env["name"] == "LINE_DEVICES"]
        for name, pod in pods(everything)
        if name.startswith("worker")
    }
    assert devices == {"worker-cpu": ["cpu"], "worker-gpu-nvidia": ["gpu:0"], "worker-npu-ascend": ["npu:0"]}


def test_the_stream_that_keda_looks_at_is_the_line_s(example: list[Object]) -> None:
    [settings] = [one for one in example if one["metadata"]["name"].startswith("line-worker-settings")]
    [scaled] = [one for one in example if one["kind"] == "ScaledObject"]
    line = settings["data"]["LINE_LINE"]
    assert scaled["spec"]["triggers"][0]["metadata"]["stream"] == f"{{{line}}}:frames"
    [deployment] = [
        one
        for one in example
        if one["metadata"]["name"] == scaled["spec"]["scaleTargetRef"]["name"] and one["kind"] == "Deployment"
    ]
    assert "replicas" not in deployment["spec"]


def test_the_user_that_keda_logs_in_as_may_look_at_the_backlog(example: list[Object], tmp_path: Path) -> None:
    [secret] = [one for one in example if one["metadata"]["name"] == "line-worker-viewer"]
    user = base64.b64decode(secret["data"]["username"]).decode()
    with (
        GuardedRedis(tmp_path, free_port()) as server,
        redis.Redis(port=server.port, username=user, password=server.password(user), protocol=3) as client,
    ):
        assert client.ping()
        assert client.xlen("{line1}:frames") == 0


def test_redis_starts_from_the_files_of_deploy_redis(deploy: Path, example: list[Object]) -> None:
    [files] = [
        one for one in example if one["metadata"]["name"].startswith("line-worker-redis") and one["kind"] == "ConfigMap"
    ]
    for name, text in files["data"].items():
        assert text == (REPOSITORY / "deploy" / "redis" / name).read_text()
    assert set(files["data"]) == {"entrypoint.sh", "redis.conf", "users.acl.template"}


def test_the_rules_are_those_of_prometheus() -> None:
    folder = KUBERNETES / "components" / "monitoring"
    made = subprocess.run(
        [sys.executable, "-c", "import make_rules; print(make_rules.text(), end='')"],
        cwd=folder, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert (folder / "rules.yaml").read_text() == made, "run deploy/kubernetes/components/monitoring/make_rules.py"


def test_no_secret_is_kept_in_the_repository() -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "deploy/kubernetes/secrets"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    ).stdout.split()
    assert set(tracked) <= {"deploy/kubernetes/secrets/.gitignore", "deploy/kubernetes/secrets/kustomization.yaml"}
