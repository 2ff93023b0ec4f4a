"""PaddleX's own predict loop, for `line-worker bench --paddlex PYTHON`, which runs this file with another Python.

So it imports nothing of ours. Arguments: the model folder, a folder of JPEG files. Everything is as PaddleX has it by
default, on the CPU: `create_model`, then `predict` of one file after the other. Says what it is once it is ready; then
each line of standard input asks for so many seconds (`{"seconds": 6}`) and gets its `{"fps": …}`; the end of standard
input ends it. Answers are a line of JSON each on standard output.
"""

import json
import os
import sys
import time
from importlib import import_module
from itertools import cycle
from pathlib import Path

WARM_UP = 3  # frames


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever PaddleX prints is no answer
    os.environ.setdefault("PADDLE_PDX_DISABLE_MODEL_SOURCE_CHECK", "1")  # else it looks for hosts of models

    def answer(**values: object) -> None:
        answers.write(json.dumps(values) + "\n")
        answers.flush()

    folder, frames = sys.argv[1:]
    try:
        paddlex, paddle = import_module("paddlex"), import_module("paddle")
        model = paddlex.create_model("STFPM", model_dir=folder, device="cpu")
        files = cycle(sorted(map(str, Path(frames).iterdir())))
        _predict(model, files, WARM_UP)
    except Exception as error:  # it raises many kinds, and so does what it imports
        answer(error=f"PaddleX does not run here: {type(error).__name__}: {error}")
        return
    answer(versions={"paddlex": paddlex.__version__, "paddlepaddle of paddlex": paddle.__version__})
    for line in sys.stdin:
        began = time.perf_counter()
        until = began + json.loads(line)["seconds"]
        count = 0
        while time.perf_counter() < until:
            _predict(model, files, 1)
            count += 1
        answer(fps=count / (time.perf_counter() - began))


def _predict(model, files, count: int) -> None:  # type: ignore[no-untyped-def]
    for _ in range(count):
        for result in model.predict(next(files)):
            assert result is not None


if __name__ == "__main__":
    main()
