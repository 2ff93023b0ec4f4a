"""One connection to an MQTT broker."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from paho.mqtt.client import Client, DisconnectFlags, MQTTMessage, MQTTv5, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from worker.errors import DeliveryError, UnreachableError
from worker.settings import MqttSettings
from worker.settings.secrets import read_secret
from worker.tls import make_context

_VERSIONS = {"5": MQTTv5, "3.1.1": MQTTv311}
_QOS = 1
_KEEPALIVE_S = 20
"""A silence after which either side asks; the broker gives us up, and tells our will, after one and a half of it."""


class Message(NamedTuple):
    """What is published under a topic; the broker keeps a retained one for whoever subscribes later."""

    topic: str
    payload: str
    retain: bool = False


class MqttConnection:
    """A connection from its beginning to its end; publishing is safe from any thread.

    It is never made again, so that what was under way when it broke is not sent by itself later, over something newer.
    """

    def __init__(self, settings: MqttSettings, client_id: str, will: Message, on_change: Callable[[], None]) -> None:
        self._settings = settings
        self._on_change = on_change
        self._changed = threading.Condition()
        self._connected = False
        self._end = ""
        self._acknowledged: dict[int, ReasonCode] = {}
        self._retained: list[str] = []
        self._client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            protocol=_VERSIONS[settings.version],
            reconnect_on_failure=False,
        )
        self._client.will_set(*will[:2], qos=_QOS, retain=will.retain)
        self._client.connect_timeout = settings.timeout_s
        self._client.on_connect = self._note_answer
        self._client.on_disconnect = self._note_end
        self._client.on_publish = self._note_acknowledgement
        self._client.on_message = self._note_retained

    def open(self) -> None:
        """Connect and log in, with the password and the certificates as they are now.

        Raises:
            UnreachableError: the broker is away, is not who it should be, or does not let us in.
            SettingsError: a file is not what it should be.
        """
        address = self._settings.address()
        password_file = self._settings.password_file
        if address.username:
            password = read_secret("alerts.mqtt.password_file", password_file) if password_file else None
            self._client.username_pw_set(address.username, password)
        if address.tls:
            self._client.tls_set_context(mqtt_context(self._settings))
        try:
            self._client.connect(address.host, address.port, _KEEPALIVE_S)
        except OSError as error:
            raise self._unreachable(str(error)) from None
        self._client.loop_start()
        with self._changed:
            self._changed.wait_for(lambda: self._connected or self._end, self._settings.timeout_s)
            if not self._connected:
                raise self._unreachable(self._end or "no answer")

    def check(self) -> None:
        """Raise UnreachableError where it is over."""
        if self._end:
            raise self._unreachable(self._end)

    def publish(self, messages: Sequence[Message]) -> None:
        """Publish, and return when the broker has acknowledged all.

        Raises:
            UnreachableError: it did not, or the connection broke; this one is over.
            DeliveryError: it refuses one, and says so (MQTT 5). All have been sent.
        """
        for refusal in self.offer(messages).values():
            raise DeliveryError(refusal)

    def offer(self, messages: Sequence[Message]) -> dict[str, str]:
        """Publish, and return when the broker has answered all: by topic, what it says of those that it refuses.

        Raises:
            UnreachableError: it did not, or the connection broke; this one is over.
        """
        under_way = [
            (message.topic, self._client.publish(message.topic, message.payload, _QOS, message.retain).mid)
            for message in messages
        ]
        answers = [(topic, self._wait_for(mid)) for topic, mid in under_way]
        return {topic: f"{self._name} refuses {topic}: {answer}" for topic, answer in answers if answer.is_failure}

    def find_retained(self, pattern: str) -> None:
        """Ask which topics like this one the broker keeps something under; `take_retained` has them once it answers."""
        self._client.subscribe(pattern, _QOS)

    def take_retained(self) -> list[str]:
        """The topics found since the last call."""
        with self._changed:
            found, self._retained = self._retained, []
        return found

    def close(self) -> None:
        """Take leave, so that our will is not told."""
        self._client.disconnect()
        with self._changed:
            self._changed.wait_for(lambda: self._end, self._settings.timeout_s)
        self.drop()

    def drop(self) -> None:
        """End it at once. The broker takes that for our death."""
        open_socket = self._client.socket()
        if isinstance(open_socket, socket.socket):
            with suppress(OSError):  # it may be over already
                open_socket.shutdown(socket.SHUT_RDWR)
        self._client.loop_stop()
        self._over("dropped")

    def _wait_for(self, mid: int) -> ReasonCode:
        with self._changed:
            self._changed.wait_for(lambda: mid in self._acknowledged or self._end, self._settings.timeout_s)
            answer = self._acknowledged.pop(mid, None)
        if answer is None:
            self._over(f"no acknowledgement within {self._settings.timeout_s:g} s")
            raise self._unreachable(self._end)
        return answer

    @property
    def _name(self) -> str:
        address = self._settings.address()
        return f"{address.host}:{address.port}"

    def _unreachable(self, why: str) -> UnreachableError:
        return UnreachableError(f"MQTT broker {self._name}: {why}")

    def _over(self, why: str) -> None:
        with self._changed:
            self._end = self._end or why
            self._changed.notify_all()
        self._on_change()

    # What follows is called by paho's thread, and must not wait.

    def _note_answer(self, _client: Client, _data: Any, _flags: Any, answer: ReasonCode, _properties: Any) -> None:
        with self._changed:
            if answer.is_failure:
                self._end = f"does not let us in: {answer}"
            else:
                self._connected = True
            self._changed.notify_all()

    def _note_end(self, _client: Client, _data: Any, _: DisconnectFlags, why: ReasonCode, _properties: Any) -> None:
        self._over(f"connection lost: {why}")

    def _note_acknowledgement(
        self, _client: Client, _data: Any, mid: int, answer: ReasonCode, _properties: Any
    ) -> None:
        with self._changed:
            self._acknowledged[mid] = answer
            self._changed.notify_all()

    def _note_retained(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        if message.retain and message.payload:
            with self._changed:
                self._retained.append(message.topic)
            self._on_change()


def mqtt_context(settings: MqttSettings) -> ssl.SSLContext:
    """What TLS goes by, with the files as they are now.

    Raises:
        SettingsError: a file is not what it should be.
    """
    return make_context("alerts.mqtt", settings.ca_file, settings.cert_file, settings.key_file)
