"""The kinds of panel that the dashboards are made of. A panel's width is in columns, of which a row has 24."""

from __future__ import annotations

from board import SOURCE
from grafana_foundation_sdk.builders import bargauge, heatmap, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.builders.common import (
    GraphThresholdsStyleConfig,
    ReduceDataOptions,
    StackingConfig,
    VizLegendOptions,
    VizTooltipOptions,
)
from grafana_foundation_sdk.builders.dashboard import ThresholdsConfig
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.models.common import (
    BigValueGraphMode,
    GraphThresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
    StackingMode,
    TooltipDisplayMode,
    VizOrientation,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardSpecialValueMapOptions,
    DataTransformerConfig,
    SpecialValueMap,
    SpecialValueMatch,
    Threshold,
    ThresholdsMode,
    ValueMap,
    ValueMappingResult,
)
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

FRAMES_PER_S = "suffix: frames/s"
FRAMES = "suffix: frames"
OK, WARN, BAD = "green", "orange", "red"
Steps = list[tuple[float | None, str]]
"""Where which colour begins; the first begins at None."""


def curves(
    title: str,
    description: str,
    *queries: tuple[str, str],
    unit: str,
    width: int = 12,
    stacked: bool = False,
    least: float | None = 0,
    largest: float | None = None,
    limit: float | None = None,
) -> timeseries.Panel:
    """Curves over time, from pairs of an expression and a legend; `limit` draws a line that they should stay below."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit(unit)
        .height(8)
        .span(width)
        .fill_opacity(30 if stacked else 5)
        .legend(_legend())
        .tooltip(VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
    )
    if stacked:
        panel.stacking(StackingConfig().mode(StackingMode.NORMAL))
    if least is not None:
        panel.min(least)
    if largest is not None:
        panel.max(largest)
    if limit is not None:
        panel.thresholds(_steps([(None, OK), (limit, BAD)]))
        panel.thresholds_style(GraphThresholdsStyleConfig().mode(GraphThresholdsStyleMode.DASHED))
    for place, (expression, legend) in enumerate(queries):
        panel.with_target(_query(expression, legend, place))
    return panel


def figure(title: str, description: str, expression: str, *, unit: str, steps: Steps | None = None) -> stat.Panel:
    """One number as of now, coloured by `steps`: of what is gone there is none, where a curve's last one would stay."""
    return (
        stat.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit(unit)
        .height(4)
        .span(3)
        .graph_mode(BigValueGraphMode.NONE)
        .thresholds(_steps(steps or [(None, OK)]))
        .mappings([_not_a_number()])
        .reduce_options(ReduceDataOptions().calcs(["lastNotNull"]))
        .with_target(_query(expression, "").instant())
    )


def bars(
    title: str, description: str, expression: str, legend: str, *, unit: str, steps: Steps, width: int = 12
) -> bargauge.Panel:
    """A bar for each series as of now."""
    return (
        bargauge.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit(unit)
        .min(0)
        .height(8)
        .span(width)
        .orientation(VizOrientation.HORIZONTAL)
        .thresholds(_steps(steps))
        .reduce_options(ReduceDataOptions().calcs(["lastNotNull"]))
        .with_target(_query(expression, legend).instant())
    )


def warmth(title: str, description: str, expression: str, *, unit: str, width: int = 12) -> heatmap.Panel:
    """A histogram over time: the expression gives the increase of its buckets, by `le`."""
    return (
        heatmap.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .height(8)
        .span(width)
        .calculate(False)
        .y_axis(heatmap.YAxisConfig().unit(unit))
        .color(
            heatmap.HeatmapColorOptions()
            .mode(HeatmapColorMode.SCHEME)
            .scheme("Oranges")
            .fill("dark-orange")
            .exponent(0.5)
            .steps(64)
        )
        .cell_gap(1)
        .with_target(_query(expression, "{{le}}").format(PromQueryFormat.HEATMAP))
    )


def states(
    title: str, description: str, expression: str, legend: str, texts: dict[str, tuple[str, str]], width: int = 12
) -> statetimeline.Panel:
    """What state each series was in over time; `texts`: value → text and colour."""
    options = {
        value: ValueMappingResult(text=text, color=color, index=place)
        for place, (value, (text, color)) in enumerate(texts.items())
    }
    return (
        statetimeline.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .height(8)
        .span(width)
        .mappings([ValueMap(options=options)])
        .legend(_legend())
        .with_target(_query(expression, legend))
    )


def listing(
    title: str, description: str, expression: str, *, unit: str = "none", width: int = 12, values: bool = True
) -> table.Panel:
    """The series as of now as rows of a table, their labels as columns, and their values unless all are 1."""
    hidden = {"Time": True} if values else {"Time": True, "Value": True}
    shown = DataTransformerConfig(id_val="organize", options={"excludeByName": hidden})
    return (
        table.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit(unit)
        .height(8)
        .span(width)
        .with_transformation(shown)
        .with_target(_query(expression, "").instant().format(PromQueryFormat.TABLE))
    )


def _query(expression: str, legend: str, place: int = 0) -> Dataquery:
    return Dataquery().datasource(SOURCE).ref_id("ABCDEFGH"[place]).expr(expression).legend_format(legend)


def _legend() -> VizLegendOptions:
    return VizLegendOptions().display_mode(LegendDisplayMode.LIST).placement(LegendPlacement.BOTTOM).show_legend(True)


def _steps(steps: Steps) -> ThresholdsConfig:
    thresholds = [Threshold(value=value, color=color) for value, color in steps]
    return ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(thresholds)


def _not_a_number() -> SpecialValueMap:
    """A share of nothing is none."""
    shown = ValueMappingResult(text="none")
    return SpecialValueMap(DashboardSpecialValueMapOptions(SpecialValueMatch.NULL_AND_NAN, shown))
