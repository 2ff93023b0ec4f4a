"""A bundle on a device: images in, predictions out, a batch by one call of the device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from worker.devices import Device
from worker.inference.bundle import Bundle, load_bundle
from worker.inference.engines import Engine, Variant, open_engine
from worker.inference.postprocess import postprocess
from worker.inference.preprocess import resized
from worker.types import Image, Prediction


class Predictor:
    """The three steps of a prediction, each of which a worker runs in another thread, and all in one."""

    def __init__(self, bundle: Bundle, engine: Engine, threshold: float | None = None) -> None:
        self.bundle = bundle
        self.engine = engine
        self.threshold = bundle.threshold if threshold is None else threshold
        self._of_cameras = bundle.camera_thresholds if threshold is None else {}

    @classmethod
    def open(
        cls,
        folder: Path,
        device: Device | None = None,
        *,
        engine: str = "paddle",
        precision: str = "fp32",
        threshold: float | None = None,
    ) -> Predictor:
        """Load a model folder on a device (default: all CPU cores), with this very engine: no gate is asked.

        Args:
            threshold: overrides all of the bundle's.

        Raises:
            BundleError, DeviceError: see `load_bundle` and `open_engine`.
        """
        bundle = load_bundle(folder)
        return cls(bundle, open_engine(Variant(engine, precision), bundle, device or Device("cpu")), threshold)

    def preprocess(self, image: Image) -> npt.NDArray[Any]:
        """H×W×3 RGB uint8 → one frame's part of the engine's input."""
        return self.engine.encode(resized(image, self.bundle.transforms))

    def infer(self, inputs: Sequence[npt.NDArray[Any]]) -> npt.NDArray[np.float32]:
        """N inputs → N×h×w float32 anomaly maps, by one call of the device.

        Raises:
            EngineError: the device failed.
        """
        return self.engine.run(np.stack(inputs))

    def start(self, inputs: Sequence[npt.NDArray[Any]]) -> Callable[[], npt.NDArray[np.float32]]:
        """The same, begun: see `Engine.start`."""
        return self.engine.start(np.stack(inputs))

    def threshold_for(self, camera: str) -> float:
        """The threshold in force for this camera: its own where the model has one, else the common one."""
        return self._of_cameras.get(camera, self.threshold)

    def postprocess(
        self, anomaly_map: npt.NDArray[np.float32], image_size: tuple[int, int], camera: str = ""
    ) -> Prediction:
        """What a map (H×W float32) says at the threshold in force for this camera."""
        return postprocess(anomaly_map, self.threshold_for(camera), image_size)

    def predict(self, images: Sequence[Image], camera: str = "") -> list[Prediction]:
        """Predictions for N images (H×W×3, RGB, uint8, of any sizes) of a camera by one call of the device."""
        if not images:
            return []
        maps = self.infer([self.preprocess(image) for image in images])
        return [
            self.postprocess(anomaly_map, image.shape[:2], camera)
            for anomaly_map, image in zip(maps, images, strict=True)
        ]

    def warm_up(self, max_batch: int) -> None:
        """Run every batch size once, so that no frame waits while the engine prepares for it.

        The largest comes first: what it leaves free in memory, the smaller ones then use.

        Raises:
            EngineError: the model does not run on this device.
        """
        black = self.engine.encode(np.zeros((*self.bundle.transforms.map_shape, 3), np.uint8))
        for size in range(max_batch, 0, -1):
            self.engine.run(np.stack([black] * size))
