"""The Redis section of the settings: the URLs that are understood, what is refused, and that no secret is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from worker.errors import SettingsError
from worker.settings import describe, from_json, load, mask_password, to_json
from worker.settings.redis_url import RedisAddress, parse_redis_url

SECRET = "s3cret-word"


def refusal(url: str, **flags: Any) -> str:
    with pytest.raises(SettingsError) as caught:
        load({"redis.url": url, **{f"redis.{name}": value for name, value in flags.items()}})
    return str(caught.value)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://", RedisAddress("server", False, (("localhost", 6379),))),
        ("redis://h", RedisAddress("server", False, (("h", 6379),))),
        ("rediss://h:1/2", RedisAddress("server", True, (("h", 1),), db=2)),
        ("redis://[::1]:7/", RedisAddress("server", False, (("::1", 7),))),
        ("redis://h/1?db=3", RedisAddress("server", False, (("h", 6379),), db=3)),
        ("redis://u@h", RedisAddress("server", False, (("h", 6379),), username="u")),
        ("redis://:p@h", RedisAddress("server", False, (("h", 6379),), password="p")),
        ("redis://%40u:p%2F%3A%25@h", RedisAddress("server", False, (("h", 6379),), username="@u", password="p/:%")),
        (
            "redis://h?username=u&password=%20",
            RedisAddress("server", False, (("h", 6379),), username="u", password=" "),
        ),
        ("unix:///run/r.sock", RedisAddress("unix", False, (), path="/run/r.sock")),
        ("unix://u:p@/r?db=1", RedisAddress("unix", False, (), path="/r", db=1, username="u", password="p")),
        ("redis+sentinel://a/line", RedisAddress("sentinel", False, (("a", 26379),), service="line")),
        (
            "rediss+sentinel://u:p@a:1,b,[::1]:3/line/4",
            RedisAddress(
                "sentinel", True, (("a", 1), ("b", 26379), ("::1", 3)), service="line", db=4, username="u", password="p"
            ),
        ),
        ("redis+cluster://a", RedisAddress("cluster", False, (("a", 6379),))),
        (
            "rediss+cluster://:p@a:1,b_c.d-e/0",
            RedisAddress("cluster", True, (("a", 1), ("b_c.d-e", 6379)), password="p"),
        ),
    ],
)
def test_a_url_is_understood(url: str, address: RedisAddress) -> None:
    assert parse_redis_url(url) == address
    assert load({"redis.url": url})[0].redis.address() == address


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://h", "must begin with one of redis://"),
        (SECRET, "must begin with one of redis://"),
        ("redis://h:0", "must name host:port"),
        ("redis://h:65536", "must name host:port"),
        (f"redis://u:{SECRET}", "must name host:port"),
        (f"redis://u:{SECRET}/x@h", "must name host:port"),
        (f"redis://u:{SECRET}#x@h", "must not hold a #"),
        (f"redis://u:{SECRET}\n@h", "must not hold spaces or control characters"),
        (f"redis://u:{SECRET} @h", "must not hold spaces or control characters"),
        (f"redis://u:[{SECRET}@h", "is no URL"),
        (f"redis://{SECRET}℀@h", "is no URL"),
        ("redis://a,b", "names several hosts"),
        (f"redis://h/{SECRET}", "must be a number"),
        (f"redis://h?db={SECRET}", "must be a number"),
        (f"redis://h?ssl_password={SECRET}", "no options but db, username and password"),
        ("redis://h?socket_timeout=0", "no options but db, username and password"),
        (f"unix://u:{SECRET}@h/x", "three slashes"),
        ("unix://", "three slashes"),
        (f"redis+sentinel://:{SECRET}@a,b", "must name the service"),
        ("redis+sentinel:///line", "must name host:port,host:port"),
        (f"redis+sentinel://a/line/{SECRET}", "must be a number"),
        ("redis+cluster://", "must name host:port,host:port"),
        (f"redis+cluster://a:1,{SECRET}:x", "must name host:port,host:port"),
        ("redis+cluster://a/1", "database 0 only"),
    ],
)
def test_what_is_no_redis_url_is_refused_without_echo(url: str, said: str) -> None:
    told = refusal(url)
    assert told.startswith("redis.url (from flag): ")
    assert said in told
    assert SECRET not in told


@pytest.mark.parametrize(
    ("url", "flags", "said"),
    [
        (f"redis://:{SECRET}@h", {"password": SECRET}, "given twice"),
        (f"redis://:{SECRET}@h", {"password_file": "/p"}, "given twice"),
        ("redis://h", {"password": SECRET, "password_file": "/p"}, "given twice"),
        (f"redis://u:{SECRET}@h", {"username": "u"}, "given twice"),
        ("redis://h", {"ca_file": "/ca.pem"}, "a rediss… URL"),
        ("redis+sentinel://h/line", {"cert_file": "/c.pem"}, "a rediss… URL"),
        ("rediss://h", {"key_file": "/k.pem"}, "key_file needs cert_file"),
        ("redis://h", {"sentinel_password_file": "/p"}, "for redis+sentinel:// URLs"),
        ("redis://h", {"timeout_s": 1, "wait_timeout_ms": 1000}, "shorter than timeout_s"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(url: str, flags: dict[str, Any], said: str) -> None:
    told = refusal(url, **flags)
    assert said in told
    assert SECRET not in told


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (f"redis+sentinel://u:{SECRET}@a:1,b:2/line/0", "redis+sentinel://u:***@a:1,b:2/line/0"),
        (f"rediss+sentinel://:{SECRET}@a,b/line", "rediss+sentinel://:***@a,b/line"),
        (f"redis+cluster://:{SECRET}@a,b", "redis+cluster://:***@a,b"),
        (f"rediss+cluster://a?password={SECRET}", "rediss+cluster://a?password=***"),
        ("redis+cluster://a,b", "redis+cluster://a,b"),
    ],
)
def test_the_password_of_every_kind_of_url_is_masked(url: str, shown: str) -> None:
    assert mask_password(url) == shown
    assert describe(load({"redis.url": url})[0])["redis.url"] == shown


def test_a_password_of_its_own_travels_to_children_and_is_shown_nowhere() -> None:
    settings, _ = load({"redis.password": SECRET, "redis.username": "worker", "redis.password_file": None})
    assert describe(settings)["redis.password"] == "***"
    assert SECRET not in repr(settings) + str(describe(settings)) + settings.model_dump_json()
    assert from_json(to_json(settings)) == settings
    assert from_json(to_json(settings)).redis.password.get_secret_value() == SECRET
    assert describe(load()[0])["redis.password"] == ""


def test_files_travel_to_children_by_their_names(tmp_path: Path) -> None:
    flags = {"redis.password_file": tmp_path / "p", "redis.ca_file": tmp_path / "ca"}
    settings, _ = load({"redis.url": "rediss://h", **flags})
    assert from_json(to_json(settings)) == settings
    assert describe(settings)["redis.password_file"] == str(tmp_path / "p")
