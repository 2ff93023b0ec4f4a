"""A copy of Redis' append-only file, taken under load as the page on backing up says, is a whole line."""

from __future__ import annotations

import subprocess
from collections import Counter
from pathlib import Path

from line_settings import settings_for
from ports import free_ports
from redis_servers import Server, wait_for
from stream.traffic import Traffic

from worker.stream.connection import connect
from worker.stream.fields import result_from_fields
from worker.stream.keys import LineKeys
from worker.stream.ledger import read_ledger


def server(folder: Path, port: int) -> Server:
    return Server(
        folder, port, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes", "--dir", "."
    )


def copied(running: Server, archive: Path) -> None:
    """The commands of the page."""
    running.client.config_set("auto-aof-rewrite-percentage", 0)
    running.client.bgrewriteaof()
    wait_for(lambda: is_at_rest(running), "the file is written anew")
    files = next(name for name in ("appendonlydir", "appendonly.aof") if (running.folder / name).exists())  # 7, 6.2
    command = ["tar", "-C", str(running.folder), "-cf", str(archive), files]
    assert subprocess.run(command, capture_output=True, check=False).returncode in (0, 1)  # 1: it grew meanwhile
    running.client.config_set("auto-aof-rewrite-percentage", 100)


def is_at_rest(running: Server) -> bool:
    state = running.client.info("persistence")
    return not (state["aof_rewrite_in_progress"] or state["aof_rewrite_scheduled"])


def test_a_copy_taken_under_load_has_books_that_add_up_and_frames_that_go_on(tmp_path: Path) -> None:
    ports = free_ports(4)
    running = server(tmp_path / "running", ports[0])
    running.start()
    try:
        with Traffic(settings_for(f"redis://127.0.0.1:{ports[0]}/0")) as traffic:
            for number in range(1, 4):
                traffic.wait_for_more(50)
                copied(running, tmp_path / f"{number}.tar")
            traffic.wait_for_more(20)
            traffic.finish()
    finally:
        running.kill()
    seen = 0
    for number, port in enumerate(ports[1:], start=1):
        restored = server(tmp_path / f"restored-{number}", port)
        subprocess.run(["tar", "-C", str(restored.folder), "-xf", str(tmp_path / f"{number}.tar")], check=True)
        restored.start()
        try:
            seen = went_on(restored, at_least=seen + 50)
        finally:
            restored.kill()


def went_on(restored: Server, at_least: int) -> int:
    """Finish what was waiting in a restored Redis; how many frames it had, which have one verdict each."""
    settings = settings_for(f"redis://127.0.0.1:{restored.port}/0")
    keys, client = LineKeys(settings.line), connect(settings)
    assert read_ledger(client, keys).difference == 0
    with Traffic(settings) as traffic:
        traffic.published = 1_000_000  # numbers that no frame of then has
        books, _ = traffic.finish()
    page = client.execute_command("XRANGE", keys.results, "-", "+")
    results = [result_from_fields(entry_id.decode(), flat) for entry_id, flat in page]
    client.close()
    assert (books.difference, books.backlog) == (0, 0)
    assert books.produced == len(results)
    assert set(Counter(one.frame for one in results).values()) == {1}
    old = [one for one in results if (one.seq or 0) <= 1_000_000]
    assert len(old) >= at_least - 8  # of the last ones the answer may have come before they were written
    return len(old)
