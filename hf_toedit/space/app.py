"""The app: two tabs and the server for them; the page loads nothing from other hosts."""

from __future__ import annotations

import ipaddress
import socket
from importlib.resources import files
from typing import Any

import gradio as gr
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hf_toedit.errors import UsageError
from hf_toedit.picture import html
from hf_toedit.space.dataset_tab import TAB_ID, dataset_tab
from hf_toedit.space.edit_tab import edit_tab
from hf_toedit.space.recorded import recorded_html
from hf_toedit.space.settings import SpaceSettings

TITLE = "ToEdit: what it does to a text"
DESCRIPTION = (
    "A language model, the prior, reads a text and gives each token, a word or a piece of one, a probability p. Tokens "
    "that it finds too easy are resampled from its likeliest candidates; everything else stays unchanged."
)
_ABOUT = """<p class="te-links"><a href="https://arxiv.org/abs/2412.14689" target="_blank" rel="noopener">The paper</a>
<a href="https://huggingface.co/docs/datasets" target="_blank" rel="noopener">The documentation of datasets</a></p>
<details class="te-own"><summary>Edit your own dataset</summary>
<p>On your own machine, with a real prior; <code>preview</code> shows what would change and writes nothing. A file or
folder of Parquet, JSON Lines, CSV or text may stand for <code>org/name</code>.</p>
<pre tabindex="0">pip install hf-toedit
hf-toedit preview org/name --prior HuggingFaceTB/SmolLM2-135M
hf-toedit edit org/name -o run --prior HuggingFaceTB/SmolLM2-135M --preset careful
hf-toedit push run org/name-toedit</pre></details>"""

_QUEUE_SIZE = 40
_SESSIONS = 200
"""Number of visitors whose last view is kept; it bounds the memory of the server."""

_HEADERS = {
    # Gradio's page contains inline scripts and styles, and evaluates strings as functions.
    "Content-Security-Policy": (
        "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data: blob:; font-src 'self' data:; worker-src 'self' blob:; connect-src 'self'; "
        "object-src 'none'; base-uri 'self'; form-action 'self'; "
        "frame-ancestors 'self' https://huggingface.co https://*.huggingface.co"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


_CLOSED = ("/gradio_api/upload", "/gradio_api/deep_link")
"""Endpoints where Gradio writes visitors' uploads or views to files that are never deleted."""

_BODY_BYTES = 4 * 2**20
"""Maximum size of a request: more than a text over the limit, so that the app can report it, but still bounded."""


class _Guarded:
    """Add headers to every response of a server, and block endpoints that this app does not use."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        left = _BODY_BYTES

        async def received() -> Message:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            return message if left >= 0 else {"type": "http.disconnect"}

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        is_closed = any(path in scope.get("path", "") for path in _CLOSED)
        await (PlainTextResponse(status_code=404) if is_closed else self._app)(scope, received, sent)


def build(settings: SpaceSettings) -> gr.Blocks:
    """Build the app without serving it.

    Args:
        settings: What visitors may do.
    """
    with gr.Blocks(title=TITLE, analytics_enabled=False) as app:
        gr.HTML(
            f"<h1>ToEdit</h1><p>{DESCRIPTION}</p>{_ABOUT}{recorded_html()}", elem_classes="te-head", js_on_load=None
        )
        with gr.Tab("Edit a text"):
            edit_tab(app, settings)
        with gr.Tab("Look at a dataset", elem_id=TAB_ID):
            dataset_tab(app, settings)
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
        settings: What visitors may do.
        host: Address to bind; `0.0.0.0` for all.
        port: Port; None for the first free one from 7860.
        open_browser: Open the app in a browser on this machine.
        block: Wait until the server stops; otherwise return at once, and `close()` of the returned app stops it.

    Raises:
        UsageError: Other machines could reach a server that reads the files of this one.
    """
    middleware = [Middleware(_Guarded)]
    if settings.local:
        if not _is_loopback(host):
            raise UsageError(
                f"host {host!r} can be reached by others, who could read this machine's files. Listen at 127.0.0.1, "
                f"or serve without local folders."
            )
        # Against DNS rebinding: another site could resolve its own name to this address, and read what is served here.
        middleware.append(Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost", "[::1]", host]))
    app = build(settings)
    app.launch(
        inbrowser=open_browser,
        share=False,
        prevent_thread_lock=not block,
        server_name=host,
        server_port=port,
        app_kwargs={"middleware": middleware, "docs_url": None, "redoc_url": None, "openapi_url": None},
        theme=_theme(),
        css=html.style() + _asset("space.css") + _asset("dataset.css"),
        head=f'<meta name="description" content="{DESCRIPTION}">'
        f"<script>{html.script()}</script><script>{_asset('space.js')}</script>",
        quiet=True,
        footer_links=[],
        run_history=False,
        state_session_capacity=_SESSIONS,
        max_file_size=1,
        enable_monitoring=False,
        mcp_server=False,
        ssr_mode=False,
        pwa=False,
    )
    return app


def _theme() -> Any:
    """Return a theme with the fonts of the reader's system and readable colours."""
    return gr.themes.Default(
        font=["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"],
        font_mono=["ui-monospace", "Menlo", "Consolas", "monospace"],
        primary_hue="blue",
    ).set(
        block_info_text_color="*neutral_500",
        block_info_text_color_dark="*neutral_300",
        body_text_color_subdued="*neutral_500",
        body_text_color_subdued_dark="*neutral_300",
        checkbox_border_color="*neutral_500",
        checkbox_border_color_dark="*neutral_400",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
    )


def _asset(name: str) -> str:
    return (files("hf_toedit.space") / "assets" / name).read_text(encoding="utf-8")


def _is_loopback(host: str) -> bool:
    """Whether an address can be reached from this machine only."""
    try:
        found = socket.getaddrinfo(host, None)
    except OSError:
        return False
    return all(ipaddress.ip_address(address[4][0]).is_loopback for address in found)
