"""What each engine and precision does to the verdicts on pictures with known defects.

    .venv/bin/python tests/benchmarks/engine_accuracy.py MODEL PICTURES

PICTURES is a folder like MVTec AD's `test`: a folder a kind, the good ones in `good`. Every picture goes alone through
every engine that the model folder has a graph for. Prints image AUROC, rank correlation and largest relative error
against paddle fp32, and verdict flips at the model's threshold.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from worker.devices import Device
from worker.errors import DeviceError
from worker.inference.bundle import load_bundle
from worker.inference.engines import REFERENCE, available, open_engine
from worker.inference.predictor import Predictor
from worker.settings import LimitSettings
from worker.training.data import find_images, read_images


def main(model: Path, pictures: Path) -> None:
    bundle, device = load_bundle(model), Device("cpu")
    paths = find_images(pictures)
    bad = np.array([path.parent.name != "good" for path in paths])
    images = list(read_images(paths, LimitSettings()))
    print(f"{len(images)} pictures, {bad.sum()} of them bad, threshold {bundle.threshold:.4g}")
    print(f"{'':<20}{'AUROC':>8}{'rank':>10}{'largest error':>15}{'flips':>8}")
    reference = np.zeros(0)
    for variant in sorted(available(bundle, device), key=lambda variant: variant != REFERENCE):
        try:
            predictor = Predictor(bundle, open_engine(variant, bundle, device))
        except DeviceError as error:
            print(f"{variant!s:<20}{error}")
            continue
        scores = np.array([predictor.predict([image])[0].score for image in images])
        reference = reference if len(reference) else scores
        flips = np.mean((scores > bundle.threshold) != (reference > bundle.threshold))
        error = np.abs(scores / reference - 1).max()
        rank = spearmanr(scores, reference).statistic
        print(f"{variant!s:<20}{roc_auc_score(bad, scores):>8.4f}{rank:>10.5f}{error:>15.2%}{flips:>8.2%}", flush=True)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:3]))
