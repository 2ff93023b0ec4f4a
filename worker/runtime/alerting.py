"""The alert process: a loop that decides, and a thread for each sink."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Sequence
from contextlib import ExitStack, closing, suppress

from prometheus_client import CollectorRegistry

from worker.alerts.sinks import create_sinks
from worker.alerts.standing import Standing, standing_alerts
from worker.errors import LineError
from worker.metrics import AlertMetrics, OutboxCollector, serve
from worker.runtime.alert_loop import AlertLoop
from worker.runtime.delivery import Delivery, LeaseKeeper
from worker.settings import Settings
from worker.stream.alarm_states import LINE, load_states
from worker.stream.alerting import AlertStore
from worker.stream.connection import Client, connect
from worker.stream.keys import LineKeys
from worker.stream.outbox import Outbox
from worker.stream.outbox_letters import OutboxLetters

_LAST_TRY_S = 5.0


def run_alerts(settings: Settings, stop: threading.Event) -> None:
    """Run the alert process until `stop` is set; Redis or a receiver being away is waited out.

    Raises:
        SettingsError: the metrics port is not to be had.
        StreamError: Redis answers with something that waiting does not mend.
    """
    keys = LineKeys(settings.line)
    registry = CollectorRegistry()
    metrics = AlertMetrics(registry)
    with ExitStack() as ending:

        def client() -> Client:
            return ending.enter_context(closing(connect(settings)))

        ending.callback(serve(registry, settings.line, settings.metrics.host, settings.metrics.alerts_port))
        standing_client = client()  # of its own, as a sink's thread looks too

        def standing() -> Standing:
            states = {name: state.text for name, state in load_states(standing_client, keys).items()}
            return standing_alerts(states, states.pop(LINE, ""))

        token = uuid.uuid4().hex

        def outbox(sink: str, at: Client) -> Outbox:
            return Outbox(at, keys, sink, settings.keep, token, settings.redis)

        sinks = create_sinks(settings.alerts, settings.line, standing)
        letters = OutboxLetters(client(), keys)
        registry.register(OutboxCollector(settings.line, lambda: letters.look(list(sinks))))
        deliveries = [
            Delivery(sink, outbox(name, client()), settings.alerts.outbox, metrics, stop)
            for name, sink in sinks.items()
        ]
        keeper_client = client()
        leases = [outbox(name, keeper_client) for name in sinks]
        ending.callback(_end, [*deliveries], leases, stop)
        for thread in (*deliveries, LeaseKeeper(leases, stop)):
            thread.start()
        store = AlertStore(client(), keys, settings.keep, sinks, settings.alerts.outbox.max_events)
        AlertLoop(store, settings, metrics).run(stop)


def _end(deliveries: Sequence[Delivery], leases: Sequence[Outbox], stop: threading.Event) -> None:
    """Let each sink end its try, but wait for none that hangs; another process goes on at once."""
    stop.set()
    deadline = time.monotonic() + _LAST_TRY_S
    for delivery in deliveries:
        delivery.join(max(0.0, deadline - time.monotonic()))
    with suppress(LineError):
        for delivery, lease in zip(deliveries, leases, strict=True):
            if delivery.is_alive():
                lease.release()
