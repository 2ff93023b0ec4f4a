"""Looks at pictures with the model beside this file: `python predict.py picture.jpg …`.

It takes numpy, OpenCV and the runtime that model.json names, and nothing of what made the model. For each picture it
prints score and verdict, and writes its mask (255 = anomaly) as picture.mask.png; it is the whole of what a program on
another machine or in another language has to do.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

HERE = Path(__file__).resolve().parent


def with_onnxruntime(model: dict[str, Any]) -> Callable[[Any], Any]:
    """N×h×w×3 uint8 → N×1×h×w float32."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(HERE / model["file"]), providers=["CPUExecutionProvider"])
    return lambda batch: session.run([model["output"]["name"]], {model["input"]["name"]: batch})[0]


def with_openvino(model: dict[str, Any]) -> Callable[[Any], Any]:
    """The same. The hint keeps processors that could from computing in bfloat16."""
    import openvino

    compiled = openvino.Core().compile_model(str(HERE / model["file"]), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda batch: compiled({model["input"]["name"]: batch})[model["output"]["name"]]


def with_paddle_lite(model: dict[str, Any]) -> Callable[[Any], Any]:
    """N×3×h×w float32 → N×1×h×w float32."""
    from paddlelite.lite import MobileConfig, create_paddle_predictor

    config = MobileConfig()
    config.set_model_from_file(str(HERE / model["file"]))
    predictor = create_paddle_predictor(config)

    def run(batch: Any) -> Any:
        predictor.get_input(0).from_numpy(batch)
        predictor.run()
        return predictor.get_output(0).numpy()

    return run


RUNTIMES = {"onnx": with_onnxruntime, "openvino": with_openvino, "paddle-lite": with_paddle_lite}


def model_input(picture: Any, model: dict[str, Any]) -> Any:
    """A picture as OpenCV reads it, H×W×3 BGR uint8, as a batch of one."""
    size = model["resize"]
    how = getattr(cv2, f"INTER_{size['interpolation']}")
    resized = cv2.resize(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), (size["width"], size["height"]), interpolation=how)
    if model["normalise"] is None:  # the graph does it
        return resized[np.newaxis]
    scale, shift = (np.array(model["normalise"][name], np.float32) for name in ("scale", "shift"))
    return np.ascontiguousarray((resized.astype(np.float32) * scale + shift).transpose(2, 0, 1)[np.newaxis])


def judge(anomaly_map: Any, model: dict[str, Any]) -> tuple[float, Any]:
    """Score and mask of a map, h×w float32: it is opened with a disk, its maximum is the score."""
    axis = np.arange(-model["opening_radius"], model["opening_radius"] + 1)
    disk = (axis[:, np.newaxis] ** 2 + axis**2 <= model["opening_radius"] ** 2).astype(np.uint8)
    opened = cv2.dilate(cv2.erode(anomaly_map, disk), disk)
    return float(opened.max()), np.where(opened > np.float32(model["threshold"]), 255, 0).astype(np.uint8)


def main() -> None:
    """Look at the pictures that the command line names."""
    model = json.loads((HERE / "model.json").read_text(encoding="utf-8"))
    run = RUNTIMES[model["format"]](model)
    for name in sys.argv[1:]:
        picture = cv2.imread(name, cv2.IMREAD_COLOR)
        if picture is None:
            sys.exit(f"{name}: no picture that OpenCV can read")
        score, mask = judge(run(model_input(picture, model))[0, 0], model)
        cv2.imwrite(str(Path(name).with_suffix(".mask.png")), mask)
        print(json.dumps({"picture": name, "score": score, "verdict": "NG" if mask.any() else "OK"}))


if __name__ == "__main__":
    main()
