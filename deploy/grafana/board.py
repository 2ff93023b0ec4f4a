"""What all dashboards have in common: variables, links among them, how often they are read anew."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard, DashboardLink, DatasourceVariable, QueryVariable
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    DataSourceRef,
    VariableRefresh,
    VariableSort,
)

TAG = "line-worker"
SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")

LINE = 'line=~"$line"'
"""The selector of what is a line's."""
CAMERA = f'{LINE}, camera=~"$camera"'
"""The selector of what is a camera's."""


def board(uid: str, title: str, description: str) -> Dashboard:
    """An empty dashboard with the variables `datasource`, `line` and `camera`, and links to the others."""
    links = DashboardLink("line-worker").type(DashboardLinkType.DASHBOARDS).tags([TAG])
    return (
        Dashboard(title)
        .uid(uid)
        .description(description)
        .tags([TAG])
        .time("now-1h", "now")
        .refresh("10s")
        .timezone("browser")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .annotations([])
        .links([links.include_vars(True).keep_time(True)])
        .with_variable(DatasourceVariable("datasource").label("Data source").type("prometheus"))
        .with_variable(_choice("line", "Line", "label_values(line_redis_up, line)"))
        .with_variable(_choice("camera", "Camera", f"label_values(line_frames_total{{{LINE}}}, camera)"))
    )


def _choice(name: str, label: str, query: str) -> QueryVariable:
    """A variable with the values that there are, of which any number may be chosen; all of them at first."""
    return (
        QueryVariable(name)
        .label(label)
        .query(query)
        .datasource(SOURCE)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
    )
