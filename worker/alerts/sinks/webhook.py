"""Alerts as HTTP POSTs."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence

import httpx

from worker import __version__
from worker.alerts.sinks.payload import payload
from worker.alerts.sinks.signature import read_secrets, sign
from worker.errors import DeliveryError, RefusedError, SettingsError, UnreachableError
from worker.settings import WebhookSettings
from worker.settings.secrets import read_secret
from worker.tls import make_context
from worker.types import Alert

# The answers that speak of this one body, for ever or for now. All others (a wrong token, a wrong path, a redirect, too
# many requests, a gateway without its server) would be given to any body, and are mended by a person or by time.
_REFUSALS = {400, 413, 415, 422}
_OF_THIS_BODY = {409, 423, 424, 500}
_READ_AT_MOST = 1_000


class Webhook:
    """POSTs an event as a JSON object of the fields of its entry; several as `{"alerts": [ … ]}`.

    The header `Idempotency-Key` is the message's key. A receiver that gets a key twice, because its answer did not
    reach us, has got the same message twice. With a secret the POST is signed.

    Raises:
        SettingsError: the URL's host cannot be one, or a file is not what it should be.
    """

    limited = True

    def __init__(self, settings: WebhookSettings) -> None:
        try:
            self._url = httpx.URL(settings.url.get_secret_value())
        except httpx.InvalidURL as error:  # pickier about hosts than the settings, which load without httpx
            raise SettingsError(f"alerts.webhook.url: {error}") from None
        self._settings = settings
        self._headers()  # what is wrong with a secret from the start is said at the start
        self._context = make_context("alerts.webhook", settings.ca_file)

    def open(self) -> None:
        """Each POST has a connection of its own."""

    def close(self) -> None:
        """Nothing is open."""

    def deliver(self, alerts: Sequence[Alert], key: str) -> None:
        """POST the events.

        Raises:
            RefusedError: the receiver does not want this message (400, 413, 415, 422).
            UnreachableError: no connection, no answer in time, or one that any message would get.
            DeliveryError: it failed on this message (500).
        """
        what = payload(alerts[0]) if len(alerts) == 1 else {"alerts": [payload(alert) for alert in alerts]}
        try:
            # By an event loop, as only there one time-out bounds all that a POST may take, however it trickles.
            status, said = asyncio.run(self._post(json.dumps(what).encode(), key, len(alerts)))
        except TimeoutError:
            raise UnreachableError(f"{self._url.host} does not answer within {self._settings.timeout_s:g} s") from None
        except httpx.HTTPError as error:
            raise UnreachableError(f"{self._url.host}: {type(error).__name__}: {self._mask(str(error))}") from None
        except SettingsError as error:
            raise UnreachableError(str(error)) from None
        if httpx.codes.is_success(status):
            return
        answer = f"{self._url.host} answers {status}: {self._mask(said)[:200]}"
        if status in _REFUSALS:
            raise RefusedError(answer)
        raise DeliveryError(answer) if status in _OF_THIS_BODY else UnreachableError(answer)

    async def _post(self, body: bytes, key: str, events: int) -> tuple[int, str]:
        """The answer's status, and how its text begins. What comes after the status changes nothing any more."""
        headers = {"Idempotency-Key": key, "X-Line-Events": str(events), **self._headers(key, body)}
        status, said = 0, b""
        try:
            async with (
                asyncio.timeout(self._settings.timeout_s),
                httpx.AsyncClient(timeout=None, verify=self._context) as client,  # noqa: S113
                client.stream("POST", self._url, content=body, headers=headers) as response,
            ):
                status = response.status_code
                async for chunk in response.aiter_raw():  # not unpacked: a small answer may be a large one packed
                    said += chunk[:_READ_AT_MOST]
                    if len(said) >= _READ_AT_MOST:
                        break
        except (TimeoutError, httpx.HTTPError):
            if not status:
                raise
        return status, said.decode("utf-8", "replace")

    def _headers(self, key: str = "", body: bytes = b"") -> dict[str, str]:
        """Those that never change, and with the files' secrets as they are now those that prove who we are."""
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"line-worker/{__version__}",
            "Accept-Encoding": "identity",
        }
        if token_file := self._settings.token_file:
            headers["Authorization"] = f"Bearer {_token(read_secret('alerts.webhook.token_file', token_file))}"
        if secret_file := self._settings.secret_file:
            setting = "alerts.webhook.secret_file"
            secrets = read_secrets(read_secret(setting, secret_file), f"{setting} {secret_file}")
            headers |= sign(secrets, key, int(time.time()), body)
        return headers

    def _mask(self, said: str) -> str:
        """Without the rest of the URL, which often is its secret and which "no such page" often repeats."""
        return said.replace(self._url.raw_path.decode(), "***") if self._url.raw_path != b"/" else said


def _token(text: str) -> str:
    token = text.strip()
    if not token.isascii() or not token.isprintable() or " " in token:
        raise SettingsError("alerts.webhook.token_file: a token is one word of printable ASCII")
    return token
