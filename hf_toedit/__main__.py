"""Entry point of `python -m hf_toedit`, the same as `hf-toedit`."""

from hf_toedit.cli.main import cli

if __name__ == "__main__":
    cli(prog_name="hf-toedit")
