"""Legends of pictures."""

from __future__ import annotations

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from hf_toedit.cards.plots import legend


@pytest.mark.parametrize(("names", "rows"), [(["a"], 0), (["a", "b"], 1), ([f"a long name, {n}" for n in range(6)], 2)])
def test_a_legend_is_no_wider_than_its_figure(names: list[str], rows: int) -> None:
    figure = Figure(figsize=(6, 3), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for name in names:
        axes.plot([0, 1], [0, 1], label=name)
    legend(figure)
    assert len(figure.legends) == min(rows, 1)
    for made in figure.legends:
        figure.canvas.draw()
        box = made.get_window_extent()
        assert 0 <= box.x0 and box.x1 <= figure.bbox.width
        assert [text.get_text() for text in made.get_texts()] == names
        assert len({round(text.get_window_extent().y0 / 10) for text in made.get_texts()}) == rows
