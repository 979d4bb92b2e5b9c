"""The kinds of panels that our dashboards are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from grafana_foundation_sdk.builders import bargauge, common, heatmap, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.builders.dashboard import FieldColor, ThresholdsConfig
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common as kinds
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode, HeatmapColorScale
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

Panel = Builder[models.Panel]
Steps = Sequence[tuple[float, str]]
"""From which value on, which colour: `green` below the first."""
SOURCE = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
SECONDS, SHARE, PER_SECOND, COUNT = "s", "percentunit", "cps", "short"
_HEIGHT, _WIDE = 8, 12
P = TypeVar("P", bargauge.Panel, heatmap.Panel, stat.Panel, statetimeline.Panel, table.Panel, timeseries.Panel)


@dataclass(frozen=True, slots=True)
class Query:
    expression: str
    legend: str = "__auto"


@dataclass(frozen=True, slots=True)
class About:
    """What stands around a plot. `description`: what it tells, and what to do if it looks bad. `width`: of 24."""

    title: str
    description: str
    unit: str
    width: int = 12


def lines(
    about: About, *queries: Query, steps: Steps = (), stacked: bool = False, log: bool = False, dashed: str = ""
) -> Panel:
    """Over time. `log`: for times that go from milliseconds to minutes. `dashed`: a pattern of series' names."""
    panel = _dressed(timeseries.Panel(), about, steps).line_width(1).fill_opacity(30 if stacked else 0)
    panel = panel.show_points(kinds.VisibilityMode.NEVER).legend(_legend(about.width)).tooltip(_every_series())
    panel = panel.span_nulls(False)
    if steps:
        panel = panel.thresholds_style(common.GraphThresholdsStyleConfig().mode(kinds.GraphThresholdsStyleMode.DASHED))
    if stacked:
        panel = panel.stacking(common.StackingConfig().mode(kinds.StackingMode.NORMAL))
    if log:
        log_scale = common.ScaleDistributionConfig().type(kinds.ScaleDistribution.LOG).log(10)
        panel = panel.scale_distribution(log_scale)
    else:
        panel = panel.min(0)
    if dashed:
        style = models.DynamicConfigValue(id_val="custom.lineStyle", value={"fill": "dash", "dash": [8, 8]})
        panel = panel.override_by_regexp(dashed, [style])
    return _asked(panel, queries)


def number(about: About, query: Query, steps: Steps = ()) -> Panel:
    """The newest value, with its course behind it."""
    panel = _dressed(stat.Panel(), about, steps).height(4).reduce_options(_newest())
    panel = panel.graph_mode(kinds.BigValueGraphMode.AREA).color_mode(kinds.BigValueColorMode.VALUE)
    return _asked(panel, [query])


def states(about: About, query: Query, meanings: Mapping[str, tuple[str, str]]) -> Panel:
    """A bar for each series, coloured by its state. `meanings`: value -> (text, colour)."""
    results = {
        value: models.ValueMappingResult(text=text, color=colour, index=index)
        for index, (value, (text, colour)) in enumerate(meanings.items())
    }
    panel = _dressed(statetimeline.Panel(), about, ()).mappings([models.ValueMap(options=results)])
    panel = panel.show_value(kinds.VisibilityMode.NEVER).row_height(0.8).merge_values(True).legend(_legend(0))
    return _asked(panel, [query])


def buckets_over_time(about: About, query: Query) -> Panel:
    """A heatmap of a histogram. The query is of cumulative buckets, by `le`; the data source takes differences."""
    colours = heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Oranges").fill("dark-orange")
    colours = colours.scale(HeatmapColorScale.EXPONENTIAL).exponent(0.5).steps(64)
    panel = _dressed(heatmap.Panel(), about, ()).calculate(False).color(colours)
    panel = panel.y_axis(heatmap.YAxisConfig().unit(about.unit))
    return panel.with_target(_target(0, query).range().format(PromQueryFormat.HEATMAP))


def buckets_now(about: About, query: Query) -> Panel:
    """Bars of a histogram's buckets over the whole time range. The query is of cumulative ones, by `le`."""
    panel = _dressed(bargauge.Panel(), about, ()).reduce_options(_newest()).min(0)
    panel = panel.orientation(kinds.VizOrientation.HORIZONTAL).display_mode(kinds.BarGaugeDisplayMode.BASIC)
    return panel.with_target(_target(0, query).instant().format(PromQueryFormat.HEATMAP))


def rows(about: About, columns: Mapping[str, str], labels: Sequence[str], counts: Sequence[str] = ()) -> Panel:
    """A table of the newest values. `columns` (two at least): heading -> query. `labels` join them and stand left.

    `counts`: headings of columns whose unit is not the table's.
    """
    panel = _dressed(table.Panel(), about, ())
    for heading in counts:
        panel = panel.override_by_name(heading, [models.DynamicConfigValue(id_val="unit", value=COUNT)])
    for place, expression in enumerate(columns.values()):
        panel = panel.with_target(_target(place, Query(expression)).instant().format(PromQueryFormat.TABLE))
    panel = panel.with_transformation(models.DataTransformerConfig(id_val="merge", options={}))
    headings = {f"Value #{_letter(place)}": name for place, name in enumerate(columns)}
    order = {name: place for place, name in enumerate([*labels, *headings])}
    organised = {"excludeByName": {"Time": True}, "indexByName": order, "renameByName": headings}
    return panel.with_transformation(models.DataTransformerConfig(id_val="organize", options=organised))


def _dressed(panel: P, about: About, steps: Steps) -> P:
    colours = [models.Threshold(value=None, color="green")]
    colours += [models.Threshold(value=value, color=colour) for value, colour in steps]
    panel = panel.title(about.title).description(about.description).datasource(SOURCE)
    panel = panel.unit(about.unit).span(about.width).height(_HEIGHT)
    mode = models.FieldColorModeId.THRESHOLDS if steps else models.FieldColorModeId.PALETTE_CLASSIC
    if not isinstance(panel, timeseries.Panel):
        panel = panel.color_scheme(FieldColor().mode(mode))
    return panel.thresholds(ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(colours))


def _asked(panel: P, queries: Sequence[Query]) -> P:
    for place, query in enumerate(queries):
        panel = panel.with_target(_target(place, query).range())
    return panel


def _target(place: int, query: Query) -> Dataquery:
    asked = Dataquery().datasource(SOURCE).ref_id(_letter(place)).expr(query.expression)
    return asked.legend_format(query.legend)


def _letter(place: int) -> str:
    return chr(ord("A") + place)


def _newest() -> common.ReduceDataOptions:
    return common.ReduceDataOptions().calcs(["lastNotNull"]).values(False)


def _legend(width: int) -> common.VizLegendOptions:
    """With the newest and the largest value where there is room."""
    legend = common.VizLegendOptions().show_legend(True).placement(kinds.LegendPlacement.BOTTOM)
    if width < _WIDE:
        return legend.display_mode(kinds.LegendDisplayMode.LIST).calcs([])
    return legend.display_mode(kinds.LegendDisplayMode.TABLE).calcs(["lastNotNull", "max"])


def _every_series() -> common.VizTooltipOptions:
    return common.VizTooltipOptions().mode(kinds.TooltipDisplayMode.MULTI).sort(kinds.SortOrder.DESCENDING)
