"""A cohort report as a picture: our figures with their intervals beside the published ones.

matplotlib is loaded only here, and draws without a screen.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any, Final

OURS: Final = "#1f5a8a"
PUBLISHED: Final = "#c77700"
QUIET: Final = "#555555"


def draw(report: Mapping[str, Any], wanted: str) -> bytes:
    """The picture as ``png`` or ``svg``."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    figures = list(reversed(report["figures"]))
    picture = Figure(figsize=(11, 1.9 + 0.72 * len(figures)), layout=ConstrainedLayoutEngine(w_pad=0.15, h_pad=0.15))
    FigureCanvasAgg(picture)
    axes = picture.add_subplot()
    for place, figure in enumerate(figures):
        _draw_one(axes, place, figure)
    years = (
        f"{report['first_year']}"
        if report["first_year"] == report["last_year"]
        else (f"{report['first_year']} to {report['last_year']}")
    )
    axes.set_title(f"Outcomes for the programme {report['programme']}, first doses of {years}", loc="left", pad=14)
    axes.set_yticks(range(len(figures)), [figure["says"] for figure in figures])
    axes.set_ylim(-0.7, len(figures) - 0.3)
    axes.set_xlim(0, 100)
    axes.set_xlabel("percent of the patients assessed")
    axes.grid(axis="x", color="#dddddd")
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(axis="y", length=0)
    _explain(picture, axes, report)
    stream = io.BytesIO()
    with rc_context({"svg.hashsalt": "cohort"}):  # else each drawing would have ids of its own
        picture.savefig(stream, format=wanted, dpi=150, metadata=_undated(wanted))
    return stream.getvalue()


def _draw_one(axes: Any, place: int, figure: Mapping[str, Any]) -> None:
    low, high = figure["published_low"], figure["published_high"]
    if low == high:
        axes.plot([low], [place + 0.18], marker="D", markersize=7, color=PUBLISHED, linestyle="none", zorder=3)
    else:
        axes.plot([low, high], [place + 0.18] * 2, color=PUBLISHED, linewidth=6, solid_capstyle="butt", zorder=3)
    if figure["percent"] is None:
        words = "left out: too few patients" if figure["assessed"] else "nobody assessed"
        axes.text(1, place - 0.14, words, va="center", color=QUIET, style="italic", fontsize=9)
        return
    axes.plot([figure["low"], figure["high"]], [place - 0.14] * 2, color=OURS, linewidth=2.5, zorder=3)
    axes.plot([figure["percent"]], [place - 0.14], marker="o", markersize=8, color=OURS, zorder=4)
    words = f"{figure['percent']:.0f} %  ({figure['count']} of {figure['of']})"
    is_far = figure["high"] > 78
    axes.annotate(
        words,
        (figure["low"] if is_far else figure["high"], place - 0.14),
        xytext=(-8 if is_far else 8, 0),
        textcoords="offset points",
        ha="right" if is_far else "left",
        va="center",
        color=OURS,
        fontsize=9,
    )


def _explain(picture: Any, axes: Any, report: Mapping[str, Any]) -> None:
    method = report["method"]
    axes.plot([], [], marker="D", color=PUBLISHED, linestyle="none", label="published (DOMAIN 1)")
    label = f"ours, with {method['confidence_percent']:g} % interval ({method['interval']})"
    axes.plot([], [], marker="o", color=OURS, linewidth=2.5, label=label)
    picture.legend(loc="outside lower left", ncols=2, frameon=False, fontsize=9)
    if report["message"]:
        axes.text(50, -0.6, report["message"], ha="center", va="bottom", color=QUIET, fontsize=11)


def _undated(wanted: str) -> dict[str, Any]:
    """The same report is the same file: no day of making in it."""
    return {"Date": None} if wanted == "svg" else {"Software": None}
