"""Alerts as HTTP POSTs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import httpx

from worker.errors import DeliveryError, RefusedError, SettingsError
from worker.settings import WebhookSettings
from worker.types import Alert

# The answers that speak of this one body. Others (a wrong token, a wrong path, a server that is down) are
# mended by a person or by time, and the alert then still arrives.
_REFUSALS = {400, 413, 415, 422}


class Webhook:
    """POSTs an alert as a JSON object of the fields of its entry.

    The header `Idempotency-Key` is the id of the alert's entry. A receiver that gets a key twice, because our
    process died between the POST and its acknowledgement, has got the same event twice.

    Raises:
        SettingsError: the URL's host cannot be one.
    """

    def __init__(self, settings: WebhookSettings) -> None:
        try:
            self._url = httpx.URL(settings.url.get_secret_value())
        except httpx.InvalidURL as error:  # pickier about hosts than the settings, which load without httpx
            raise SettingsError(f"alerts.webhook.url: {error}") from None
        self._client = httpx.Client(timeout=settings.timeout_s)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def deliver(self, alerts: Sequence[Alert], key: str) -> None:
        """POST the events.

        Raises:
            RefusedError: the receiver does not want this message (400, 413, 415, 422).
            DeliveryError: it answers anything else but 2xx.
            httpx.HTTPError: no connection, or no answer in time.
        """
        response = self._client.post(self._url, json=asdict(alerts[0]), headers={"Idempotency-Key": key})
        if response.is_success:
            return
        # The host alone: the rest of a webhook's URL is often its secret, which "no such page" often repeats.
        said = response.text.replace(self._url.raw_path.decode(), "***") if self._url.path != "/" else response.text
        answer = f"{self._url.host} answers {response.status_code}: {said[:200]}"
        raise RefusedError(answer) if response.status_code in _REFUSALS else DeliveryError(answer)
