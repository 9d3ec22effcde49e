"""The parts of the tab for a text: what each looks like and says, whatever it does."""

from __future__ import annotations

import gradio as gr

from hf_toedit.space import permalink
from hf_toedit.space.permalink import EditRequest


def fragment(content: str) -> gr.HTML:
    """HTML that has a style of its own."""
    return gr.HTML(content, apply_default_css=False, js_on_load=None)


def text(content: str, label: str) -> gr.Textbox:
    """A text to read and to copy."""
    return gr.Textbox(
        content, label=label, lines=6, max_lines=12, min_width=320, interactive=False, buttons=["copy"],
        autoscroll=False,
    )  # fmt: skip


def sliders(first: EditRequest) -> list[gr.Slider]:
    """One a setting, in the order of their fields in `EditRequest`."""
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
