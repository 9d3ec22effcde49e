"""`hf-toedit space`: the demo, served on this machine or as a Space on the Hub."""

from __future__ import annotations

import json
import socket
import threading
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hf_toedit.cli import completion
from hf_toedit.cli.help import HUB, PRIOR, Group, option
from hf_toedit.cli.libraries import quiet_hub, quiet_libraries, quiet_transformers
from hf_toedit.cli.options import Command, json_option, quiet_option, together
from hf_toedit.config import PriorConfig
from hf_toedit.errors import RunError, SourceError, UsageError

if TYPE_CHECKING:
    from hf_toedit.space.repository import SpaceOutlook

_SERVER = "Server"
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


def prior_options(command: Command) -> Command:
    """The prior that the demo offers first."""
    return together(
        option("--prior", group=PRIOR, default="embedded", show_default=True, metavar="NAME",
               shell_complete=completion.priors,
               help="Prior offered first: `embedded`, a Hub id, or a local folder (run)."),
        option("--prior-revision", group=PRIOR, metavar="REV", help="Branch, tag or commit of a Hub prior."),
    )(command)  # fmt: skip


@click.group(cls=Group, purpose=HUB, short_help="Demo: edit a text, look at an edited dataset.")
def space() -> None:
    """Demo: a web page to edit a text and to look at edited datasets, on this machine or as a Space on the Hub."""


@space.command(short_help="Serve the demo on this machine.")
@click.argument("source", required=False, shell_complete=completion.folders)
@prior_options
@option("--host", group=_SERVER, default="127.0.0.1", show_default=True, metavar="ADDRESS",
        help="Bind address; on 0.0.0.0 local paths are disabled.")  # fmt: skip
@option("--port", group=_SERVER, type=click.IntRange(1, 65535), metavar="N",
        help="Port.  [default: first free from 7860]")  # fmt: skip
@option("--open", "open_browser", group=_SERVER, is_flag=True, help="Open the page in the browser.")
def run(source: str | None, prior: str, prior_revision: str | None, host: str, port: int | None,
        open_browser: bool) -> None:  # fmt: skip
    """Serve the demo until Ctrl-C. The dataset tab opens SOURCE, a run folder or a Hub dataset.

    \b
    Examples:
      hf-toedit space run
      hf-toedit space run demo-run --open
    """  # noqa: D301
    _check_extra()
    _check_address(host, port)
    quiet_libraries(show_progress=False)
    quiet_hub()
    quiet_transformers()
    from hf_toedit.runs.store import is_run
    from hf_toedit.space.app import launch
    from hf_toedit.space.opening import Address
    from hf_toedit.space.settings import SpaceSettings

    local = host in _LOOPBACK
    if not local and source is not None and Path(source).exists():
        raise UsageError(f"{source} is on this machine, and anyone at {host} could read it. Leave --host out.")
    if source is not None and not (local and is_run(source)):
        Address.named(source, local)
    settings = SpaceSettings(PriorConfig(prior, prior_revision), local=local, source=source)
    app = launch(settings, host=host, port=port, open_browser=open_browser, block=False)
    try:
        click.echo(f"Serving at {app.local_url} until Ctrl-C.")
        threading.Event().wait()
    except KeyboardInterrupt:
        pass  # that is how it ends
    finally:
        app.close(verbose=False)


@space.command(short_help="Push the demo to the Hub.")
@click.argument("repo", metavar="ORG/NAME")
@prior_options
@option("--source", group=HUB, metavar="ORG/NAME", help="Hub dataset that the dataset tab opens first.")
@option("--public/--private", group=HUB, default=False,
        help="Create the Space as public or private.  [default: private]")  # fmt: skip
@option("--hardware", group=HUB, metavar="FLAVOR",
        help="Hardware, such as cpu-upgrade.  [default: unchanged, or free]")  # fmt: skip
@option("--dry-run", group=HUB, is_flag=True, help="Write nothing; report what would be created, and print all files.")
@json_option
@quiet_option
def push(repo: str, **options: Any) -> None:
    """Create or update the Space ORG/NAME on the Hub. A new Space is private.

    Sends only files that differ, and refuses a Space with other content. Hand-written parts of README.md are kept.
    Secrets, such as the token that a private dataset requires, are set on the Hub.

    \b
    Examples:
      hf-toedit space push org/toedit-demo --dry-run
      hf-toedit space push org/toedit-demo --source org/stories-toedit --public
    """  # noqa: D301
    quiet_libraries(show_progress=False, quiet=options["quiet"] or options["as_json"])
    quiet_hub()
    from hf_toedit.hub.reading import pinned_sha
    from hf_toedit.priors.registry import pinned
    from hf_toedit.space.repository import SpacePush
    from hf_toedit.space.settings import SpaceSettings

    prior, _ = pinned(PriorConfig(options["prior"], options["prior_revision"]))
    if prior.revision is None and prior.prior != "embedded":
        raise UsageError(
            f"the prior {prior.prior!r} is on this machine, which a Space cannot read. Push it to the Hub and "
            f"name it as org/name."
        )
    if options["source"] is not None:
        pinned_sha("dataset", options["source"], None, SourceError)
    sending = SpacePush(
        repo,
        SpaceSettings(prior, source=options["source"]),
        private=not options["public"],
        hardware=options["hardware"],
    )
    found = sending.outlook() if options["dry_run"] else sending()
    if options["as_json"]:
        click.echo(json.dumps({"repo": repo, **asdict(found)}, indent=2))
    elif not options["quiet"]:
        _report(found, repo, options["public"], options["dry_run"])


def _report(found: SpaceOutlook, repo: str, public: bool, dry_run: bool) -> None:
    """Print what a push did, or would do."""
    from hf_toedit.cli.output import printable

    if public and found.private:
        click.echo(f"{repo} exists and is private; --public does not change that. Use its settings on the Hub.")
    if found.creates:
        click.echo(f"{'Would create' if dry_run else 'Created'}: Space {repo}{' (private)' * found.private}")
    if found.hardware:
        price = found.hardware.price_per_hour
        costs = "price per hour unknown" if price is None else f"${price:,.2f} an hour while it runs"
        asked = "Would ask for" if dry_run else "Asked for"
        click.echo(f"{asked}: {found.hardware.flavor} ({found.hardware.words}), {costs}")
    if dry_run:
        for path, text in found.files.items():
            click.echo(f"{'Would send' if path in found.changed else 'Unchanged'}: {path}")
            click.echo("".join(f"    {printable(line)}\n" for line in text.splitlines()), nl=False)
    else:
        click.echo(f"Sent: {', '.join(found.changed) or 'nothing, all files are up to date'}. {found.url}")


def _check_extra() -> None:
    """Check that the packages of the extra can be imported.

    Raises:
        UsageError: One cannot.
    """
    try:
        import cachetools  # noqa: F401
        import gradio  # noqa: F401
    except ImportError as error:
        raise UsageError(
            f"the demo needs more packages, and one cannot be imported here ({error}). "
            'Run: pip install "hf-toedit[space]".'
        ) from error


def _check_address(host: str, port: int | None) -> None:
    """Check that the address can be bound, before the prior is loaded.

    Raises:
        RunError: The address is in use, or is not an address of this machine.
    """
    try:
        (family, *_, address), *_ = socket.getaddrinfo(host, port or 0, type=socket.SOCK_STREAM)
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        where = host if port is None else f"{host}:{port}"
        raise RunError(f"cannot listen at {where} ({error.strerror}). Name another --host or --port.") from error
