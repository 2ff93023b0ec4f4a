"""line-worker's streams with redis-py (5 or later):

    python client.py publish part.jpg --camera c1       publish a frame; prints its id
    python client.py results --label-maps ./maps        each verdict from now on; the labelMap of each NG as a PNG
    python client.py alerts --group my-subscriber       each alert, until it has been acknowledged

LINE_REDIS__URL (redis://127.0.0.1:6379/0) and LINE_LINE (line1) in the environment say where the line is.
"""

import argparse
import os
import socket
import sys
import time
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

LINE = "{" + os.environ.get("LINE_LINE", "line1") + "}"  # the braces are part of the keys
BLOCK_MS = 5_000
FIELDS = (b"frame", b"camera", b"verdict", b"score")
ENCODINGS = {".png": "png", ".webp": "webp", ".bmp": "bmp"}


def connect() -> redis.Redis:
    """A connection that notices a silent network, and tries nothing twice: a frame sent twice is two frames."""
    url = os.environ.get("LINE_REDIS__URL", "redis://127.0.0.1:6379/0")
    longer_than_a_blocked_read_s = 3 * BLOCK_MS / 1000
    return redis.Redis.from_url(
        url,
        protocol=2,  # replies are lists then, whatever the version of redis-py
        socket_connect_timeout=5,
        socket_timeout=longer_than_a_blocked_read_s,
        retry=Retry(NoBackoff(), 0),
    )


def publish(r: redis.Redis, file: Path, camera: str) -> None:
    """One XADD with flat fields. More of them (seq, part_id, deadline_ms, reply_to …) are in line-worker's README."""
    fields = {"camera": camera, "encoding": ENCODINGS.get(file.suffix.lower(), "jpeg"), "data": file.read_bytes()}
    print(r.xadd(f"{LINE}:frames", fields).decode())


def results(r: redis.Redis, label_maps: Path | None) -> None:
    """Follow the results; what was given before is left out."""
    stream = f"{LINE}:results"
    last = None
    while True:
        try:
            if last is None:  # not "$" at each read: what came between two reads would be lost
                newest = r.xrevrange(stream, count=1)
                last = newest[0][0] if newest else b"0"
            page = r.xread({stream: last}, count=100, block=BLOCK_MS)
        except (redis.ConnectionError, redis.TimeoutError) as error:
            wait_for_redis(error)
            continue
        for entry_id, result in page[0][1] if page else []:
            frame, camera, verdict, score = (result[name].decode() for name in FIELDS)
            print(frame, camera, verdict, score or "-", flush=True)  # no score where no model looked
            if label_maps and verdict == "NG":
                (label_maps / f"{frame}.png").write_bytes(result[b"label_map"])
            last = entry_id


def alerts(r: redis.Redis, group: str, consumer: str) -> None:
    """Handle each alert at least once: it is acknowledged after it was handled, and else comes again."""
    stream = f"{LINE}:alerts"
    begin = "$"  # a new subscriber begins with what comes from now on; a group that exists keeps its place
    position = "0"  # first what this consumer was given before and did not acknowledge
    while True:
        try:
            if begin:
                create_group(r, stream, group, begin)
                begin = ""
            page = r.xreadgroup(group, consumer, {stream: position}, count=100, block=BLOCK_MS)
            entries = page[0][1] if page else []
            for entry_id, alert in entries:
                if alert:  # else it was trimmed in the meantime
                    handle(alert)
                r.xack(stream, group, entry_id)
            if position != ">":
                position = entries[-1][0] if entries else ">"  # then what nobody was given yet
        except redis.ResponseError as error:
            if not str(error).startswith(("NOGROUP", "UNBLOCKED")):
                raise
            begin = "0"  # Redis was emptied or the group deleted: take all there is
        except (redis.ConnectionError, redis.TimeoutError) as error:
            wait_for_redis(error)
            position = "0"  # what was under way when it broke off


def create_group(r: redis.Redis, stream: str, group: str, start: str) -> None:
    """Unless it exists."""
    try:
        r.xgroup_create(stream, group, id=start, mkstream=True)
    except redis.ResponseError as error:
        if not str(error).startswith("BUSYGROUP"):
            raise


def handle(alert: dict[bytes, bytes]) -> None:
    """Your part. After a crash an alert may come again: `alert_id`, `state` and `at` are then the same."""
    told = {name.decode(): value.decode() for name, value in alert.items()}
    print(told["alert_id"], told["state"], told["message"], flush=True)


def wait_for_redis(error: Exception) -> None:
    """Between two tries."""
    print(f"no Redis: {error}", file=sys.stderr)
    time.sleep(1)


def main() -> None:
    """Read the command line and do it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, dest="command")
    command = commands.add_parser("publish")
    command.add_argument("file", type=Path)
    command.add_argument("--camera", default="c1")
    command = commands.add_parser("results")
    command.add_argument("--label-maps", type=Path)
    command = commands.add_parser("alerts")
    command.add_argument("--group", default="my-subscriber")
    command.add_argument("--consumer", default=socket.gethostname(), help="the same at each start, so that it goes on")
    options = vars(parser.parse_args())
    try:
        {"publish": publish, "results": results, "alerts": alerts}[options.pop("command")](connect(), **options)
    except (redis.RedisError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
