"""A client that knows nothing of ours publishes a picture with a plain XADD and reads its verdict."""

from __future__ import annotations

import io
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

import cv2
import numpy as np
import pytest
from PIL import Image

from worker.capture.generated import GeneratedLine
from worker.inference.decode import decode
from worker.inference.predictor import Predictor
from worker.settings import load
from worker.stream.embedded import EmbeddedRedis
from worker.types import Encoding, Frame

from .running import RunningLine

FRAMES, RESULTS, DEAD, LEDGER = (f"{{test}}:{name}" for name in ("frames", "results", "frames:dead", "ledger"))

Publish = Callable[..., str]


class Resp:
    """The Redis protocol over a bare socket, in as many lines as any language needs."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._socket = socket.create_connection((parts.hostname, parts.port), timeout=30)
        self._replies: BinaryIO = self._socket.makefile("rb")

    def __call__(self, *words: bytes | str) -> object:
        raw = [word.encode() if isinstance(word, str) else word for word in words]
        self._socket.sendall(b"*%d\r\n" % len(raw) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in raw))
        return self._reply()

    def close(self) -> None:
        self._replies.close()
        self._socket.close()

    def _reply(self) -> object:
        line = self._replies.readline()[:-2]
        kind, rest = line[:1], line[1:]
        if kind == b"*":
            return None if rest == b"-1" else [self._reply() for _ in range(int(rest))]
        if kind == b"$":
            return None if rest == b"-1" else self._replies.read(int(rest) + 2)[:-2]
        assert kind in b"+:", line
        return int(rest) if kind == b":" else rest


@pytest.fixture(scope="module")
def jpeg() -> bytes:
    picture = GeneratedLine(5, size=128).render(0, "good").image
    cv2.circle(picture, (90, 40), 9, (0, 0, 0), -1)
    done, data = cv2.imencode(".jpg", picture[:, :, ::-1])
    assert done
    return data.tobytes()


@pytest.fixture(scope="module")
def predictor(small_model: Path) -> Predictor:
    return Predictor.open(small_model)


@pytest.fixture(scope="module")
def threshold(predictor: Predictor, jpeg: bytes) -> float:
    """One that calls the picture bad and finds an anomaly in a part of it only."""
    prediction = predictor.predict([decode(Frame(camera="c", data=jpeg, encoding=Encoding.JPEG), load()[0].limits)])[0]
    return 0.7 * prediction.score


@pytest.fixture(scope="module")
def line(
    _each_server: EmbeddedRedis, small_model: Path, threshold: float, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningLine]:
    """Two workers on each Redis that this machine has; the tests below tell their frames apart by camera."""
    with RunningLine(_each_server.url, tmp_path_factory.mktemp("line"), model=small_model) as running:
        running.client.flushall()
        running.start_workers("--threshold", str(threshold))
        yield running
        assert running.stop("run") == 0


@pytest.fixture
def resp(_each_server: EmbeddedRedis) -> Iterator[Resp]:
    connection = Resp(_each_server.url)
    yield connection
    connection.close()


@pytest.fixture(params=["redis-cli", "socket"])
def publish(request: pytest.FixtureRequest, _each_server: EmbeddedRedis, resp: Resp) -> Publish:
    """XADD of the fields in their order, with `data` last; gives the frame's id."""
    if request.param == "redis-cli" and shutil.which("redis-cli") is None:
        pytest.skip("no redis-cli on the PATH (apt install redis-tools)")

    def by_command(data: bytes, **fields: str) -> str:
        command = ["redis-cli", "-u", _each_server.url, "-x", "XADD", FRAMES, "*"]
        command += [word for pair in fields.items() for word in pair]
        done = subprocess.run([*command, "data"], input=data, capture_output=True, check=True, timeout=30)
        return done.stdout.decode().strip()

    def by_socket(data: bytes, **fields: str) -> str:
        answer = resp("XADD", FRAMES, "*", *[word for pair in fields.items() for word in pair], "data", data)
        assert isinstance(answer, bytes)
        return answer.decode()

    return by_command if request.param == "redis-cli" else by_socket


