"""Settings: where values come from, what is refused and how it is said, and that no password leaks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.errors import SettingsError
from worker.settings import describe, from_json, inherited_environment, load, mask_password, mask_webhook, to_json

SECRET = "s3cret-word"
URL = f"redis://worker:{SECRET}@10.0.0.5:6379/0"
WEBHOOK = f"https://bot:{SECRET}@hooks.example:8443/services/{SECRET}?token={SECRET}"


@pytest.fixture
def line_yml(tmp_path: Path) -> Path:
    path = tmp_path / "line.yml"
    path.write_text("line: from-file\nqueue:\n  policy: drop-oldest\n  max_frames: 10\nbatch: {max_batch: 3}\n")
    return path


def refusal(flags: dict[str, Any] | None = None, config: Path | None = None) -> str:
    with pytest.raises(SettingsError) as caught:
        load(flags, config)
    return str(caught.value)


def test_without_anything_everything_is_default() -> None:
    settings, origin = load()
    assert (settings.line, settings.devices, settings.queue.policy) == ("line1", "cpu", "block")
    assert set(origin.values()) == {"default"}
    assert set(origin) == set(describe(settings))


def test_a_flag_beats_the_environment_which_beats_the_file_which_beats_the_default(
    line_yml: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a policy named in three places, a limit in two and a batch size in one
    monkeypatch.setenv("LINE_QUEUE__POLICY", "block")
    monkeypatch.setenv("LINE_QUEUE__MAX_FRAMES", "20")
    settings, origin = load({"queue.policy": "drop-newest", "devices": None}, line_yml)
    # I expect each to come from the strongest, and its origin to be told
    assert settings.queue.policy == "drop-newest"
    assert origin["queue.policy"] == "flag"
    assert settings.queue.max_frames == 20
    assert origin["queue.max_frames"] == "env LINE_QUEUE__MAX_FRAMES"
    assert settings.batch.max_batch == 3
    assert origin["batch.max_batch"] == str(line_yml)
    assert origin["devices"] == "default"  # a flag that was not given is no flag
    assert settings.queue.max_bytes == 512 * 2**20


def test_line_config_names_the_file_unless_a_flag_does(
    line_yml: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other.yml"
    other.write_text("line: other\n")
    monkeypatch.setenv("LINE_CONFIG", str(line_yml))
    assert load()[0].line == "from-file"
    assert load(config=other)[0].line == "other"


def test_devices_and_cameras_may_be_lists_in_the_file(tmp_path: Path) -> None:
    config = tmp_path / "line.yml"
    config.write_text("devices: [cpu:0, cpu:1]\nalerts:\n  cameras:\n    - left\n    - right\n")
    settings, _ = load(config=config)
    assert settings.devices == "cpu:0,cpu:1"
    assert settings.alerts.expected_cameras == {"left", "right"}
    config.write_text("devices: [1, 2]\n")
    assert "devices" in refusal(config=config)


def test_sections_and_lists_of_json_may_stand_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINE_ALERTS__ANOMALY__RAISE_AT", "2")
    monkeypatch.setenv("LINE_QUEUE", '{"max_frames": 7}')
    settings, origin = load()
    assert (settings.alerts.anomaly.raise_at, settings.queue.max_frames) == (2, 7)
    assert origin["alerts.anomaly.raise_at"] == "env LINE_ALERTS__ANOMALY__RAISE_AT"


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("LINE_DEVISES", "devices"),
        ("LINE_QUEUE__POLICI", "queue.policy"),
        ("LINE_REDIS_URL", "redis.url"),
        ("LINE_ALERTS__ANOMALY__RAISE", "alerts.anomaly.raise_at"),
    ],
)
def test_an_unknown_variable_is_refused_with_the_nearest_known(
    variable: str, meant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "x")
    said = refusal()
    assert variable in said or variable.removeprefix("LINE_").lower().replace("__", ".") in said
    assert f"did you mean {meant}" in said.replace(", ", " did you mean ") or meant in said


@pytest.mark.parametrize(
    ("text", "named", "meant"),
    [
        ("devises: cpu\n", "devises", "devices"),
        ("queue: {policyy: block}\n", "queue.policyy", "queue.policy"),
        ("alerts: {anomaly: {clear_afterr: 1}}\n", "alerts.anomaly.clear_afterr", "alerts.anomaly.clear_after"),
    ],
)
def test_an_unknown_key_in_the_file_is_refused_with_the_nearest_known(
    text: str, named: str, meant: str, tmp_path: Path
) -> None:
    path = tmp_path / "line.yml"
    path.write_text(text)
    said = refusal(config=path)
    assert said.startswith(f"{named} (from {path}): there is no such setting")
    assert f"did you mean {meant}" in said


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("queue.policy", "drop", "'block', 'drop-oldest' or 'drop-newest'"),
        ("batch.max_batch", 0, "greater than or equal to 1"),
        ("batch.max_batch", 257, "less than or equal to 256"),
        ("batch.max_batch", "many", "valid integer"),
        ("line", "no spaces please", "A-Za-z0-9_.-"),
        ("line", "", "A-Za-z0-9_.-"),
        ("devices", "tpu:0", "cpu, gpu"),
        ("threshold", -1.0, "greater than or equal to 0"),
        ("work.max_attempts", 0, "greater than or equal to 1"),
        ("alerts.webhook.url", "ftp://x", "http:// or https://"),
        ("log.level", "loud", "'debug', 'info', 'warning' or 'error'"),
        ("engine", "tensorrt", "'paddle', 'openvino'"),
        ("redis.url", "http://localhost", "redis://, rediss://, unix://, redis+sentinel://"),
        ("metrics.port", 70_000, "65535"),
    ],
)
def test_a_bad_value_is_refused_naming_the_field_and_what_is_allowed(name: str, value: Any, allowed: str) -> None:
    said = refusal({name: value})
    assert said.startswith(f"{name} (from flag): ")
    assert allowed in said


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_a_threshold_that_is_no_number_is_refused(value: str) -> None:
    assert refusal({"threshold": float(value)}).startswith("threshold (from flag)")


def test_every_fault_is_told_at_once() -> None:
    said = refusal({"batch.max_batch": 0, "queue.policy": "x"})
    assert [line.split(" ")[0] for line in said.splitlines()] == ["batch.max_batch", "queue.policy"]


def test_a_rule_that_can_never_raise_is_refused() -> None:
    said = refusal({"alerts.anomaly.window": 2, "alerts.anomaly.raise_at": 3})
    assert said.startswith("alerts.anomaly")
    assert "raise_at (3) must not exceed window (2)" in said


def test_a_section_given_as_one_value_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "line.yml"
    path.write_text("queue: block\n")
    assert refusal(config=path) == f"queue (from {path}): must be a section with settings in it; got 'block'"
    monkeypatch.setenv("LINE_QUEUE__MAX_FRAMES", "5")
    assert refusal(config=path).startswith("queue")
    monkeypatch.setenv("LINE_WATCH", "off")
    assert refusal() == (
        'environment: error parsing value for field "watch": a section takes JSON, or a variable a setting'
    )


@pytest.mark.parametrize("text", ["- a\n- b\n", "just words", "a: [1", "\x00", "a: !!python/object:x {}"])
def test_a_file_that_is_no_mapping_is_refused_by_its_name(text: str, tmp_path: Path) -> None:
    path = tmp_path / "line.yml"
    path.write_text(text)
    assert refusal(config=path).startswith(f"config file {path}: not a YAML mapping of settings")


def test_a_file_that_is_not_there_is_refused_by_its_name(tmp_path: Path) -> None:
    assert "there is no such file" in refusal(config=tmp_path / "none.yml")


def test_an_empty_file_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "line.yml"
    path.write_text("")
    assert load(config=path)[0] == load()[0]


def test_what_stands_empty_in_the_file_is_not_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "line.yml"
    path.write_text("line:\nqueue:\nbatch: {}\nalerts:\n  anomaly:\n  webhook:\n    url:\n")
    settings, origin = load(config=path)
    assert settings == load()[0]
    assert set(origin.values()) == {"default"}
    monkeypatch.setenv("LINE_QUEUE__MAX_FRAMES", "5")
    assert load(config=path)[0].queue.max_frames == 5


@pytest.mark.parametrize("text", ["devises:\n", "queue:\n  policyy:\n"])
def test_an_unknown_key_is_refused_also_where_it_stands_empty(text: str, tmp_path: Path) -> None:
    path = tmp_path / "line.yml"
    path.write_text(text)
    assert "there is no such setting" in refusal(config=path)


def test_a_folder_is_refused_as_what_it_is(tmp_path: Path) -> None:
    assert refusal(config=tmp_path) == f"config file {tmp_path}: is not a file"


def test_the_password_is_shown_nowhere() -> None:
    settings, _ = load({"redis.url": URL, "alerts.webhook.url": WEBHOOK})
    assert describe(settings)["alerts.webhook.url"] == "https://hooks.example:8443/***"
    assert describe(settings)["redis.url"] == "redis://worker:***@10.0.0.5:6379/0"
    assert SECRET not in repr(settings) + str(describe(settings)) + settings.model_dump_json()


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("LINE_REDIS__URL", f"http://worker:{SECRET}@10.0.0.5"),
        ("LINE_REDIS__URL", f"{SECRET}"),
        ("LINE_REDIS", f'{{"url": "{URL}", "timeout_s": "soon"}}'),
        ("LINE_REDIS", f'{{"urll": "{URL}"}}'),
        ("LINE_REDIS", URL),
        ("LINE_ALERTS__WEBHOOK__URL", f"ftp://{SECRET}"),
        ("LINE_ALERTS__WEBHOOK__URL", f"http://[{SECRET}"),
        ("LINE_ALERTS__WEBHOOK__URL", f"http://h:{SECRET}/"),
        ("LINE_ALERTS__WEBHOOK__URL", f"http://h/{SECRET} {SECRET}"),
        ("LINE_ALERTS__WEBHOOK", f'{{"url": ["{WEBHOOK}"]}}'),
        ("LINE_ALERTS", f'{{"webhook": "{WEBHOOK}"}}'),
        ("LINE_ALERTS", WEBHOOK),
    ],
)
def test_no_error_echoes_the_password(variable: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, value)
    assert SECRET not in refusal()


def test_no_error_about_a_file_echoes_the_password(tmp_path: Path) -> None:
    path = tmp_path / "line.yml"
    for text in (f"redis: '{URL}'\n", f"redis: {{url: ['{URL}']}}\n", f"redis:\n  url: {URL}\n timeout_s: 1\n"):
        path.write_text(text)
        assert SECRET not in refusal(config=path)
    for text in (f"alerts: '{WEBHOOK}'\n", f"alerts: ['{WEBHOOK}']\n", f"alerts: {{webhook: '{WEBHOOK}'}}\n"):
        path.write_text(text)
        assert SECRET not in refusal(config=path)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://localhost:6379/0", "redis://localhost:6379/0"),
        (f"redis://:{SECRET}@h/0", "redis://:***@h/0"),
        (f"rediss://u:{SECRET}@h:1/2?x=y", "rediss://u:***@h:1/2?x=y"),
        (f"redis://u:{SECRET}@{SECRET}@h/0", "redis://u:***@h/0"),
        (f"unix://u:{SECRET}@/run/redis.sock", "unix://u:***@/run/redis.sock"),
        (f"redis://h/0?password={SECRET}", "redis://h/0?password=***"),
        (f"unix:///run/redis.sock?db=1&password={SECRET}&x=1", "unix:///run/redis.sock?db=1&password=***&x=1"),
    ],
)
def test_a_password_is_masked_wherever_a_url_may_hold_one(url: str, shown: str) -> None:
    assert mask_password(url) == shown


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("", ""),
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
        ("http://[::1]:80", "http://[::1]:80"),
        (f"https://h/{SECRET}", "https://h/***"),
        (f"https://h?{SECRET}", "https://h/***"),
        (f"https://{SECRET}@h", "https://h/***"),
        (f"https://u:{SECRET}@{SECRET}@h/", "https://h/***"),
    ],
)
def test_of_a_webhook_scheme_and_host_are_shown(url: str, shown: str) -> None:
    assert mask_webhook(url) == shown
    assert load({"alerts.webhook.url": url})[0].alerts.webhook.url.get_secret_value() == url


@pytest.mark.parametrize(
    "url", ["http://[", "http://", "https:///path", "http://h:x/", "http://u@/", "h", "http://a b"]
)
def test_a_webhook_that_nobody_could_call_is_refused(url: str) -> None:
    said = refusal({"alerts.webhook.url": url})
    assert said == ("alerts.webhook.url (from flag): must be http:// or https:// with a host, and without spaces")


@given(
    line=st.from_regex(r"\A[A-Za-z0-9_.-]{1,64}\Z"),
    max_batch=st.integers(1, 256),
    threshold=st.none() | st.floats(0, 1e6),
    password=st.text("abc123%", min_size=1, max_size=10),
)
def test_settings_reach_a_child_process_unchanged(
    line: str, max_batch: int, threshold: float | None, password: str
) -> None:
    url = f"redis://:{password}@h/0"
    flags = {"line": line, "batch.max_batch": max_batch, "threshold": threshold, "redis.url": url, "model": "a/b"}
    flags["alerts.webhook.url"] = f"http://h/{password}"
    settings, _ = load(flags)
    handed_over = to_json(settings)
    assert "\n" not in handed_over  # one line on the child's standard input
    assert from_json(handed_over) == settings
    assert from_json(handed_over).redis.url.get_secret_value() == url


def test_a_child_inherits_the_environment_without_our_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINE_REDIS__URL", URL)
    monkeypatch.setenv("LINES", "kept")
    environment = inherited_environment()
    assert "LINE_REDIS__URL" not in environment
    assert environment["LINES"] == "kept"


def test_an_empty_variable_is_one_that_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINE_MODEL", "")
    settings, origin = load()
    assert settings.model is None
    assert origin["model"] == "default"
