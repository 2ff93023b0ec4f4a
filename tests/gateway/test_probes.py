"""What those who watch over the service are told, and the document that it gives of itself."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from ports import free_port

from worker.gateway.document import examples
from worker.gateway.document.openapi import ENDPOINT
from worker.gateway.document.schemas import (
    ErrorResponse,
    HealthResponse,
    InspectRequest,
    InspectResponse,
    ReadyResponse,
)

from .service import HandWorker, Service, failed, wait_until


def problem(service: Service) -> str:
    response = service.http.get("/ready")
    return "" if response.status_code == 200 else failed(response, 503)


def test_alive_is_said_as_paddlex_says_it(hand: HandWorker, redis_url: str) -> None:
    with Service(redis_url) as service:
        answer = service.http.get("/health").json()
    assert HealthResponse.model_validate(answer)
    assert {name: answer[name] for name in ("errorCode", "errorMsg")} == {"errorCode": 0, "errorMsg": "Healthy"}


def test_ready_is_who_has_redis_and_a_worker(hand: HandWorker, redis_url: str, pictures: list[bytes]) -> None:
    with Service(redis_url) as service:
        answer = service.http.get("/ready").json()
        assert ReadyResponse.model_validate(answer)
        assert answer["result"] == {"workers": 1, "model": None}
        # The model is that of the last result
        verdict = service.post_soon(pictures[0])
        hand.finish(*hand.take())
        verdict.result()
        wait_until(lambda: service.http.get("/ready").json()["result"]["model"] == "hand-made", "the model's name")
        # A worker that leaves is missed at once, here and by who asks for a verdict
        hand.leave()
        wait_until(lambda: problem(service), "a worker that is missed", timeout_s=6)
        assert "no worker has been seen on the line 'test'" in problem(service)
        response = service.post(pictures[0])
        assert problem(service) == failed(response, 503)
        assert response.headers["retry-after"] == "1"
        assert hand.waiting() == 0


def test_a_worker_that_says_nothing_any_more_is_missed(
    hand: HandWorker, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.gateway.line.lookout.SEEN_WITHIN_S", 2.0)
    with Service(redis_url) as service:
        hand.show_up()
        wait_until(lambda: not problem(service), "a worker that is seen")
        wait_until(lambda: problem(service), "a worker that is missed")
        hand.show_up()
        wait_until(lambda: not problem(service), "a worker that is seen again")


def test_without_redis_it_is_alive_and_not_ready(pictures: list[bytes]) -> None:
    with Service(f"redis://127.0.0.1:{free_port()}/0") as service:
        assert service.http.get("/health").status_code == 200
        assert "Redis cannot be reached" in problem(service)
        began = time.monotonic()
        assert "Redis cannot be reached" in failed(service.post(pictures[0]), 503)
        assert time.monotonic() - began < 10
        assert service.http.get("/metrics").status_code == 200


def test_requests_are_counted(hand: HandWorker, redis_url: str, pictures: list[bytes]) -> None:
    with Service(redis_url) as service:
        answer = service.post_soon(pictures[0], camera="left")
        (frame,) = hand.take()
        assert service.metric("line_gateway_waiting") == 1
        hand.finish(frame)
        answer.result()
        service.post(b"no picture")
        service.http.get("/made/up")
        requests = 'line_gateway_requests_total{path="%s",status="%s"}'
        assert service.metric(requests % (ENDPOINT, 200)) == 1
        assert service.metric(requests % (ENDPOINT, 415)) == 1
        assert service.metric(requests % ("?", 404)) == 1
        assert service.metric("line_gateway_seconds_count") == 2
        assert service.metric("line_gateway_waiting") == 0
        assert service.http.get("/metrics").headers["content-type"].startswith("text/plain; version=")


def document(redis_url: str, **flags: object) -> dict[str, Any]:
    with Service(redis_url, **flags) as service:
        found = service.http.get("/openapi.json").json()
    assert isinstance(found, dict)
    return found


def test_the_document_has_an_example_of_each_answer_and_each_is_true(redis_url: str) -> None:
    operation = document(redis_url)["paths"][ENDPOINT]["post"]
    assert set(operation["responses"]) == {"200", "408", "413", "415", "422", "429", "503", "504"}
    requests = operation["requestBody"]["content"]["application/json"]["examples"]
    assert all(InspectRequest.model_validate(one["value"]) for one in requests.values())
    for status, response in operation["responses"].items():
        shown = response["content"]["application/json"]["examples"]
        assert shown
        for one in shown.values():
            model = InspectResponse if status == "200" else ErrorResponse
            model.model_validate(one["value"])
            assert one["value"]["errorCode"] == (0 if status == "200" else int(status))
    assert "Retry-After" in operation["responses"]["429"]["headers"]


def test_the_document_is_of_the_service_as_it_is_set_up(redis_url: str, tmp_path: Path) -> None:
    from worker.gateway.access.key_file import add_key

    plain = document(redis_url)
    assert "securitySchemes" not in plain.get("components", {})
    assert "url" not in plain["paths"][ENDPOINT]["post"]["requestBody"]["content"]["application/json"]["examples"]
    add_key(tmp_path / "keys", "k")
    flags = {"gateway__keys_file": str(tmp_path / "keys"), "gateway__urls__enabled": True}
    guarded = document(redis_url, **flags)
    operation = guarded["paths"][ENDPOINT]["post"]
    assert {"401", "403"} <= set(operation["responses"])
    assert [*operation["security"][0], *operation["security"][1]] == [*guarded["components"]["securitySchemes"]]
    assert "url" in operation["requestBody"]["content"]["application/json"]["examples"]


@pytest.mark.parametrize("name", ["as PaddleX's", "all"])
def test_the_requests_of_the_document_are_taken(hand: HandWorker, redis_url: str, name: str) -> None:
    with Service(redis_url, gateway__timeout_s=10) as service:
        request = dict(examples.REQUESTS[name]["value"])
        answer = service.post_soon(request.pop("image"), **request)
        hand.finish(*hand.take())
        assert answer.result().status_code == 200
