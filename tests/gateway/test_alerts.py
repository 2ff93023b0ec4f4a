"""What is below `/alerts`, with a real alert process."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from line_settings import settings_for

from worker.gateway.access.key_file import add_key
from worker.gateway.document.alert_schemas import EventsResponse, OrderedResponse, OverviewResponse
from worker.stream.connection import Client, connect
from worker.stream.embedded import EmbeddedRedis
from worker.stream.fields import alert_from_fields, flat_fields, result_to_fields
from worker.stream.keys import LineKeys
from worker.stream.tail import last_entries
from worker.types import Alert, AlertState, Result, Verdict

from .service import Service, alert_thread, failed, wait_until

KEYS = LineKeys("test")
RULE = {"alerts__anomaly__window": 1, "alerts__anomaly__raise_at": 1, "alerts__reorder_ms": 0}


@pytest.fixture
def client(redis_url: str) -> Iterator[Client]:
    client = connect(settings_for(redis_url))
    yield client
    client.close()


@pytest.fixture
def service(redis_url: str) -> Iterator[Service]:
    with Service(redis_url) as service:
        yield service


@pytest.fixture
def alerts(redis_url: str) -> Iterator[None]:
    with alert_thread(redis_url, **RULE):
        yield


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine under load takes its time."""
    monkeypatch.setattr("worker.gateway.alerts.CARRIED_OUT_WITHIN_S", 60)


def events(client: Client) -> list[Alert]:
    return last_entries(client, KEYS.alerts, alert_from_fields, 1_000)


def raise_one(client: Client, camera: str = "c1") -> str:
    """An alert that is open, in the way of the line; its id."""
    before = len(events(client))
    bad = Result(f"{time.time_ns() // 1_000_000}-0", camera, Verdict.NG, score=0.02, threshold=0.01, model="m1")
    client.execute_command("XADD", KEYS.results, "*", *flat_fields(result_to_fields(bad)))
    wait_until(lambda: len(events(client)) > before, "an alert")
    return events(client)[-1].alert_id


def order(service: Service, what: str, **fields: Any) -> dict[str, Any]:
    response = service.http.post(f"/alerts/{what}", json=fields)
    assert response.status_code == 200, response.text
    OrderedResponse.model_validate_json(response.content)
    return dict(response.json()["result"])


def overview(service: Service) -> dict[str, Any]:
    response = service.http.get("/alerts")
    assert response.status_code == 200, response.text
    OverviewResponse.model_validate_json(response.content)
    return dict(response.json()["result"])


def test_an_alert_is_shown_and_acknowledged(client: Client, service: Service, alerts: None) -> None:
    assert overview(service)["alerts"] == []
    alert_id = raise_one(client)
    (shown,) = overview(service)["alerts"]
    assert (shown["alertId"], shown["camera"], shown["acknowledgedBy"]) == (alert_id, "c1", "")
    done = order(service, "acknowledge", alertId=alert_id, by="Łucja", note="lens is dirty", logId="42")
    assert done == {"orders": 1, "carriedOut": True}
    (shown,) = overview(service)["alerts"]
    assert (shown["acknowledgedBy"], shown["note"]) == ("Łucja", "lens is dirty")
    # A request that is sent again is answered again, and does nothing
    assert order(service, "acknowledge", camera="c1") == {"orders": 0, "carriedOut": True}
    response = service.http.get("/alerts/events", params={"last": 1})
    EventsResponse.model_validate_json(response.content)
    (event,) = response.json()["result"]["events"]
    assert (event["state"], event["alertId"], event["by"]) == ("acknowledged", alert_id, "Łucja")
    assert len(service.http.get("/alerts/events").json()["result"]["events"]) == 2


def test_alerts_are_shelved_and_told_when_the_shelf_ends(client: Client, service: Service, alerts: None) -> None:
    order(service, "shelve", camera="c1", kind="anomaly", seconds=600, by="anna", note="lens is changed")
    (shelf,) = overview(service)["shelves"]
    assert (shelf["camera"], shelf["kind"], shelf["by"], shelf["note"]) == ("c1", "anomaly", "anna", "lens is changed")
    assert shelf["until"] - shelf["since"] == 600 * 10**9
    alert_id = raise_one(client)
    assert overview(service)["alerts"][0]["shelvedUntil"] == shelf["until"]
    assert [event.shelved for event in events(client)] == [True]
    order(service, "unshelve", camera="c1", kind="anomaly")
    wait_until(lambda: len(events(client)) == 2, "the alert is told")
    told = events(client)[-1]
    assert (told.alert_id, told.state, told.shelved) == (alert_id, AlertState.RAISED, False)
    # A shift, unless told otherwise; and whoever asks is known by the address
    order(service, "shelve", all=True)
    (shelf,) = overview(service)["shelves"]
    assert (shelf["until"] - shelf["since"], shelf["by"]) == (8 * 3_600 * 10**9, "127.0.0.1")
    order(service, "unshelve", all=True)
    assert overview(service)["shelves"] == []


