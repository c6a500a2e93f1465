"""A training run as one offline page, and its scores as a table."""

from __future__ import annotations

import html
from dataclasses import dataclass, field
from typing import Any

import plotly.graph_objects as go
from jinja2 import Environment, PackageLoader, select_autoescape
from plotly.offline import get_plotlyjs

# Okabe & Ito's hues, told apart by colour-blind eyes, at a lightness that reads on white and on black.
BLUE, ORANGE, GREEN, GREY = "#2b8cd6", "#d55e00", "#009e73", "#8a8f98"

BAND = "rgba(43, 140, 214, 0.25)"  # BLUE


@dataclass(frozen=True)
class RunReport:
    """Everything the page of a run shows.

    Attributes:
        title: the run's name.
        summary: lines of what was done, in words.
        choices: name and value of every choice.
        target: the column that was forecast.
        times, truth, forecast: by row; truth None where it is not known yet, forecast None at the start.
        spans: (name, first time, last time) of the tested rows.
        scores: by model and what it was judged on.
        losses, validation: by epoch; validation may be empty.
        lag_start, lag_end: mean gradient norm by lag, before and after training.
        judged_on: the columns of the scores; empty for those of `spans`.
        measure, meaning, better: what a score is, what its values say, and whether less or more is better.
        loss: what is learned from.
        labels: classes or characters, by output.
        confusion: how many sequences of each class (rows) were taken for each (columns).
        sample: what a language model writes.
        lower, upper: by row, the ends of the forecast's interval; empty or None where there is none.
    """

    title: str
    summary: list[str]
    choices: dict[str, Any]
    target: str
    times: list[str]
    truth: list[float | None]
    forecast: list[float | None]
    spans: list[tuple[str, str, str]]
    scores: dict[str, dict[str, float]]
    losses: list[float]
    validation: list[float]
    lag_start: list[float]
    lag_end: list[float]
    judged_on: list[str] = field(default_factory=list)
    measure: str = "average relative variance"
    meaning: str = "The mean squared error over the variance of the series; 1 is no better than the mean."
    better: str = "less"
    loss: str = "mean square error"
    labels: list[str] = field(default_factory=list)
    confusion: list[list[int]] | None = None
    sample: str = ""
    lower: list[float | None] = field(default_factory=list)
    upper: list[float | None] = field(default_factory=list)


def run_page(report: RunReport) -> str:
    """The page as HTML: one file, no network, light and dark."""
    environment = Environment(
        loader=PackageLoader("bptt.report"),
        autoescape=select_autoescape(["html"]),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    figures = {"losses": _loss_figure(report), "lags": _lag_figure(report)}
    if report.times:
        figures["forecast"] = _forecast_figure(report)
    return environment.get_template("run.html").render(
        report=report,
        spans=[name for name, _, _ in report.spans],
        judged_on=report.judged_on or [name for name, _, _ in report.spans],
        plotly=get_plotlyjs(),
        figures={name: _fragment(figure, name) for name, figure in figures.items()},
    )


def _forecast_figure(report: RunReport) -> go.Figure:
    target = html.escape(report.target)
    figure = go.Figure()
    if any(end is not None for end in report.lower):
        edge = {"x": report.times, "mode": "lines", "line": {"width": 0}, "hoverinfo": "skip"}
        figure.add_scatter(y=report.upper, showlegend=False, **edge)
        figure.add_scatter(y=report.lower, name="interval", fill="tonexty", fillcolor=BAND, **edge)
    figure.add_scatter(x=report.times, y=report.truth, name="truth", line={"color": GREY, "width": 2.5})
    figure.add_scatter(x=report.times, y=report.forecast, name="forecast", line={"color": BLUE, "width": 1.5})
    for _, first, last in report.spans:
        figure.add_vrect(x0=first, x1=last, fillcolor=ORANGE, opacity=0.12, line_width=0)
    figure.update_yaxes(title=target)
    return _styled(figure)


def _loss_figure(report: RunReport) -> go.Figure:
    epochs = list(range(1, len(report.losses) + 1))
    figure = go.Figure()
    figure.add_scatter(x=epochs, y=report.losses, name="training", line={"color": BLUE})
    if report.validation:
        figure.add_scatter(x=epochs, y=report.validation, name="validation", line={"color": ORANGE})
    figure.update_xaxes(title="epoch")
    figure.update_yaxes(title=report.loss, type="log", dtick="D2")
    return _styled(figure)


def _lag_figure(report: RunReport) -> go.Figure:
    figure = go.Figure()
    for name, norms, color in (
        ("before training", report.lag_start, GREY),
        ("after training", report.lag_end, GREEN),
    ):
        figure.add_scatter(
            x=list(range(len(norms))),
            y=[norm or None for norm in norms],
            name=name,
            line={"color": color},
            mode="lines+markers",
            marker={"size": 4},
        )
    figure.update_xaxes(title="lag (steps back)")
    figure.update_yaxes(
        title="‖∂E<sub>t</sub>/∂s<sub>t-lag</sub>‖, mean over t", type="log", exponentformat="power"
    )
    return _styled(figure)


def _styled(figure: go.Figure) -> go.Figure:
    figure.update_layout(
        template="none",
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": GREY, "family": "system-ui, sans-serif", "size": 13},
        margin={"l": 70, "r": 20, "t": 30, "b": 55},
        height=380,
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 1, "xanchor": "right"},
        hovermode="x unified",
        hoverlabel={"bgcolor": "#ffffff", "font": {"color": "#1c1e21"}},
    )
    grid = {"gridcolor": "rgba(138,143,152,0.25)", "zeroline": False}
    figure.update_xaxes(**grid)
    figure.update_yaxes(**grid)
    return figure


def _fragment(figure: go.Figure, name: str) -> str:
    config = {"displayModeBar": False, "responsive": True}
    return figure.to_html(full_html=False, include_plotlyjs=False, div_id=f"figure-{name}", config=config)
