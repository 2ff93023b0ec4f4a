"""A real MQTT broker for the tests, and a subscriber."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from paho.mqtt.client import Client, MQTTMessage, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

USER, PASSWORD = "line", "a password: with, many; marks"


def _program(name: str) -> str:
    """Its path; without it the test is skipped, and says so."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/bin")
    if found is None:
        pytest.skip(f"no {name} on this machine (apt install mosquitto)")
    return found


class Mosquitto:
    """A broker on a port of its own, with users and with what `options` say; a context manager.

    It keeps nothing over a restart. `password_file` holds the password of USER.
    """

    def __init__(self, folder: Path, port: int, *options: str) -> None:
        self.port = port
        self.log = folder / "mosquitto.log"
        self.password_file = folder / "password"
        self._config = folder / "mosquitto.conf"
        self._program = _program("mosquitto")
        self.password_file.write_text(PASSWORD + "\n")
        users = folder / "users"
        subprocess.run([_program("mosquitto_passwd"), "-c", "-b", users, USER, PASSWORD], check=True)
        # Started by root it would become another user, who may not look into the tests' folders.
        lines = ["user root", f"listener {port} 127.0.0.1", "allow_anonymous false", f"password_file {users}", *options]
        self._config.write_text("\n".join(lines) + "\n")
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Mosquitto:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Start it, and return when it listens."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen([self._program, "-c", self._config, "-v"], stdout=log, stderr=log)
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            except ConnectionRefusedError:
                assert self._process.poll() is None, self.log.read_text()
                assert time.monotonic() < deadline, self.log.read_text()
                time.sleep(0.02)

    def reload(self) -> None:
        """Read users and rights anew; connections stay."""
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)

    def kill(self) -> None:
        """At once, as a power cut does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    @property
    def url(self) -> str:
        return f"mqtt://{USER}@127.0.0.1:{self.port}"


class Subscriber:
    """Gets everything below a topic with QoS 1, by a session that outlives its connections; a context manager.

    `events` are the payloads of the topics that end in `alert`, `now` the latest payload of every other.
    """

    def __init__(self, port: int, tls: Any = None) -> None:
        self.events: list[dict[str, Any]] = []
        self.topics: list[str] = []
        self.now: dict[str, Any] = {}
        self.history: list[tuple[str, str]] = []
        self._client = Client(CallbackAPIVersion.VERSION2, client_id=f"subscriber-{uuid4().hex}", protocol=MQTTv5)
        self._client.username_pw_set(USER, PASSWORD)
        if tls is not None:
            self._client.tls_set_context(tls)
        self._subscribed = threading.Event()
        self._client.on_connect = lambda client, *_: client.subscribe("line-worker/#", 1)
        self._client.on_disconnect = lambda *_: self._subscribed.clear()
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = self._take
        self._client.reconnect_delay_set(1, 1)
        self._port = port

    def __enter__(self) -> Subscriber:
        keep = Properties(PacketTypes.CONNECT)
        keep.SessionExpiryInterval = 3_600
        self._client.connect("127.0.0.1", self._port, clean_start=False, properties=keep)
        self._client.loop_start()
        assert self._subscribed.wait(20)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def wait_for_return(self) -> None:
        """After an outage."""
        assert self._subscribed.wait(60)

    @property
    def ids(self) -> list[str]:
        return [event["id"] for event in self.events]

    def publish(self, topic: str, payload: str) -> None:
        """Something that the broker keeps."""
        self._client.publish(topic, payload, 1, retain=True).wait_for_publish(20)

    def _take(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        text = message.payload.decode()
        self.history.append((message.topic, text))
        if message.topic.endswith("/alert"):
            self.topics.append(message.topic)
            self.events.append(json.loads(text))
        else:
            self.now[message.topic] = json.loads(text) if text.startswith("{") else text
