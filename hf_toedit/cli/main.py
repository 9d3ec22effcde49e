"""The `hf-toedit` command: its groups, and how errors become one line and an exit code."""

from __future__ import annotations

import os
import shlex
import sys
from typing import Any

import click

from hf_toedit.cli.card import card
from hf_toedit.cli.compare import compare
from hf_toedit.cli.edit import edit
from hf_toedit.cli.generate import generate
from hf_toedit.cli.help import Group
from hf_toedit.cli.jobs import jobs
from hf_toedit.cli.libraries import hushed_libraries
from hf_toedit.cli.mix import mix
from hf_toedit.cli.names import check_names
from hf_toedit.cli.options import COMMAND_LINE
from hf_toedit.cli.plan import plan
from hf_toedit.cli.preview import preview
from hf_toedit.cli.probe import probe
from hf_toedit.cli.pull import pull
from hf_toedit.cli.push import push
from hf_toedit.cli.reproduce import reproduce
from hf_toedit.cli.revert import revert
from hf_toedit.cli.run import run
from hf_toedit.cli.score import score
from hf_toedit.cli.select import select
from hf_toedit.cli.slurm import slurm
from hf_toedit.cli.space import space
from hf_toedit.cli.status import status
from hf_toedit.cli.streams import encodable_streams
from hf_toedit.cli.submit import submit
from hf_toedit.cli.verify import verify
from hf_toedit.collector import postpone_collector
from hf_toedit.errors import Interrupted, ToEditError
from hf_toedit.program import NAME, as_called, is_extension, program
from hf_toedit.version import __version__


class Commands(Group):
    """A group whose commands fail with one clear line: exit code 1 for what failed, 2 for wrong use."""

    def main(self, *args: Any, **options: Any) -> Any:
        """Run a command line as a process of its own."""
        postpone_collector()
        if is_extension():
            options.setdefault("prog_name", program())
        with hushed_libraries(), encodable_streams():
            return super().main(*args, **options)

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Keep the command line, for the card."""
        called = NAME if info_name in (None, program()) else info_name  # an entry on a card is for everybody
        typed = f"{called} {shlex.join(args)}"
        context = super().make_context(info_name, args, parent, **extra)
        context.meta[COMMAND_LINE] = typed
        return context

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except ToEditError as error:
            _fail(ctx, str(error), error.exit_code)
        except KeyboardInterrupt:
            _fail(ctx, "stopped.", Interrupted.exit_code)
        except BrokenPipeError:
            raise  # click ends silently: the reader has closed the pipe
        except UnicodeEncodeError as error:
            _fail(ctx, _not_encodable(error), 1)
        except OSError as error:
            _fail(ctx, f"{error.strerror or error}: {error.filename or ctx.command_path}", 1)


def _not_encodable(error: UnicodeEncodeError) -> str:
    """What is wrong with a name that no option holds: that of a folder above, of a file, or in the environment."""
    return (
        f"{ascii(error.object[error.start : error.end])} in the name of a file or in an environment variable is not "
        f"valid {error.encoding}. Rename it, or set PYTHONUTF8=1 if the name is valid UTF-8."
    )


def _fail(ctx: click.Context, message: str, exit_code: int) -> None:
    """End with one line; it may name columns of a dataset, or quote it, so it is made printable."""
    from hf_toedit.cli.output import printable

    click.echo(f"Error: {printable(as_called(message))}", err=True)
    if exit_code == Interrupted.exit_code:
        # An ordinary exit would wait for the threads in which the prior reads, however long their texts are. Nothing
        # is lost: files appear whole or not at all.
        sys.stdout.flush()
        os._exit(exit_code)
    ctx.exit(exit_code)


_EPILOG = """\b
Rare options of a command: hf-toedit COMMAND --help-all
Shell completion, also with zsh and fish in place of bash:
  eval "$(_HF_TOEDIT_COMPLETE=bash_source hf-toedit)"
"""


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=_EPILOG,
)
@click.version_option(__version__, package_name="hf-toedit")
def cli() -> None:
    """Edit text datasets token by token with ToEdit (arXiv 2412.14689).

    A language model, the prior, reads each document once. Tokens with a probability of at least 0.99 are resampled
    from its top 8; everything else is unchanged.
    """


for added in (
    edit,
    preview,
    verify,
    revert,
    score,
    generate,
    select,
    mix,
    compare,
    probe,
    reproduce,
    plan,
    run,
    status,
    slurm,
    jobs,
    card,
    push,
    pull,
    space,
):
    cli.add_command(added)
jobs.commands = {"submit": submit, **jobs.commands}
check_names(cli)
