"""The whole app: two tabs, and the server that shows them without reaching for anything outside."""

from __future__ import annotations

import ipaddress
import socket

import gradio as gr

from hf_toedit.errors import UsageError
from hf_toedit.space.dataset_tab import dataset_tab
from hf_toedit.space.edit_tab import edit_tab
from hf_toedit.space.settings import SpaceSettings

TITLE = "ToEdit"
_QUEUE_SIZE = 40


def build(settings: SpaceSettings) -> gr.Blocks:
    """The app, not yet served.

    Args:
        settings: what visitors may do.
    """
    with gr.Blocks(title=TITLE, analytics_enabled=False) as app:
        with gr.Tab("Edit a text"):
            edit_tab(settings)
        with gr.Tab("Look at a dataset"):
            dataset_tab(settings)
    return app.queue(max_size=_QUEUE_SIZE, api_open=False)


def launch(
    settings: SpaceSettings,
    *,
    host: str = "127.0.0.1",
    port: int | None = None,
    open_browser: bool = False,
    block: bool = True,
) -> gr.Blocks:
    """Serve the app.

    Args:
        settings: what visitors may do.
        host: address to listen at; `0.0.0.0` for all.
        port: None takes the first free one from 7860 on.
        open_browser: show it to whoever sits here.
        block: return when the server has ended; otherwise at once, and `close()` of what is returned ends it.

    Raises:
        UsageError: others could reach a server that reads the files of this machine.
    """
    if settings.local and not _is_loopback(host):
        raise UsageError(f"host {host!r} can be reached by others, who could read this machine's files. Listen at "
                         f"127.0.0.1, or serve without local folders.")  # fmt: skip
    app = build(settings)
    app.launch(
        inbrowser=open_browser,
        share=False,
        prevent_thread_lock=not block,
        server_name=host,
        server_port=port,
        footer_links=[],
        run_history=False,
        enable_monitoring=False,
        mcp_server=False,
        ssr_mode=False,
        pwa=False,
    )
    return app


def _is_loopback(host: str) -> bool:
    """Whether an address is reached from this machine only."""
    try:
        found = socket.getaddrinfo(host, None)
    except OSError:
        return False
    return all(ipaddress.ip_address(address[4][0]).is_loopback for address in found)
