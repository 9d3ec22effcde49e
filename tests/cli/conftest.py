"""Fixtures of the command line."""

from tests.cli.fixtures import hf_toedit, run, source  # noqa: F401
from tests.cli.pushing import command, few, hub, many, other, short  # noqa: F401
