"""The sections of the sinks in the settings: what is understood, what is refused, and that no secret is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from worker.errors import SettingsError
from worker.settings import EmailSettings, MqttSettings, describe, from_json, load, to_json
from worker.settings.mqtt import MqttAddress
from worker.settings.secrets import MOST_BYTES, read_secret

SECRET = "s3cret-word"
MAIL = {"host": "mail.example", "sender": "line@x.example", "recipients": "a@x.example"}


def refusal(section: str, **values: Any) -> str:
    with pytest.raises(SettingsError) as caught:
        load({f"alerts.{section}.{name}": value for name, value in values.items()})
    return str(caught.value)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("mqtt://h", MqttAddress("h", 1883, False)),
        ("mqtts://h/", MqttAddress("h", 8883, True)),
        ("mqtts://line%401@h:1", MqttAddress("h", 1, True, "line@1")),
        ("mqtt://[::1]:7", MqttAddress("::1", 7, False)),
    ],
)
def test_a_url_of_a_broker_is_understood(url: str, address: MqttAddress) -> None:
    assert MqttSettings(url=url).address() == address


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (f"mqtt://u:{SECRET}@h", "password_file is for it"),
        (f"mqtt://u:{SECRET}@h:x", "is no URL"),
        (f"mqtt://[{SECRET}", "is no URL"),
        (f"http://u:{SECRET}@h", "must be mqtt:// or mqtts://"),
        (f"mqtt://{SECRET} {SECRET}", "must be mqtt:// or mqtts://"),
        ("mqtt://", "must be mqtt:// or mqtts://"),
        ("mqtt://h:0", "must be mqtt:// or mqtts://"),
        (f"mqtt://h/{SECRET}", "the topic is a setting of its own"),
        (f"mqtt://h?password={SECRET}", "the topic is a setting of its own"),
    ],
)
def test_any_other_is_refused_and_not_repeated(url: str, said: str) -> None:
    told = refusal("mqtt", url=url)
    assert told.startswith("alerts.mqtt.url (from flag): ")
    assert said in told
    assert SECRET not in told


@pytest.mark.parametrize("topic", ["", "a/", "/a", "a//b", "a/+", "#", "$SYS/a", "a b", "x" * 65])
def test_a_topic_that_nobody_may_publish_under_is_refused(topic: str) -> None:
    assert refusal("mqtt", topic=topic).startswith("alerts.mqtt.topic")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"url": "mqtt://h", "password_file": "f"}, "needs a user in the URL"),
        ({"url": "mqtt://u@h", "ca_file": "f"}, "are for TLS"),
        ({"url": "mqtts://u@h", "key_file": "f"}, "key_file needs cert_file"),
    ],
)
def test_what_does_not_fit_together_is_refused_for_mqtt(values: dict[str, str], said: str) -> None:
    assert said in refusal("mqtt", **values)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"host": "mail.example"}, "one address as sender"),
        (MAIL | {"sender": "a@x.example,b@x.example"}, "one address as sender"),
        (MAIL | {"recipients": " , "}, "and recipients"),
        (MAIL | {"username": "u"}, "belong together"),
        (MAIL | {"password_file": "f"}, "belong together"),
        (MAIL | {"security": "none", "username": "u", "password_file": "f"}, "over TLS alone"),
        (MAIL | {"security": "none", "ca_file": "f"}, "over TLS alone"),
        (MAIL | {"security": "ssl"}, "'starttls', 'tls' or 'none'"),
        (MAIL | {"states": "raised,gone"}, "some of raised, updated, cleared, acknowledged"),
        (MAIL | {"states": ""}, "some of raised"),
        (MAIL | {"min_severity": "loud"}, "'info', 'warning' or 'critical'"),
        (MAIL | {"host": "two words"}, "pattern"),
    ],
)
def test_what_does_not_fit_together_is_refused_for_email(values: dict[str, str], said: str) -> None:
    assert said in refusal("email", **values)


@pytest.mark.parametrize(
    "address", ["nobody", "a@", "@x.example", "a b@x.example", "a@x.example\r\nBcc: eve@x.example", "A <a@x.example>"]
)
def test_what_is_no_address_is_refused(address: str) -> None:
    assert "is no address" in refusal("email", **MAIL | {"recipients": f"b@x.example,{address}"})
    assert "is no address" in refusal("email", **MAIL | {"sender": address})


@pytest.mark.parametrize(("security", "port"), [("starttls", 587), ("tls", 465), ("none", 25)])
def test_each_way_of_securing_has_its_usual_port(security: str, port: int) -> None:
    assert EmailSettings.model_validate(MAIL | {"security": security}).server_port == port
    assert EmailSettings.model_validate(MAIL | {"security": security, "port": 26}).server_port == 26


def test_a_recipient_who_is_named_twice_gets_one_mail() -> None:
    twice = EmailSettings.model_validate(MAIL | {"recipients": ["a@x.example", "b@x.example", "a@x.example"]})
    assert twice.to == ("a@x.example", "b@x.example")


def test_what_a_secrets_file_holds_is_shown_nowhere(tmp_path: Any) -> None:
    file = tmp_path / "secret"
    file.write_text(SECRET)
    names = ("webhook.secret_file", "webhook.token_file", "mqtt.password_file", "email.password_file")
    flags = {f"alerts.{name}": str(file) for name in names} | {"alerts.mqtt.url": "mqtts://u@h"}
    flags |= {f"alerts.email.{name}": value for name, value in (MAIL | {"username": "u"}).items()}
    settings, _ = load(flags)
    assert describe(settings)["alerts.webhook.secret_file"] == str(file)
    assert from_json(to_json(settings)) == settings
    assert SECRET not in str(describe(settings)) + repr(settings) + to_json(settings)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"\r\n", "is empty"),
        (b"\xff\x00", "is no UTF-8 text"),
        (b"x" * (MOST_BYTES + 1), "65,536 bytes"),
    ],
)
def test_a_file_that_holds_no_secret_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "secret"
    path.write_bytes(content)
    with pytest.raises(SettingsError, match=f"a.b_file {path}: .*{said}"):
        read_secret("a.b_file", path)


def test_a_device_without_an_end_is_refused() -> None:
    with pytest.raises(SettingsError, match="bytes"):
        read_secret("a.b_file", Path("/dev/zero"))


@pytest.mark.parametrize("content", [b"s3cret", b"s3cret\n", b"s3cret\r\n", b"\xef\xbb\xbfs3cret\r\n"])
def test_a_secret_is_what_a_person_sees_in_the_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "secret"
    path.write_bytes(content)
    assert read_secret("a.b_file", path) == "s3cret"