def test_where_no_alert_process_runs_the_order_waits(
    client: Client, redis_url: str, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.gateway.alerts.CARRIED_OUT_WITHIN_S", 0.2)
    assert order(service, "shelve", camera="c1") == {"orders": 1, "carriedOut": False}
    assert overview(service)["shelves"] == []
    with alert_thread(redis_url):
        wait_until(lambda: overview(service)["shelves"], "the shelf")


def test_what_is_not_there_is_a_404_that_says_what_is(client: Client, service: Service, alerts: None) -> None:
    alert_id = raise_one(client)
    for fields in ({"alertId": "c1:anomaly:1-0"}, {"camera": "c2"}, {"kind": "late"}):
        assert alert_id in failed(service.http.post("/alerts/acknowledge", json=fields), 404)
    assert "there are: none" in failed(service.http.post("/alerts/unshelve", json={"camera": "c1"}), 404)
    assert "/alerts" in failed(service.http.get("/alerts/nothing"), 404)


@pytest.mark.parametrize(
    ("what", "body"),
    [
        ("acknowledge", b""),
        ("acknowledge", b"[]"),
        ("acknowledge", b"{}"),
        ("acknowledge", b'{"alertId": ""}'),
        ("acknowledge", b'{"alertId": "a", "camera": "c1"}'),
        ("acknowledge", b'{"alertId": "a", "by": ""}'),
        ("acknowledge", b'{"alertId": "a", "by": "an\\nna"}'),
        ("acknowledge", b'{"alertId": "a", "note": "\\u0007"}'),
        ("acknowledge", b'{"alertId": "\\ud800"}'),
        ("shelve", b"{}"),
        ("shelve", b'{"camra": "c1", "all": true}'),
        ("shelve", b'{"all": true, "camera": "c1"}'),
        ("shelve", b'{"all": "yes"}'),
        ("shelve", b'{"all": true, "seconds": 0}'),
        ("shelve", b'{"all": true, "seconds": 604801}'),
        ("shelve", b'{"all": true, "seconds": 1.5}'),
        ("shelve", b'{"all": true, "seconds": true}'),
        ("shelve", b'{"camera": "../c1"}'),
        ("shelve", b'{"kind": "tired"}'),
        ("unshelve", b"{}"),
        ("unshelve", b'{"all": false}'),
        ("unshelve", b"[" * 5_000),
        ("unshelve", b"\xff"),
    ],
)
def test_what_cannot_be_meant_is_refused_and_nothing_is_ordered(
    client: Client, service: Service, what: str, body: bytes
) -> None:
    failed(service.http.post(f"/alerts/{what}", content=body, headers={"Content-Type": "application/json"}), 422)
    assert client.execute_command("EXISTS", KEYS.orders) == 0


@pytest.mark.parametrize("last", ["0", "1001", "-1", "x", "", "1e1", "٣", "9" * 40, "5&last=6"])
def test_how_many_events_must_be_a_number_within_bounds(service: Service, last: str) -> None:
    assert "last" in failed(service.http.get(f"/alerts/events?last={last}"), 422)


def test_a_body_that_is_too_large_or_from_a_page_of_elsewhere_is_refused(service: Service) -> None:
    assert "no order needs" in failed(service.http.post("/alerts/shelve", content=b" " * 2**17), 413)
    page = {"Origin": "http://elsewhere.example", "Content-Type": "text/plain"}
    failed(service.http.post("/alerts/shelve", content=b'{"all": true}', headers=page), 415)


def test_an_event_of_others_on_the_stream_harms_nobody(client: Client, service: Service) -> None:
    client.execute_command("XADD", KEYS.alerts, "*", "a", "b")
    client.execute_command(
        "XADD", KEYS.alerts, "*", "alert_id", "a", "camera", "c1", "kind", "late", "state", "raised", "severity",
        "info", "opened_at", 1, "at", 1, "score", "nan",
    )  # fmt: skip
    (event,) = service.http.get("/alerts/events").json()["result"]["events"]
    assert event["score"] is None


def test_alerts_ask_for_a_key_where_others_do(client: Client, redis_url: str, tmp_path: Path) -> None:
    keys_file = tmp_path / "keys"
    key = add_key(keys_file, "press-4")
    with Service(redis_url, gateway__keys_file=str(keys_file)) as service, alert_thread(redis_url):
        for path in ("/alerts", "/alerts/events"):
            failed(service.http.get(path), 401)
        for what in ("acknowledge", "shelve", "unshelve"):
            failed(service.http.post(f"/alerts/{what}", json={"all": True}), 401)
        assert client.execute_command("EXISTS", KEYS.orders) == 0
        service.http.headers["X-API-Key"] = key
        order(service, "shelve", all=True)
        assert [shelf["by"] for shelf in overview(service)["shelves"]] == ["press-4"]


def test_the_rate_holds_for_alerts_too(redis_url: str) -> None:
    with Service(redis_url, gateway__rate_per_s=0.01, gateway__rate_burst=2) as service:
        answers = [service.http.get("/alerts").status_code for _ in range(3)]
        assert answers == [200, 200, 429]


def test_too_many_at_once_are_told_so_and_take_no_place_from_pictures(
    redis_url: str, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.gateway.alerts.CARRIED_OUT_WITHIN_S", 2)
    with ThreadPoolExecutor(60) as threads:
        asked = [
            threads.submit(httpx.post, f"http://127.0.0.1:{service.port}/alerts/shelve", json={"all": True}, timeout=60)
            for _ in range(60)
        ]
        statuses = [one.result().status_code for one in asked]
    assert set(statuses) == {200, 429}
    assert service.metric('line_gateway_requests_total{path="/alerts/shelve",status="429"}') == statuses.count(429)
    assert service.metric("line_gateway_waiting") == 0


def test_without_redis_it_is_said_at_once_and_later_it_works_again() -> None:
    with EmbeddedRedis() as server:
        port, url = server.port, server.url
        service = Service(url, redis__timeout_s=1)
        service.server.start()
        assert service.http.get("/alerts").status_code == 200
    try:
        wait_until(lambda: service.http.get("/alerts").status_code == 503, "the outage is noticed")
        assert "Redis" in failed(service.http.post("/alerts/shelve", json={"all": True}), 503)
        assert service.http.get("/health").status_code == 200
        with EmbeddedRedis(port=port):
            wait_until(lambda: service.http.get("/alerts").status_code == 200, "it works again")
    finally:
        service.server.stop()
        service.http.close()
