"""The picture of losses: a bar for each policy, what it loses against the optimum."""

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from quotegrid.analysis.evaluation_result import Evaluation
from quotegrid.analysis.figures import BID, INK, STYLE, Colour

_NOTHING = 1e-9  # of the optimum: a loss below it is drawn as none


def losses_figure(evaluations: Mapping[str, Evaluation]) -> Figure:
    """What some policies lose against the same optimum, per hour, in the order given.

    Raises:
        ValueError: none, or one that was evaluated without its optimum.
    """
    if not evaluations or any(found.optimum is None for found in evaluations.values()):
        raise ValueError("expected evaluations of one or more policies with their optimum (optimum=True).")
    first = next(iter(evaluations.values()))
    worth = first.per_hour(first.optimum or 0.0)
    losses = {name: found.regret_per_hour or 0.0 for name, found in evaluations.items()}
    worst = max(losses, key=losses.__getitem__)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(8.5, 1.6 + 0.42 * len(losses)), dpi=150)
        axes = figure.subplots()
        draw_losses(axes, list(losses), list(losses.values()), [BID] * len(losses), worth)
        unit = f"{first.money} per {first.per}"
        axes.set_title(f"What it loses ({unit}), and of the optimum")
        share = max(losses[worst], 0.0) / abs(worth) if worth else 0.0
        most = "" if len(losses) == 1 else " most"
        figure.suptitle(
            f"{worst} loses{most}: {share:.2%} of {worth:.3g} {unit}",
            x=0.01,
            ha="left",
            fontsize=12,
            color=INK,
        )
    return figure


def draw_losses(
    axes: Axes, names: Sequence[str], losses: Sequence[float], colours: Sequence[Colour], worth: float
) -> None:
    """Bars on a logarithmic scale with the loss, and its part of what the optimum is worth, beside each."""
    known = [loss for loss in losses if loss > _NOTHING * abs(worth)]
    floor = min(known, default=1.0) / 3.0
    places = np.arange(len(names))[::-1]
    for place, loss, colour in zip(places, losses, colours, strict=True):
        counts = loss > _NOTHING * abs(worth)
        if counts:
            axes.barh(place, loss - floor, left=floor, color=colour, height=0.62)
        part = loss / abs(worth) if worth else 0.0
        share = f"  ({part:.2%})" if counts and part >= 5e-5 else ""
        axes.annotate(
            f"{loss:.3g}{share}" if counts else "none",
            (loss if counts else floor, place),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=8.5,
        )
    axes.set_xscale("log")
    axes.set_xlim(floor, max(known, default=1.0) * 30.0)
    axes.set_ylim(-0.6, len(names) - 0.4)  # room for those without a bar, too
    axes.set_yticks(places, names)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", visible=False)
