"""PaddleX's pipeline on a model and pictures; run by another Python, so that it imports nothing of ours.

Arguments: a pipeline's YAML file, a text file with a picture's path a line, a folder to write to. Writes `pred.npz`
with each picture's `pred` by its number, and what `save_to_img` and `save_to_json` make of it.
"""

import os
import sys
from pathlib import Path

os.environ.setdefault("PADDLE_PDX_DISABLE_MODEL_SOURCE_CHECK", "1")  # else it looks for hosts of models

import numpy as np

from paddlex import create_pipeline

config, listed, folder = sys.argv[1:]
pipeline = create_pipeline(pipeline=config, device="cpu")
preds = {}
for number, path in enumerate(Path(listed).read_text().splitlines()):
    [result] = pipeline.predict(path)
    preds[str(number)] = result["pred"]
    result.save_to_img(f"{folder}/{number}.png")
    result.save_to_json(f"{folder}/{number}.json")
np.savez(f"{folder}/pred.npz", **preds)
