"""Alerts by MQTT: each event, and under a topic of its own the state of each camera, which the broker keeps."""

from __future__ import annotations

import json
import random
import re
import threading
import time
from collections.abc import Callable, Sequence

import structlog

from worker.alerts.life import SEVERITY, OpenAlert
from worker.alerts.sinks.mqtt_connection import Message, MqttConnection, mqtt_context
from worker.alerts.sinks.payload import payload
from worker.alerts.standing import Standing
from worker.errors import LineError, RefusedError, UnreachableError
from worker.settings import MqttSettings
from worker.settings.listed import NAME
from worker.settings.secrets import read_secret
from worker.types import Alert, Severity

log = structlog.get_logger()

LOOK_AT_MOST_S = 0.5
"""So often the states are looked at in a storm: a look reads every one, and at each event it would slow the events."""

_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 10.0
_STEADY_AFTER_S = 30.0
_LOOK_EVERY_S = 5.0
_LOOK_AGAIN_S = 1.0
_URGENCY = list(Severity)  # from the least on


class Topics:
    """The topics of a line, as `deploy/docs/alerts.md` tells them."""

    def __init__(self, prefix: str, line: str) -> None:
        self._base = f"{prefix}/{line}"
        self.status = f"{self._base}/status"
        self.states = f"{self._base}/camera/+/state"

    def alert(self, camera: str) -> str:
        """Of the events of a camera, or of the line where the name is empty."""
        return f"{self._of(camera)}/alert"

    def state(self, camera: str) -> str:
        """Of the state of a camera, or of the line."""
        return f"{self._of(camera)}/state"

    def camera(self, state: str) -> str | None:
        """The camera whose state a topic is; None: it is no camera's."""
        name = state.removeprefix(f"{self._base}/camera/").removesuffix("/state")
        return name if re.fullmatch(NAME, name) else None

    def _of(self, camera: str) -> str:
        return f"{self._base}/camera/{camera}" if camera else f"{self._base}/line"


