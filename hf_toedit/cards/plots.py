"""The style of card pictures, as PNG.

Pictures have a light background, so that they look the same on a dark page. Blue and vermilion are distinguishable with
colour blindness, and differ in lightness as well.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from hf_toedit.cards.section import WIDTH

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Data = TypeVar("Data")

COLOURS = ("#0072b2", "#e5833b")
INK, PALE, GROUND = "#24292f", "#6e7781", "#f6f8fa"
KIND_COLOURS = {
    "number": "#d55e00",
    "inside_word": "#e69f00",
    "capitalised_word": "#56b4e9",
    "whole_word": "#2f8fd0",
    "punctuation": "#4fb59a",
    "whitespace": "#aab2bb",
    "code": "#cc79a7",
}
"""Colours of `place_kinds.KINDS`: warm where a change reads as an error, cool where it may go unnoticed."""

_DPI = 100
_COLOURS_OF_A_FILE = 64
"""Few colours give a small file, and suffice for lines, bars and the edges of letters.

The octree finds them in a tenth of the time of Pillow's default, which takes as long as drawing the picture.
"""

_STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 11,
    "axes.titlesize": 12,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": PALE,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.facecolor": GROUND,
    "figure.facecolor": GROUND,
    "grid.color": "#d0d7de",
    "xtick.color": INK,
    "ytick.color": INK,
    "text.color": INK,
    "figure.constrained_layout.w_pad": 0.12,
    "figure.constrained_layout.h_pad": 0.1,
    "legend.frameon": False,
    "legend.fontsize": 10.5,
}


def load_matplotlib() -> None:
    """Import the modules that `png` needs, before the first picture."""
    with _style():  # it silences what is logged during the import
        for module in ("matplotlib.backends.backend_agg", "matplotlib.figure", "PIL.Image"):
            import_module(module)


def png(draw: Callable[[Figure, Data], None], data: Data) -> bytes:
    """Return a picture as PNG.

    Args:
        draw: Draws the picture.
        data: What `draw` draws.
    """
    with _style():
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from PIL import Image

        figure = Figure(figsize=(WIDTH / _DPI, 3.6), dpi=2 * _DPI, layout="constrained")
        canvas = FigureCanvasAgg(figure)
        draw(figure, data)
        canvas.draw()
        image = Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3])
    stream = io.BytesIO()
    octree = Image.Quantize.FASTOCTREE
    image.quantize(_COLOURS_OF_A_FILE, method=octree, dither=Image.Dither.NONE).save(stream, "PNG")
    return stream.getvalue()


@contextmanager
def _style() -> Iterator[None]:
    """Apply our own settings, whatever a `matplotlibrc` contains, and silence messages about font caches."""
    import matplotlib

    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)  # type: ignore[arg-type]
        yield


def legend(figure: Figure) -> None:
    """Add one legend for all panels, above them, where it covers nothing; in several rows if one row is too wide."""
    handles, labels = figure.axes[0].get_legend_handles_labels()
    for columns in range(len(labels), 0, -1) if len(labels) > 1 else ():
        made = figure.legend(handles, labels, loc="outside upper right", ncols=columns)
        if made.get_window_extent().width <= figure.bbox.width:
            return
        if columns > 1:
            made.remove()
