"""A worker that dies in mid-batch costs no frame and doubles none.

2,000 generated parts of 64×64 pixels, from two cameras, by a model with a 64×64 input, so that it takes seconds.
"""

from __future__ import annotations

from pathlib import Path

from .running import RunningLine

FRAMES_A_CAMERA = 1_000


def test_a_worker_killed_in_mid_batch_costs_and_doubles_nothing(
    redis_url: str, small_model: Path, tmp_path: Path
) -> None:
    with RunningLine(redis_url, tmp_path, model=small_model) as line:
        # Given two workers in the middle of 2,000 frames
        line.start_workers()
        sources = [f"{name}=test://?seed={seed}&size=64&count={FRAMES_A_CAMERA}" for seed, name in enumerate("ab")]
        line.start("produce", "produce", *sources)
        line.wait_until(lambda: sum(line.ledger().verdicts.values()) > 400, 60, "the run is well under way")
        victim, pid = next(iter(line.worker_pids().items()))

        # If one is killed while it has frames in hand
        in_hand = line.kill_in_mid_batch(victim)

        # I expect a replacement, and one result for each frame
        line.finish("produce")
        line.wait_until(lambda: line.ledger().backlog == 0, 60, "every frame is inspected")
        results = line.results()
        books = line.ledger()
        assert len(results) == 2 * FRAMES_A_CAMERA
        assert {(one.camera, one.seq) for one in results} == {
            (camera, seq) for camera in "ab" for seq in range(FRAMES_A_CAMERA)
        }
        assert len({one.frame for one in results}) == 2 * FRAMES_A_CAMERA
        assert in_hand <= {one.frame for one in results}
        assert {one.worker for one in results} == set(line.worker_pids())
        assert books.produced == sum(books.verdicts.values()) == 2 * FRAMES_A_CAMERA
        assert (books.difference, books.dead, books.pending, books.dropped) == (0, 0, 0, {})
        line.wait_until(lambda: line.worker_pids()[victim] != pid, 30, "the killed worker is replaced")
        assert line.events("run", "worker died")[0]["reason"] == "killed by signal 9"
        assert line.stop("run") == 0
