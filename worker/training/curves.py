"""The loss over the epochs, as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from worker.training.fitting.checkpoint import Epoch


def draw_curves(path: Path, history: Sequence[Epoch], best_epoch: int) -> bool:
    """Draw the loss and the validation loss as PNG; False where matplotlib is not installed."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return False
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot()
    epochs = [epoch.number for epoch in history]
    axes.plot(epochs, [epoch.loss for epoch in history], label="images learned from")
    watched = [(epoch.number, epoch.validation) for epoch in history if epoch.validation is not None]
    if watched:
        axes.plot(*zip(*watched, strict=True), label="validation: images not learned from")
    axes.axvline(best_epoch, color="grey", linestyle=":", label=f"taken: epoch {best_epoch}")
    axes.set(xlabel="epoch", ylabel="loss (log scale)", yscale="log", title="Student against teacher")
    axes.grid(visible=True, which="both", alpha=0.3)
    axes.legend()
    FigureCanvasAgg(figure).print_png(str(path))  # type: ignore[no-untyped-call]
    return True
