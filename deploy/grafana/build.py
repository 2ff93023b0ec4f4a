"""Writes the dashboards' JSON: `python deploy/grafana/build.py [FOLDER]`. A test compares what is there with it.

It takes grafana-foundation-sdk, which is among what `pip install 'line-worker[test]'` brings.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cameras_and_model
import devices_and_batches
import line_overview
from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder

FOLDER = Path(__file__).parent / "dashboards"
DASHBOARDS = {
    "line-overview": line_overview.dashboard,
    "devices-and-batches": devices_and_batches.dashboard,
    "cameras-and-model": cameras_and_model.dashboard,
}


def text_of(builder: Dashboard) -> str:
    """The dashboard as JSON, its panels numbered in their order, so that a link to one of them stays."""
    dashboard = builder.build()
    for number, panel in enumerate(dashboard.panels or [], start=1):
        panel.id_val = number
    return JSONEncoder(sort_keys=True, indent=2).encode(dashboard) + "\n"


def main(folder: Path) -> None:
    """Write every dashboard into the folder."""
    for name, dashboard in DASHBOARDS.items():
        (folder / f"{name}.json").write_text(text_of(dashboard()))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
