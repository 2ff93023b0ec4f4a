"""The process under test: from an entry's fields to the model's input, one input after another, until it is stopped.

    python -m fuzz.target FOLDER SEED FIRST [LAST]

It says which input it is at before it begins with it (FOLDER/at), so that whoever watches from outside knows what
killed or stopped it, and once a second what came of them (FOLDER/outcomes.json). Wrong errors and wrong results
it notes itself (FOLDER/faults.jsonl) and goes on.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import sys
import time
import traceback
from collections import Counter
from pathlib import Path

import cv2
import numpy as np

from fuzz.entries import Flat, entry, odd
from worker.errors import FrameError
from worker.inference.decode import decode
from worker.inference.preprocess import Transforms, preprocess
from worker.settings import LimitSettings
from worker.stream.fields import camera_of, frame_from_fields, reply_token_of

# Small enough for many pictures a second; every hundredth input meets the limits that a user has.
LIMITS, USUAL_LIMITS = LimitSettings(max_pixels=1_000_000), LimitSettings()
_TRANSFORMS = Transforms(size=(64, 64))
_VARIABLE = re.compile(r"""b?'.*?'…?|b?".*?"…?|[0-9]+""")  # what a message says of this one input
_ENTRY_ID = "1700000000000-0"


def main() -> None:
    folder, seed, first = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    numbers = range(first, int(sys.argv[4])) if len(sys.argv) > 4 else itertools.count(first)
    cv2.setNumThreads(1)
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    outcomes: Counter[str] = Counter()
    at, tell_at = os.open(folder / "at", os.O_RDWR | os.O_CREAT), 0.0
    for number in numbers:
        os.pwrite(at, b"%020d" % number, 0)
        try:
            outcome = inspect(odd(seed, number, entry(seed, number)), USUAL_LIMITS if number % 100 == 0 else LIMITS)
        except Exception:
            outcome = "fault"
            with (folder / "faults.jsonl").open("a") as file:
                file.write(json.dumps({"number": number, "what": traceback.format_exc()[-3_000:]}) + "\n")
        outcomes[outcome] += 1
        if time.monotonic() >= tell_at:
            tell_at = time.monotonic() + 1
            _tell(folder, outcomes)
    _tell(folder, outcomes)


def inspect(flat: Flat, limits: LimitSettings) -> str:
    """What a worker does with an entry before the device; the reason of its dead letter, else the picture's encoding.

    Raises:
        Exception: anything but a FrameError, or a result that the limits do not allow.
    """
    assert re.fullmatch(r"\?|[A-Za-z0-9_.-]{1,64}", camera_of(flat))
    assert re.fullmatch(r"[A-Za-z0-9_-]{0,64}", reply_token_of(flat))
    try:
        frame = frame_from_fields(_ENTRY_ID, flat, limits, time.time_ns())
        image = decode(frame, limits)
    except FrameError as error:
        return _refused(error.reason, str(error))
    height, width, channels = image.shape
    assert (channels, image.dtype) == (3, np.uint8)
    assert height * width <= limits.max_pixels
    assert min(height, width) >= limits.min_side
    assert max(height, width) <= limits.max_side
    ready = preprocess(image, _TRANSFORMS)
    assert ready.shape == (3, 64, 64)
    assert np.isfinite(ready).all()
    return f"decoded {frame.encoding}"


def _refused(reason: str, message: str) -> str:
    assert re.fullmatch(r"[a-z_]+", reason), reason
    assert 0 < len(message) <= 400, f"a message of {len(message)} characters"
    return f"{reason}: {_VARIABLE.sub('#', message)[:50]}"


def _tell(folder: Path, outcomes: Counter[str]) -> None:
    (folder / "outcomes.new").write_text(json.dumps(outcomes))
    (folder / "outcomes.new").replace(folder / "outcomes.json")


if __name__ == "__main__":
    main()
