"""Components of the tab for a text: their looks and labels, without behaviour."""

from __future__ import annotations

import gradio as gr

from hf_toedit.space import permalink
from hf_toedit.space.permalink import EditRequest


def fragment(content: str) -> gr.HTML:
    """Return an HTML component with its own style."""
    return gr.HTML(content, apply_default_css=False, js_on_load=None)


def text(content: str, label: str) -> gr.Textbox:
    """Return a read-only text that can be copied."""
    return gr.Textbox(
        content, label=label, lines=6, max_lines=12, min_width=320, interactive=False, buttons=["copy"],
        autoscroll=False,
    )  # fmt: skip


def sliders(first: EditRequest) -> list[gr.Slider]:
    """Return one slider per setting, in the order of their fields in `EditRequest`."""
    return [
        gr.Slider(
            0, 1, first.threshold, step=permalink.THRESHOLD_STEP, label="Threshold",
            info="Tokens with p of at least this are resampled.",
        ),
        gr.Slider(
            1, permalink.MAX_TOP_K, first.top_k, step=1, precision=0, label="Candidates (k)",
            info="They are resampled from the k likeliest.",
        ),
        gr.Slider(
            0.1, permalink.MAX_TEMPERATURE, first.temperature, step=0.1, label="Temperature",
            info="Higher values sample rarer tokens.",
        ),
        gr.Slider(
            0, permalink.MAX_SEED, first.seed, step=1, precision=0, label="Seed",
            info="Each seed gives other samples.",
        ),
        gr.Slider(
            1, permalink.MAX_GENERATIONS, first.generations, step=1, precision=0, label="Generations",
            info="Number of passes, each over the previous result.",
        ),
    ]  # fmt: skip
