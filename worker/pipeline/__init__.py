"""The in-process API: PaddleX's pipeline, with batches.

sources (arrays, files, URLs, folders …) ─▶ read, decode, check, preprocess ─▶ lane (a device each) ─▶ results, in order
"""

from worker.pipeline.create import create_model, create_pipeline
from worker.pipeline.pipeline import AnomalyDetectionPipeline
from worker.pipeline.result import AnomalyResult

__all__ = ["AnomalyDetectionPipeline", "AnomalyResult", "create_model", "create_pipeline"]
