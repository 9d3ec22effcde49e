"""The tab in which a text is edited and every token shown."""

from __future__ import annotations

import gradio as gr

from hf_toedit.space.settings import SpaceSettings


def edit_tab(settings: SpaceSettings) -> None:
    """Lay out the tab; called inside a `gr.Tab`.

    Args:
        settings: what visitors may do.
    """
    gr.Textbox(label="Text", max_length=settings.max_characters)
