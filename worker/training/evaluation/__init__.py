"""How well a model tells bad parts from good ones: figures, a table, a report. Without paddle.

No figure here is a mean intersection over union (mIoU). On a validation set of good images alone, which is what PaddleX
trains anomaly detectors with, it is near 1 for a model that finds nothing at all, because nearly every pixel is
background and is called so; and it needs a threshold before it says anything. AUROC, average precision and PRO need
none, and what a threshold does is told in verdicts: found, missed, wrongly rejected.
"""
