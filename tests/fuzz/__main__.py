"""Fuzzing: what anybody may put onto a line, against the decoder alone and against a whole line.

    .venv/bin/python tests/fuzz --seconds 3600
    .venv/bin/python tests/fuzz --seconds 600 --target decode --seed 7
    .venv/bin/python tests/fuzz --only 7:1234 --seconds 0

The inputs are pictures of every kind that frames may hold, damaged blindly and with knowledge of their formats, in
entries that are right, wrong or absurd. `decode` feeds them to a process that is watched from outside, some thousand
a second: it must not die, hang, leak, raise anything but a FrameError, or give an image beyond its limits. `line`
publishes them by plain XADD to a real `line-worker run`: each must end as one result or one dead letter, the books
must balance, and the worker must be the same at the end. An input is told by seed and number, and `--only` runs it
again; those that found something are saved too. Exits with 1 where there is a finding.

Decoders are native code, so coverage of Python would guide little: the outcomes told apart are the measure instead.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from fuzz.decoding import fuzz_decoding
from fuzz.entries import entry, odd
from fuzz.line import fuzz_line
from fuzz.target import USUAL_LIMITS, inspect

_MOST_SAVED = 20


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60, help="for both targets together")
    parser.add_argument("--target", choices=("decode", "line", "both"), default="both")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="default: another one each time")
    parser.add_argument("--only", metavar="SEED:NUMBER", help="run this one input here and now")
    parser.add_argument("--findings", type=Path, default=Path("fuzz-findings"), help="save inputs here")
    arguments = parser.parse_args()
    if arguments.only:
        try:
            seed, number = map(int, arguments.only.split(":"))
        except ValueError:
            parser.error(f"--only {arguments.only}: give SEED:NUMBER, as a finding names it")
        print(inspect(odd(seed, number, entry(seed, number)), USUAL_LIMITS))
        return 0
    targets = {"decode": fuzz_decoding, "line": fuzz_line}
    chosen = list(targets) if arguments.target == "both" else [arguments.target]
    found = []
    for name in chosen:
        report = targets[name](arguments.seed, arguments.seconds / len(chosen))
        print("\n".join(report.lines()), flush=True)
        found += report.findings
    for finding in found[:_MOST_SAVED]:
        print("saved", finding.save(arguments.findings))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
