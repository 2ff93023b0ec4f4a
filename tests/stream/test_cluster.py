"""A Cluster: a line lives in one slot, and its client goes wherever that slot is served."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from line_settings import settings_for
from prometheus_client import CollectorRegistry
from redis_cluster import Cluster
from redis_servers import Server, wait_for

from worker.errors import StreamError, StreamUnavailable
from worker.metrics import AlertMetrics
from worker.orders import Shelve
from worker.runtime.alert_desk import AlertDesk
from worker.runtime.alert_loop import AlertLoop
from worker.stream.alerting import AlertStore
from worker.stream.connection import connect, stream_errors
from worker.stream.keys import LineKeys
from worker.stream.ledger import read_ledger

from .traffic import Traffic


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster(line="test") as cluster:
        yield cluster


@pytest.fixture(autouse=True)
def _empty(cluster: Cluster) -> None:
    cluster.wait_for_replica()
    cluster.owner().client.flushall()


def traffic_through(cluster: Cluster, **flags: object) -> Traffic:
    return Traffic(settings_for(cluster.url, redis__timeout_s=1, **flags))


def nothing_is_lost_or_doubled(traffic: Traffic) -> None:
    books, results = traffic.finish()
    assert results == traffic.expected()
    assert books.difference == 0


def test_any_node_leads_to_the_server_of_the_lines_slot(cluster: Cluster) -> None:
    for node in cluster.nodes:
        client = connect(settings_for(cluster.url_of(node)))
        assert client.execute_command("SET", f"{LineKeys('test').frames}:x", node.port) == b"OK"
        client.close()
    assert cluster.owner().client.get("{test}:frames:x") == str(cluster.nodes[-1].port).encode()


def test_a_client_without_the_cluster_url_is_told_of_it(cluster: Cluster) -> None:
    client = connect(settings_for(f"redis://127.0.0.1:{cluster.other().port}"))
    with pytest.raises(StreamError, match=r"MOVED.*redis\+cluster://"), stream_errors():
        client.execute_command("XLEN", "{test}:frames")
    client.close()


def test_a_slot_that_moves_takes_the_line_along(cluster: Cluster) -> None:
    with traffic_through(cluster) as traffic:
        traffic.wait_for_more()
        source, target = cluster.owner(), cluster.other()
        migrate(cluster, source, target)
        traffic.wait_for_more()
        nothing_is_lost_or_doubled(traffic)
        said = " ".join(traffic.troubles)
        assert "MOVED" in said
        assert "ASK" in said or "TRYAGAIN" in said
    # And back, to the server that has a replica
    migrate(cluster, target, source)


def test_orders_and_the_states_of_alerts_are_found_on_the_lines_node(cluster: Cluster) -> None:
    settings, keys = settings_for(cluster.url), LineKeys("test")
    loop = AlertLoop(AlertStore(connect(settings), keys, settings.keep), settings, AlertMetrics(CollectorRegistry()))
    loop.begin()
    desk = AlertDesk(connect(settings), keys)
    given = desk.give([Shelve(camera=f"c{number}", by="anna") for number in range(3)])
    loop.step()
    assert desk.waiting(given) == []
    assert len(desk.look().shelves) == 3


def test_the_books_are_read_wherever_the_slot_has_moved(cluster: Cluster) -> None:
    settings = settings_for(cluster.url)
    keys, client, source, target = LineKeys("test"), connect(settings), cluster.owner(), cluster.other()
    with Traffic(settings) as traffic:
        traffic.wait_for_more()
        nothing_is_lost_or_doubled(traffic)
    before = read_ledger(client, keys)
    # When the slot moves, then the metrics' connection, on which nothing is ever written, goes with it
    migrate(cluster, source, target)
    with pytest.raises(StreamUnavailable, match="elsewhere"):
        read_ledger(client, keys)
    assert read_ledger(client, keys) == before
    client.close()
    migrate(cluster, target, source)


def migrate(cluster: Cluster, source: Server, target: Server) -> None:
    """As redis-cli --cluster reshard does, but slowly."""
    cluster.do(target, "SETSLOT", cluster.slot, "IMPORTING", cluster.id_of(source))
    cluster.do(source, "SETSLOT", cluster.slot, "MIGRATING", cluster.id_of(target))
    while keys := cluster.do(source, "GETKEYSINSLOT", cluster.slot, 1):
        source.client.execute_command("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)
        time.sleep(0.1)
    for node in (target, source, *cluster.nodes):
        if node.client.role()[0] == b"master":
            cluster.do(node, "SETSLOT", cluster.slot, "NODE", cluster.id_of(target))
    wait_for(lambda: cluster.owner() is target, "the slot's new owner")


@pytest.mark.slow
def test_a_replica_that_takes_over_is_found_and_so_is_one_that_must(cluster: Cluster) -> None:
    with traffic_through(cluster, redis__wait_replicas=1) as traffic:
        traffic.wait_for_more()
        cluster.fail_over()
        traffic.wait_for_more()
        nothing_is_lost_or_doubled(traffic)
    cluster.wait_for_replica()
    # If the owner dies, with all in step, and was the first start node too
    old, heir = cluster.owner(), cluster.replica()
    old.kill()
    url = cluster.url_of(old, *[node for node in cluster.nodes if node is not old])
    with Traffic(settings_for(url, redis__timeout_s=1)) as traffic:
        traffic.wait_for_more()
        assert cluster.owner() is heir
        old.start()
        cluster.wait_for_replica()
        assert cluster.replica() is old
