"""A dashboard around panels: variables, links to the others, places on the grid."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders.dashboard import Dashboard, DashboardLink, DatasourceVariable, QueryVariable, Row
from grafana_foundation_sdk.models import dashboard as models

from deploy.k8s.dashboards.panels import SOURCE, Panel

TAG = "yardstick"


@dataclass(frozen=True, slots=True)
class Section:
    """A row. `folded`: its queries are not asked until it is opened."""

    title: str
    panels: Sequence[Panel]
    folded: bool = False


@dataclass(frozen=True, slots=True)
class Variable:
    """Values of a label, of which several or all can be chosen, or just one: first this `single`.

    `metric`: any that has it from the start.
    """

    name: str
    label: str
    metric: str
    of: str
    single: str = ""


def dashboard(
    uid: str, title: str, description: str, variables: Sequence[Variable], sections: Sequence[Section]
) -> models.Dashboard:
    """The last hour, again every 30 s. Numbers of panels and their places follow from the order of the sections."""
    made = Dashboard(title).uid(uid).description(description).tags([TAG]).timezone("browser")
    made = (
        made.time("now-1h", "now").refresh("30s").tooltip(models.DashboardCursorSync.CROSSHAIR).link(_to_the_others())
    )
    made = made.with_variable(DatasourceVariable("datasource").label("Data source").type("prometheus"))
    for variable in variables:
        made = made.with_variable(_query_variable(variable))
    for section in sections:
        row = Row(section.title)
        if section.folded:
            for panel in section.panels:
                row = row.with_panel(panel)
            made = made.with_row(row)
        else:
            made = made.with_row(row)
            for panel in section.panels:
                made = made.with_panel(panel)
    built = made.build()
    for number, each in enumerate(every_panel(built), start=1):
        each.id_val = number
    return built


def every_panel(built: models.Dashboard) -> Iterator[models.Panel | models.RowPanel]:
    """Rows, and what is in them."""
    for each in built.panels or ():
        yield each
        if isinstance(each, models.RowPanel):
            yield from each.panels


def _query_variable(variable: Variable) -> QueryVariable:
    query: dict[str, object] = {"query": f"label_values({variable.metric}, {variable.of})", "refId": variable.name}
    asked = QueryVariable(variable.name).label(variable.label).datasource(SOURCE).query(query)
    asked = asked.refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED).sort(models.VariableSort.ALPHABETICAL_ASC)
    if variable.single:
        one = models.VariableOption(selected=True, text=variable.single, value=variable.single)
        return asked.multi(False).include_all(False).current(one)
    every = models.VariableOption(selected=True, text="All", value="$__all")
    # ".*" also lets through what has no such label: requests for which no model was chosen.
    return asked.multi(True).include_all(True).all_value(".*").current(every)


def _to_the_others() -> DashboardLink:
    link = DashboardLink("Yardstick").type(models.DashboardLinkType.DASHBOARDS).tags([TAG])
    return link.keep_time(True).include_vars(True).as_dropdown(False)
