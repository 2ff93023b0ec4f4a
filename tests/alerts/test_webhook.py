"""The webhook: what is posted, and what its answers mean."""

from __future__ import annotations

import pytest
from alert_events import alert
from webhook_server import Receiver

from worker.alerts.sinks import Log, Webhook
from worker.alerts.sinks.create import create_sinks
from worker.errors import DeliveryError, RefusedError, SettingsError, UnreachableError
from worker.settings import AlertSettings, WebhookSettings
from worker.types import Alert, AlertKind, AlertState, Severity


def test_the_webhook_posts_the_fields_and_the_key() -> None:
    with Receiver() as receiver:
        Webhook(WebhookSettings(url=receiver.url)).deliver([alert()], "0-0")
    assert receiver.got == [
        (
            "0-0",
            {
                "alert_id": "c1:anomaly:0", "camera": "c1", "kind": "anomaly", "state": "raised",
                "severity": "critical", "opened_at": 1, "at": 2, "frame": "1-0", "score": 0.5, "count": 3,
                "message": "three NG", "model": "", "by": "", "note": "", "shelved": False, "id": "0-0",
            },
        )
    ]  # fmt: skip


@pytest.mark.parametrize("status", [301, 401, 404, 429, 500, 503])
def test_an_answer_that_may_be_mended_is_a_failure(status: int) -> None:
    with Receiver(answers=(status,)) as receiver, pytest.raises(DeliveryError) as caught:
        Webhook(WebhookSettings(url=receiver.url)).deliver([alert()], "0-0")
    assert not isinstance(caught.value, RefusedError)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("status", [400, 413, 415, 422])
def test_an_answer_that_speaks_of_this_alert_is_a_refusal(status: int) -> None:
    with Receiver(answers=(status,)) as receiver, pytest.raises(RefusedError):
        Webhook(WebhookSettings(url=receiver.url)).deliver([alert()], "0-0")


def test_an_answer_that_repeats_the_path_is_told_without_it() -> None:
    with Receiver(answers=(404,)) as receiver, pytest.raises(DeliveryError) as caught:
        Webhook(WebhookSettings(url=receiver.url)).deliver([alert()], "0-0")
    assert "404: cannot POST ***" in str(caught.value)


def test_a_host_that_cannot_be_one_is_told_by_the_setting() -> None:
    with pytest.raises(SettingsError, match=r"alerts\.webhook\.url") as caught:
        Webhook(WebhookSettings(url="http://999.1.1.1/s3cret"))
    assert "s3cret" not in str(caught.value)


def test_a_slow_receiver_is_given_up_on() -> None:
    with Receiver(delay_s=0.5) as receiver, pytest.raises(UnreachableError):
        Webhook(WebhookSettings(url=receiver.url, timeout_s=0.1)).deliver([alert()], "0-0")


def test_sinks_are_those_that_the_settings_ask_for() -> None:
    assert set(create_sinks(AlertSettings(), "test", dict)) == {"log"}
    assert set(create_sinks(AlertSettings(webhook=WebhookSettings(url="http://x/")), "test", dict)) == {
        "log",
        "webhook",
    }


def test_the_log_takes_every_alert(capsys: pytest.CaptureFixture[str]) -> None:
    for state in AlertState:
        Log().deliver([Alert("a", "c1", AlertKind.LATE, state, Severity.WARNING, 1, 2, message="ten late")], "a")
    assert capsys.readouterr().out.count("ten late") == len(AlertState)
