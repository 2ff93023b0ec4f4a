"""The service where it asks for keys."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from worker.errors import SettingsError
from worker.gateway.access.check import _client
from worker.gateway.access.key_file import add_key, remove_key

from .service import HandWorker, Service, failed


@pytest.fixture
def keys_file(tmp_path: Path) -> Path:
    return tmp_path / "keys"


@pytest.fixture
def key(keys_file: Path) -> str:
    return add_key(keys_file, "press-1")


@pytest.fixture
def guarded(hand: HandWorker, redis_url: str, keys_file: Path, key: str) -> Iterator[Service]:
    with Service(redis_url, gateway__keys_file=str(keys_file)) as service:
        yield service


def test_without_a_key_or_with_a_wrong_one_nobody_is_let_in(guarded: Service, key: str) -> None:
    response = guarded.post(b"no picture")
    assert "X-API-Key" in failed(response, 401)
    assert response.headers["www-authenticate"] == "Bearer"
    for headers in ({"X-API-Key": "wrong"}, {"Authorization": f"Basic {key}"}, {"Authorization": "Bearer wrong"}):
        guarded.http.headers = headers
        assert failed(guarded.post(b"no picture"), 401 if "Basic" in str(headers) else 403)
        assert failed(guarded.http.get("/metrics"), 401 if "Basic" in str(headers) else 403)


def test_a_key_is_taken_in_either_header(guarded: Service, key: str) -> None:
    for headers in ({"X-API-Key": key}, {"Authorization": f"Bearer {key}"}, {"authorization": f"bearer  {key}"}):
        guarded.http.headers = headers
        assert guarded.post(b"no picture").status_code == 415
        assert guarded.http.get("/metrics").status_code == 200


def test_who_watches_over_the_service_needs_no_key(guarded: Service) -> None:
    assert guarded.http.get("/health").status_code == 200
    assert guarded.http.get("/ready").status_code == 200
    assert guarded.http.get("/openapi.json").status_code == 200


def test_a_key_that_is_revoked_is_taken_no_more(guarded: Service, keys_file: Path, key: str) -> None:
    other = add_key(keys_file, "press-2")
    guarded.http.headers = {"X-API-Key": key}
    assert guarded.post(b"no picture").status_code == 415
    remove_key(keys_file, "press-1")
    assert guarded.post(b"no picture").status_code == 403
    guarded.http.headers = {"X-API-Key": other}
    assert guarded.post(b"no picture").status_code == 415


def test_each_key_has_a_rate_of_its_own(hand: HandWorker, redis_url: str, keys_file: Path, key: str) -> None:
    other = add_key(keys_file, "press-2")
    flags = {"gateway__keys_file": str(keys_file), "gateway__rate_per_s": 0.1, "gateway__rate_burst": 1}
    with Service(redis_url, **flags) as service:
        for one in (key, other):
            service.http.headers = {"X-API-Key": one}
            assert [service.post(b"no picture").status_code for _ in range(2)] == [415, 429]
        # Who is not known takes nothing from anybody
        service.http.headers = {"X-API-Key": "wrong"}
        assert [service.post(b"no picture").status_code for _ in range(2)] == [403, 403]


def test_a_file_of_keys_that_is_missing_ends_the_service_before_it_begins(redis_url: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"gateway\.keys_file"):
        Service(redis_url, gateway__keys_file=str(tmp_path / "none"))


@pytest.mark.parametrize(
    ("address", "who"),
    [
        ("10.0.0.5", "10.0.0.5"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:10.0.0.5", "::ffff:10.0.0.5"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_a_client_is_known_by_the_part_of_its_address_that_it_cannot_choose(address: str, who: str) -> None:
    assert _client(address) == who