def as_dict(entry: object) -> dict[str, bytes]:
    assert isinstance(entry, list)
    flat = entry[1]
    return {name.decode(): value for name, value in zip(flat[::2], flat[1::2], strict=True)}


def entry_of(line: RunningLine, resp: Resp, stream: str, frame: str) -> dict[str, bytes]:
    """The one entry about this frame."""

    def found() -> list[dict[str, bytes]]:
        page = resp("XRANGE", stream, "-", "+")
        assert isinstance(page, list)
        return [fields for entry in page if (fields := as_dict(entry))["frame"] == frame.encode()]

    line.wait_until(found, 20, f"{stream} has frame {frame}")
    (fields,) = found()
    return fields


def test_a_plain_xadd_gets_a_verdict_and_a_label_map(
    line: RunningLine, resp: Resp, publish: Publish, jpeg: bytes
) -> None:
    frame = publish(jpeg, camera="c1")

    result = entry_of(line, resp, RESULTS, frame)

    assert result["camera"] == b"c1"
    assert result["verdict"] == b"NG"
    assert float(result["score"]) > float(result["threshold"])
    assert result["image_size"] == b"128,128"
    label_map = Image.open(io.BytesIO(result["label_map"]))
    assert (label_map.format, label_map.mode) == ("PNG", "L")
    assert f"{label_map.height},{label_map.width}".encode() == result["size"] == b"64,64"
    assert np.unique(np.asarray(label_map)).tolist() == [0, 255]


def test_the_reply_goes_where_the_client_asked(line: RunningLine, resp: Resp, publish: Publish, jpeg: bytes) -> None:
    token = f"token-{line.ledger().produced}"
    frame = publish(jpeg, camera="c2", part_id="part 7", reply_to=token)

    answer = resp("XREAD", "BLOCK", "20000", "STREAMS", f"{{test}}:reply:{token}", "0")

    assert isinstance(answer, list), "no reply within 20 s"
    reply = as_dict(answer[0][1][0])
    assert (reply["frame"], reply["part_id"], reply["verdict"]) == (frame.encode(), b"part 7", b"NG")
    assert reply == entry_of(line, resp, RESULTS, frame)
    ttl = resp("TTL", f"{{test}}:reply:{token}")
    assert isinstance(ttl, int)
    assert 0 < ttl <= 60


def test_garbage_becomes_a_dead_letter_and_its_neighbours_get_their_verdicts(
    line: RunningLine, resp: Resp, publish: Publish, jpeg: bytes
) -> None:
    before = publish(jpeg, camera="c3", seq="0")
    garbage = publish(b"this is no picture", camera="c3", seq="1")
    cut = publish(jpeg[:500], camera="c3", seq="2")
    nonsense = publish(jpeg, camera="c3", seq="three")
    after = publish(jpeg, camera="c3", seq="4")

    for frame in (before, after):
        assert entry_of(line, resp, RESULTS, frame)["verdict"] == b"NG"
    for frame, said in ((garbage, b"image"), (cut, b""), (nonsense, b"seq")):
        letter = entry_of(line, resp, DEAD, frame)
        assert letter["camera"] == b"c3"
        assert letter["reason"]
        assert said in letter["error"]
    assert letter["original.data"] == jpeg


def test_the_books_count_what_foreign_clients_bring(
    line: RunningLine, resp: Resp, publish: Publish, jpeg: bytes
) -> None:
    produced = line.ledger().produced

    frame = publish(jpeg, camera="c4")

    entry_of(line, resp, RESULTS, frame)
    books = line.ledger()
    assert (books.produced, books.difference, books.backlog) == (produced + 1, 0, 0)
    assert resp("HGET", LEDGER, "verdict:NG") == str(books.verdicts["NG"]).encode()
