"""The users of deploy/redis: the code works under exactly their rights, and each is refused what it does not need."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import redis
from line_settings import settings_for
from ports import free_port
from prometheus_client import CollectorRegistry
from redis.backoff import NoBackoff
from redis.retry import Retry

from worker.errors import SettingsError, StreamUnavailable
from worker.metrics import AlertMetrics
from worker.orders import Shelve
from worker.runtime.alert_desk import AlertDesk
from worker.runtime.alert_loop import AlertLoop
from worker.stream.alerting import AlertStore, Saved
from worker.stream.commit import Committer
from worker.stream.connection import connect, eviction_policy
from worker.stream.consume import FrameConsumer, consumer_count
from worker.stream.dead import DeadLetters
from worker.stream.evidence import EvidenceBoard
from worker.stream.fields import alert_from_fields, result_from_fields
from worker.stream.frozen import FrozenCameras, Shown
from worker.stream.keys import LineKeys
from worker.stream.ledger import Ledger, read_ledger
from worker.stream.outbox import Outbox
from worker.stream.outbox_letters import OutboxLetters
from worker.stream.publish import FramePublisher, Published
from worker.stream.replies import DeadReply, Replies
from worker.stream.seen import LineSeen, look_at_line
from worker.stream.tail import Tail, last_entries
from worker.types import Alert, AlertKind, AlertState, Frame, Severity

from .guarded import LINE_ROLES, GuardedRedis
from .line_of_frames import dead, finished
from .lossy_proxy import LossyProxy
from .refusals import (
    ADD,
    ALERTS,
    CAMERAS,
    DEAD,
    FRAMES,
    INFO,
    LEDGER,
    READ,
    READ_BOOKS,
    READ_REPLY,
    REFUSED,
    RESULTS,
    SEE,
    SERVER,
    SIZES,
)

KEYS = LineKeys("test")
IDLE_MS = 50


@pytest.fixture(scope="module")
def _server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedRedis]:
    with GuardedRedis(tmp_path_factory.mktemp("guarded"), free_port()) as server:
        yield server


@pytest.fixture
def server(_server: GuardedRedis) -> GuardedRedis:
    """Empty, and with no script."""
    _server.admin.execute_command("FLUSHALL")
    _server.admin.execute_command("SCRIPT FLUSH")
    return _server


def worker(server: GuardedRedis, name: str = "w1", idle_ms: int = IDLE_MS) -> FrameConsumer:
    consumer = FrameConsumer(connect(server.settings("worker")), KEYS, name, idle_ms)
    consumer.join()
    consumer.show_up()
    return consumer


def committer(server: GuardedRedis) -> Committer:
    settings = server.settings("worker")
    return Committer(connect(settings), KEYS, settings.keep)


def publish(server: GuardedRedis, user: str = "camera", number: int = 0, **queue: object) -> Published:
    settings = server.settings(user, **{f"queue__{name}": value for name, value in queue.items()})
    publisher = FramePublisher(settings)
    published = publisher.publish(Frame("c1", b"image", seq=number))
    publisher.close()
    return published


def books(server: GuardedRedis, user: str = "viewer") -> Ledger:
    return read_ledger(connect(server.settings(user)), KEYS)


# The code, under the rights of its role.


@pytest.mark.parametrize("user", ["camera", "camera-evict", "gateway"])
def test_a_camera_publishes_and_is_told_that_the_queue_is_full(server: GuardedRedis, user: str) -> None:
    worker(server)
    assert publish(server, user).status == "accepted"
    assert publish(server, user, policy="drop-newest", max_frames=1).status == "dropped"
    assert publish(server, user, policy="block", max_frames=1, block_timeout_s=0.01).status == "dropped"
    found = books(server)
    assert (found.produced, found.dropped, found.backlog) == (3, {"block-timeout": 1, "drop-newest": 1}, 1)
    assert found.difference == 0


def test_a_camera_whose_answers_are_lost_publishes_each_frame_once(server: GuardedRedis) -> None:
    worker(server)
    with LossyProxy(server.port) as proxy:
        port = int(proxy.url.split(":")[2].split("/")[0])
        publisher = FramePublisher(settings_for(server.url("camera", port)))
        for number in range(3):
            frame = Frame("c1", b"image", seq=number)
            proxy.lose = 1
            with pytest.raises(StreamUnavailable):
                publisher.publish(frame)
            publisher.publish(frame)
        publisher.close()
    assert (books(server).produced, books(server).difference) == (3, 0)


def test_drop_oldest_needs_a_user_of_its_own(server: GuardedRedis) -> None:
    worker(server)
    # Under the camera's rights it ends at once with what to do, not only when the queue is full
    with pytest.raises(SettingsError, match="camera-evict"):
        publish(server, "camera", policy="drop-oldest", max_frames=1)
    # And the user that has them makes room
    first = publish(server, "camera-evict", policy="drop-oldest", max_frames=1)
    second = publish(server, "camera-evict", policy="drop-oldest", max_frames=1)
    assert (first.evicted, second.evicted) == (0, 1)
    assert (books(server).dropped, books(server).difference) == ({"drop-oldest": 1}, 0)


@pytest.mark.parametrize("loader", ["worker", "alerts"])
def test_a_camera_waits_until_somebody_has_loaded_its_script(server: GuardedRedis, loader: str) -> None:
    settings = server.settings("alerts")
    consumer, store = worker(server), AlertStore(connect(settings), KEYS, settings.keep)
    # Given a server that has forgotten its scripts
    server.admin.execute_command("SCRIPT FLUSH")
    publisher = FramePublisher(server.settings("camera"))
    frame = Frame("c1", b"image")
    with pytest.raises(StreamUnavailable, match="load it"):
        publisher.publish(frame)
    # When a worker shows up or the alert process looks around, as both do every few seconds
    if loader == "worker":
        consumer.show_up()
    else:
        store.look()
    # Then the camera goes on
    assert publisher.publish(frame).status == "accepted"
    publisher.close()


def test_a_worker_takes_frames_ends_them_and_leaves(server: GuardedRedis) -> None:
    first, second = worker(server), worker(server, "w2")
    for number in range(4):
        publish(server, number=number)
    ids = [delivery.id for delivery in first.read(3)]
    first.renew(ids)
    assert not second.has_idle()
    time.sleep(2 * IDLE_MS / 1000)
    assert second.has_idle()
    taken = second.recover_idle()
    assert taken is not None
    assert taken.id == ids[0]
    assert first.recover_own() is not None
    cameras = FrozenCameras(connect(server.settings("worker")), KEYS, 2)
    assert cameras.frozen([Shown(one, "c1", "ab") for one in ids]) == [False, True, True]
    done = committer(server).commit([finished(ids[0], reply_to="t1"), dead(ids[1], reply_to="t2"), finished(ids[2])])
    assert done == [True, True, True]
    assert second.read(1)
    first.leave()
    assert consumer_count(connect(server.settings("worker")), KEYS) == 1
    assert books(server, "worker").difference == 0
    assert eviction_policy(connect(server.settings("worker"))) == "noeviction"
    # And the gateway sees who works, finds the replies and takes them off
    gateway = connect(server.settings("gateway"))
    assert look_at_line(gateway, KEYS, within_s=10.0) == LineSeen(workers=1, model="")
    replies = {token: Replies(gateway, KEYS, token) for token in ("t1", "t2")}
    assert [one.frame for one in replies["t1"].read(block_ms=1)] == [ids[0]]
    assert replies["t1"].read(block_ms=1) == []
    (told,) = replies["t2"].read(block_ms=1)
    assert isinstance(told, DeadReply)
    replies["t2"].delete_read()
    admin = server.admin
    assert [admin.execute_command("XLEN", KEYS.reply(token)) for token in ("t1", "t2")] == [0, 0]


def test_a_worker_heals_what_was_flushed_and_ids_ahead_of_the_clock(server: GuardedRedis) -> None:
    consumer = worker(server)
    server.admin.execute_command("FLUSHALL")
    assert consumer.read(1, block_ms=1) == []
    camera = server.client("camera")
    camera.execute_command("XADD", KEYS.frames, f"{2**64 - 1}-{2**64 - 1}", "camera", "c1", "data", b"x")
    (delivery,) = consumer.read(1)
    consumer.show_up()
    with pytest.raises(StreamUnavailable):
        publish(server)
    committer(server).commit([dead(delivery.id)])
    consumer.show_up()
    assert publish(server).status == "accepted"


def test_the_alert_process_decides_and_delivers(server: GuardedRedis) -> None:
    settings = server.settings("alerts")
    consumer = worker(server)
    publish(server)
    (delivery,) = consumer.read(1)
    committer(server).commit([finished(delivery.id)])
    store = AlertStore(connect(settings), KEYS, settings.keep, ["log"], most_waiting=3)
    outbox = Outbox(connect(settings), KEYS, "log", settings.keep, "me")
    assert outbox.take()
    assert store.load() == {}
    store.pending()  # makes the group
    (result,) = store.read()
    assert not store.has_left(10_000)
    alert = Alert("a1", "c1", AlertKind.ANOMALY, AlertState.RAISED, Severity.WARNING, opened_at=1, at=1)
    assert store.commit("c1", Saved(0, "{}"), [result.id], [alert]) is not None
    assert store.commit("c2", Saved(0, "{}")) == []
    assert store.commit("c2", Saved(1)) == []  # forgets it
    assert list(store.load()) == ["c1"]
    reports = EvidenceBoard(connect(server.settings("worker")), KEYS)
    reports.report("w1", "disk full")
    assert [one.name for one in store.look().workers] == ["w1"]
    assert [one.reason for one in store.look().evidence] == ["disk full"]
    reports.withdraw("w1")
    assert store.look().evidence == ()
    assert store.now() > 0
    # And one that waits is delivered, one is refused, one overflows
    assert store.commit("c2", Saved(0, "{}"), [], [alert, alert, alert]) is not None
    first, second, _ = outbox.read("0-0")
    assert outbox.length() == 3
    assert next(outbox.all()) == first
    outbox.seal("group", [first.id, second.id])
    assert outbox.sealed() == {first.id: "group", second.id: "group"}
    assert outbox.failed("group", "422") >= 0
    outbox.part("group", [first, second])
    outbox.delivered(first.event, [first.id])
    outbox.bury(second.event, [second.id], "refused", "422")
    assert outbox.renew()
    outbox.release()
    seen = OutboxLetters(connect(settings), KEYS).look(["log"])
    assert [(one.waiting, one.dead, one.buried) for one in seen] == [(1, 2, {"overflow": 1, "refused": 1})]


def test_a_viewer_sees_everything_and_an_operator_replays_and_purges(server: GuardedRedis) -> None:
    consumer = worker(server)
    for number in range(3):
        publish(server, number=number)
    ids = [delivery.id for delivery in consumer.read(3)]
    committer(server).commit([finished(ids[0]), dead(ids[1]), dead(ids[2])])
    viewer = connect(server.settings("viewer"))
    assert len(last_entries(viewer, KEYS.results, result_from_fields, 5)) == 1
    assert Tail(viewer, KEYS.alerts, alert_from_fields, "0-0").read(block_ms=1) == []
    first, second = DeadLetters(viewer, KEYS).list()
    with pytest.raises(SettingsError, match="lacks a right"):
        DeadLetters(viewer, KEYS).replay(first.id)
    letters = DeadLetters(connect(server.settings("operator")), KEYS)
    assert letters.replay(first.id)
    assert letters.purge(second.id)
    # And likewise of what a sink did not get
    settings = server.settings("alerts")
    alert = Alert("a1", "c1", AlertKind.ANOMALY, AlertState.RAISED, Severity.WARNING, opened_at=1, at=1)
    outbox = Outbox(connect(settings), KEYS, "log", settings.keep, "me")
    assert outbox.take()
    AlertStore(connect(settings), KEYS, settings.keep, ["log"]).commit("c1", Saved(0), [], [alert, alert])
    for entry in outbox.read("0-0"):
        outbox.bury(entry.event, [entry.id], "refused", "422")
    seen = OutboxLetters(viewer, KEYS)
    assert [(one.sink, one.waiting, one.dead) for one in seen.look(seen.sinks())] == [("log", 0, 2)]
    replayed, purged = seen.letters("log")
    with pytest.raises(SettingsError, match="lacks a right"):
        seen.replay("log", replayed.id)
    mending = OutboxLetters(connect(server.settings("operator")), KEYS)
    assert mending.replay("log", replayed.id)
    assert mending.purge("log", purged.id)
    assert [(one.waiting, one.dead) for one in mending.look(mending.sinks())] == [(1, 0)]
    for user in ("viewer", "operator", "gateway", "worker"):
        found = books(server, user)
        assert (found.produced, found.backlog, found.dead_letters_kept, found.difference) == (4, 1, 0, 0)


@pytest.mark.parametrize("user", ["operator", "gateway"])
def test_who_may_gives_orders_that_the_alert_process_carries_out(server: GuardedRedis, user: str) -> None:
    settings = server.settings("alerts")
    store = AlertStore(connect(settings), KEYS, settings.keep)
    loop = AlertLoop(store, settings, AlertMetrics(CollectorRegistry()))
    worker(server)
    loop.begin()
    desk = AlertDesk(connect(server.settings(user)), KEYS)
    (order,) = desk.give([Shelve(camera="c1", by="anna")])
    assert desk.waiting([order]) == [order]
    loop.step()
    assert desk.waiting([order]) == []
    assert desk.look().shelves
    # And whoever only looks sees it too, but may order nothing
    viewer = AlertDesk(connect(server.settings("viewer")), KEYS)
    assert [str(shelf) for shelf in viewer.look().shelves] == ["alerts of c1"]
    with pytest.raises(SettingsError, match="lacks a right"):
        viewer.give([Shelve(camera="c1", by="anna")])


def test_rights_for_one_line_end_at_that_line(tmp_path: Path) -> None:
    with GuardedRedis(tmp_path, free_port(), LINE_LINE="test") as server:
        camera = server.client("camera")
        assert camera.execute_command("XADD", "{test}:frames", "*", "camera", "c1", "data", b"x")
        with pytest.raises(redis.exceptions.NoPermissionError):
            camera.execute_command("XADD", "{other}:frames", "*", "camera", "c1", "data", b"x")


# What each is refused.


@pytest.mark.parametrize("role", LINE_ROLES)
def test_a_role_is_refused_what_it_does_not_need(server: GuardedRedis, role: str) -> None:
    # DRYRUN, so that a mistake in the rights does not shut the server down
    assert [command for command in [*SERVER, *REFUSED[role]] if server.allows(role, *command)] == []


@pytest.mark.parametrize("role", LINE_ROLES)
def test_a_refused_command_is_refused_in_deed(server: GuardedRedis, role: str) -> None:
    client = server.client(role)
    harmless = [("KEYS", "*"), ("CONFIG", "GET", "maxmemory"), ("XGROUP", "DESTROY", FRAMES, "inspect"), *READ_REPLY]
    for command in harmless if role != "gateway" else harmless[:3]:
        with pytest.raises(redis.exceptions.NoPermissionError):
            client.execute_command(*command)


def test_a_script_of_others_gives_a_camera_no_right(server: GuardedRedis) -> None:
    # Given every script that the line has, loaded, and a frame in work
    consumer = worker(server)
    publish(server)
    (delivery,) = consumer.read(1)
    scripts = worker_scripts()
    hashes = [server.admin.execute_command("SCRIPT LOAD", text) for text in scripts]
    before = server.admin.execute_command("XRANGE", FRAMES, "-", "+")
    camera = server.client("camera")
    # When a camera calls them with keys that it has and arguments such as the workers' calls have
    key_lists = [[FRAMES] * 7, [FRAMES, SIZES], [FRAMES, LEDGER, CAMERAS, SIZES], [LEDGER, FRAMES, FRAMES, FRAMES]]
    claim = ["inspect", "me", "idle", 0, "0-0", 9]
    commit = ["inspect", 1, 1, 1, 1, delivery.id, "result", "c1", "OK", "0", "2", "a", "b"]
    leave = ["inspect", "w1", 0]
    alert = ["0", "", 0, 1, "g", 0]
    for sha, keys, arguments in itertools.product(hashes, key_lists, (claim, commit, leave, alert)):
        with suppress(redis.ResponseError):
            camera.execute_command("EVALSHA", sha, len(keys), *keys, *arguments)
    # Then nothing was taken, ended, deleted or written
    assert server.admin.execute_command("XRANGE", FRAMES, "-", "+") == before
    assert server.admin.execute_command("XPENDING", FRAMES, "inspect")[0] == 1
    assert server.admin.execute_command("EXISTS", RESULTS, DEAD, ALERTS) == 0
    assert (books(server).backlog, books(server).difference) == (1, 0)


def worker_scripts() -> list[bytes]:
    folder = Path(__file__).parents[2] / "worker" / "stream" / "scripts"
    common = [(folder / name).read_bytes() for name in ("frames.lua", "letters.lua")]
    return [
        b"".join([*common, path.read_bytes()])
        for path in sorted(folder.glob("*.lua"))
        if path.name not in ("frames.lua", "letters.lua", "publish.lua")
    ]


def test_nobody_comes_in_without_a_password(server: GuardedRedis) -> None:
    camera = server.password("camera")
    for user, password in ((None, None), ("default", "x"), ("camera", "x"), ("admin", camera), ("nobody", "x")):
        client = redis.Redis(port=server.port, username=user, password=password, retry=Retry(NoBackoff(), 0))
        with pytest.raises(redis.AuthenticationError):
            client.ping()
    # The health check may ask whether the server lives, and nothing else
    assert server.allows("health", "PING")
    allowed = [
        command for command in [*SERVER, *ADD, *SEE, *READ, *READ_BOOKS, *INFO] if server.allows("health", *command)
    ]
    assert allowed == []