class Mqtt:
    """Publishes each event with QoS 1, and keeps the retained states true by a thread of its own.

    A retained state is what the line's state in Redis says, not what the last event said: so it is right also after
    the broker has lost what it kept, after an outage, and for what is shelved. The broker says `offline` in our place
    when we die.

    Args:
        line: the line's name.
        standing: the alerts that stand now; called by another thread.

    Raises:
        SettingsError: a file of the settings is not what it should be.
    """

    limited = False

    def __init__(self, settings: MqttSettings, line: str, standing: Callable[[], Standing]) -> None:
        mqtt_context(settings)  # what is wrong from the start is said at the start
        if settings.password_file:
            read_secret("alerts.mqtt.password_file", settings.password_file)
        self._settings = settings
        self._standing = standing
        self._topics = Topics(settings.topic, line)
        self._client_id = settings.client_id or f"line-worker-{line}"
        self._connection: MqttConnection | None = None
        self._trouble = ""
        self._refusals: list[str] = []
        self._connected = threading.Event()
        self._look_now = threading.Event()
        self._stopping = threading.Event()
        self._keeper: threading.Thread | None = None

    def open(self) -> None:
        """Connect, and keep connected; two processes must not, as both would say whether the line is online."""
        if self._keeper is None:
            self._stopping.clear()
            self._keeper = threading.Thread(target=self._keep_connected, name="mqtt", daemon=True)
            self._keeper.start()

    def deliver(self, alerts: Sequence[Alert], key: str) -> None:  # noqa: ARG002 - each event has its `id`
        """Publish the events, and return when the broker has acknowledged them.

        Raises:
            RefusedError: the camera's name is no part of a topic.
            UnreachableError: there is no connection, or it broke.
            DeliveryError: the broker refuses it, and says so (MQTT 5 alone does).
        """
        if bad := [alert.camera for alert in alerts if alert.camera and not re.fullmatch(NAME, alert.camera)]:
            raise RefusedError(f"{bad[0]!r} is no camera's name, and no part of a topic")
        self._connected.wait(self._settings.timeout_s)
        if (connection := self._connection) is None:
            raise UnreachableError(self._trouble or "MQTT: not connected yet")
        connection.publish([Message(self._topics.alert(alert.camera), json.dumps(payload(alert))) for alert in alerts])
        self._look_now.set()

    def close(self) -> None:
        """Say that we are offline, and take leave."""
        self._stopping.set()
        self._look_now.set()
        if self._keeper is not None:
            self._keeper.join()
            self._keeper = None

    def _keep_connected(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while not self._stopping.is_set():
            begin, will = time.monotonic(), Message(self._topics.status, "offline", retain=True)
            connection = MqttConnection(self._settings, self._client_id, will, self._look_now.set)
            try:
                connection.open()
                self._use(connection)
                connection.close()
            except Exception as error:  # whatever it is: without this thread the sink gets nothing more
                self._note_trouble(error)
                connection.drop()
            pause_s = (
                _FIRST_PAUSE_S if time.monotonic() - begin > _STEADY_AFTER_S else min(2 * pause_s, _LONGEST_PAUSE_S)
            )
            self._stopping.wait(pause_s * random.uniform(0.5, 1))

    def _use(self, connection: MqttConnection) -> None:
        """Until we are told to stop.

        Raises:
            UnreachableError: the connection broke.
        """
        connection.publish([Message(self._topics.status, "online", retain=True)])
        log.info("connected to the MQTT broker", url=self._settings.url)
        self._trouble, self._connection = "", connection
        self._connected.set()
        try:
            connection.find_retained(self._topics.states)
            told: dict[str, str] = {}
            while not self._stopping.is_set():
                known = self._tell(connection, told)
                self._stopping.wait(LOOK_AT_MOST_S)
                self._look_now.wait(_LOOK_EVERY_S if known else _LOOK_AGAIN_S)
                self._look_now.clear()
            connection.publish([Message(self._topics.status, "offline", retain=True)])
        finally:
            self._connected.clear()
            self._connection = None

    def _tell(self, connection: MqttConnection, told: dict[str, str]) -> bool:
        """Publish the states that are other than what this connection has told; False where they are not known now."""
        connection.check()
        for topic in connection.take_retained():
            if camera := self._topics.camera(topic):  # of a camera that may be known no more
                told.setdefault(self._topics.state(camera), "")
        try:
            opened = self._standing()
        except LineError as error:  # Redis is away, which the alert loop says
            log.debug("the alerts' states cannot be read", error=str(error))
            return False
        states = {self._topics.state(camera): _state(camera, alerts) for camera, alerts in opened.items()}
        for topic in told.keys() - states.keys():
            states[topic] = _state(self._topics.camera(topic) or "", [])
        news = [Message(topic, state, retain=True) for topic, state in states.items() if told.get(topic) != state]
        refused = connection.offer(news)
        self._note_refusals([*refused.values()])
        told.update({topic: state for topic, state in states.items() if topic not in refused})  # those: at each look
        return True

    def _note_refusals(self, said: list[str]) -> None:
        if said and said != self._refusals:  # said once, however often it is tried
            log.error("the MQTT broker refuses the state of a camera", error=said[0], states=len(said))
        self._refusals = said

    def _note_trouble(self, error: Exception) -> None:
        if str(error) != self._trouble:  # said once, however often it is tried
            log.warning("no MQTT broker, trying again", error=str(error), exc_info=not isinstance(error, LineError))
        self._trouble = str(error)


def _state(camera: str, alerts: Sequence[OpenAlert]) -> str:
    opened = [
        {
            "alert_id": alert.alert_id,
            "kind": alert.kind.value,
            "severity": SEVERITY[alert.kind].value,
            "opened_at": alert.opened_at,
            "count": alert.told_count,
            "message": alert.message,
            "acknowledged_by": alert.acknowledged_by,
        }
        for alert in alerts
    ]
    worst = max((SEVERITY[alert.kind] for alert in alerts), key=_URGENCY.index, default=None)
    return json.dumps({"camera": camera, "severity": worst.value if worst else None, "alerts": opened})
