"""`line-worker history`: what was done to a model, and when."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command(
    epilog="""\b
Examples:
  line-worker history ./model-v3                the newest first
  line-worker history ./model-v3 --json         the entries as bundle.json has them, the oldest first"""
)
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="One JSON array.")
def history(model: Path, as_json: bool) -> None:
    """Show what a model was made from and what became of it, once its files and its history are found unaltered."""
    from worker.inference.bundle import load_bundle, read_manifest

    load_bundle(model)
    manifest = read_manifest(model)
    entries = manifest.history if manifest else []
    if as_json:
        click.echo(json.dumps([entry.model_dump() for entry in entries]))
        return
    if not entries:
        click.echo(f"{model}: has no history; `line-worker calibrate` and `optimize` begin one", err=True)
    for entry in reversed(entries):
        cameras = "".join(f", {name} {value:.4g}" for name, value in entry.camera_thresholds.items())
        click.echo(f"{entry.id[:12]}  {entry.created}  version {entry.version}  {entry.action}")
        click.echo(f"    threshold {entry.threshold:.4g}{cameras}")
        if entry.note:
            click.echo(f"    {entry.note}")
