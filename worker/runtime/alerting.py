"""The alert process: a loop that decides, and a thread for each sink."""

from __future__ import annotations

import threading
from contextlib import ExitStack, closing

from prometheus_client import CollectorRegistry

from worker.alerts.sinks import create_sinks
from worker.alerts.standing import Standing, standing_alerts
from worker.metrics import AlertMetrics, serve
from worker.runtime.alert_loop import AlertLoop
from worker.runtime.delivery import Delivery
from worker.settings import Settings
from worker.stream.alarm_states import LINE, load_states
from worker.stream.alerting import AlertFeed, AlertStore
from worker.stream.connection import Client, connect
from worker.stream.keys import LineKeys


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

        store = AlertStore(client(), keys, settings.keep)
        feeds: list[AlertFeed] = []
        ending.callback(serve(registry, settings.line, settings.metrics.host, settings.metrics.alerts_port))
        standing_client = client()  # of its own, as a sink's thread looks too

        def standing() -> Standing:
            states = {name: state.text for name, state in load_states(standing_client, keys).items()}
            return standing_alerts(states, states.pop(LINE, ""))

        for name, sink in create_sinks(settings.alerts, settings.line, standing).items():
            ending.callback(sink.close)
            feeds.append(AlertFeed(client(), keys, name))
            delivery = Delivery(name, sink, feeds[-1], metrics, stop)
            delivery.start()
            ending.callback(delivery.join, settings.alerts.webhook.timeout_s + settings.redis.timeout_s)
        ending.callback(stop.set)
        AlertLoop(store, settings, metrics, feeds).run(stop)
