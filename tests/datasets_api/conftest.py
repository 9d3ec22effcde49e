"""Fixtures of the command line."""

from tests.cli.fixtures import hf_toedit, run, source  # noqa: F401
