"""Chaos: a line under load, hundreds of faults, and an oracle that accounts for every frame.

    .venv/bin/python tests/chaos --frames 100000 --faults 200 --seed 1 --report chaos.json
    .venv/bin/python tests/chaos --frames 3000 --faults 40 --engine paddle
    .venv/bin/python tests/chaos --frames 5000 --faults 20 --topology sentinel

Real processes throughout: a redis-server with its append-only file and a proxy before it, or a primary with replicas
and Sentinels; `line-worker run` with two workers, `line-worker alerts`, five cameras. The engine `cheap` stands in for
the device, for volume; `paddle` is the real one. Exits with 1 where a frame was lost or doubled, or the books do not
balance.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from faults import FAULTS
from run import Options, run_chaos


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=100_000, help="publish at least so many")
    parser.add_argument("--faults", type=int, default=200, help="strike at least so often")
    parser.add_argument("--seed", type=int, default=1, help="of the faults' order and choices")
    parser.add_argument("--engine", choices=("cheap", "paddle"), default="cheap")
    parser.add_argument("--topology", choices=("single", "sentinel"), default="single", help="what the line's Redis is")
    parser.add_argument(
        "--only", action="append", default=[], metavar="FAULT", choices=[fault.name for fault in FAULTS],
        help="strike with this fault alone, by its name in the table; may be given again",
    )  # fmt: skip
    parser.add_argument("--appendfsync", choices=("always", "everysec"), default="always")
    parser.add_argument("--calm", type=float, nargs=2, default=(0.5, 3.0), help="seconds between two faults, from to")
    parser.add_argument("--report", type=Path, help="write all figures to this file as JSON")
    parser.add_argument("--folder", type=Path, help="keep logs and Redis' files here; default: a temporary folder")
    arguments = parser.parse_args()
    report = run_chaos(
        Options(
            frames=arguments.frames,
            faults=arguments.faults,
            seed=arguments.seed,
            engine=arguments.engine,
            topology=arguments.topology,
            only=tuple(arguments.only),
            appendfsync=arguments.appendfsync,
            folder=arguments.folder,
            calm_s=tuple(arguments.calm),
        ),
        say=print,
    )
    if arguments.report:
        arguments.report.write_text(json.dumps(report, indent=2) + "\n")
    sys.exit(0 if report["judgement"]["passed"] else 1)


if __name__ == "__main__":
    main()
