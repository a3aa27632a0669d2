"""Charts as SVG: geometry is computed here, ``templates/_macros/charts.html`` draws it, ``admin/charts.js`` adds hover.

Example::

    chart = draw_lines([Series("p99", points)], span, units.SECONDS, marks)

and in a template ``{{ chart_figure("latency", "Latency", chart) }}``.
"""

from __future__ import annotations

from church.web.charts import units
from church.web.charts.axes import MOST_COLUMNS, time_axis, value_axis
from church.web.charts.series import Points, Series, Span, Spark, draw_bars, draw_lines, draw_spark, draw_stacked
from church.web.charts.shapes import HEIGHT, TOP, Bar, Chart, Line, Mark, Point, TableRow, Tick, x_of, y_of

__all__ = [
    "HEIGHT",
    "MOST_COLUMNS",
    "TOP",
    "Bar",
    "Chart",
    "Line",
    "Mark",
    "Point",
    "Points",
    "Series",
    "Span",
    "Spark",
    "TableRow",
    "Tick",
    "draw_bars",
    "draw_lines",
    "draw_spark",
    "draw_stacked",
    "time_axis",
    "units",
    "value_axis",
    "x_of",
    "y_of",
]
