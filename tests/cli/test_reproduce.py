"""`hf-toedit reproduce`: the list of items, the dry run of an item, and a report."""

from __future__ import annotations

from pathlib import Path

from tests.cli.command import HfToEdit


def test_the_command(hf_toedit: HfToEdit, tmp_path: Path) -> None:
    listed = hf_toedit("reproduce")
    assert (listed.code, listed.stderr) == (0, "")
    assert "(arXiv 2412.14689)" in listed.stdout and "  Theorem 3.2 (" in listed.stdout
    names = [entry["name"] for entry in hf_toedit("reproduce", "--json").json]
    assert "Equation 8" in names

    planned = hf_toedit("reproduce", "equation 8", "--scale", "paper", "--dry-run").stdout
    assert "repetitions: 20000" in planned and "Needs: nothing" in planned and "minutes" not in planned
    assert hf_toedit("reproduce", "equation 8", "--dry-run", "--json").json["minutes"] > 0

    done = hf_toedit("reproduce", "Equation 8", "-o", tmp_path / "report")
    assert (done.code, done.stderr) == (0, "")
    assert done.stdout.splitlines()[1].startswith("Holds here: yes, since after 40 generations")
    assert (tmp_path / "report/assets/errors.png").read_bytes()[:4] == b"\x89PNG"
    page = (tmp_path / "report/report.html").read_text()
    assert "<title>Equation 8</title>" in page and "http:" not in page and 'src="http' not in page


def test_what_is_refused(hf_toedit: HfToEdit, tmp_path: Path) -> None:
    assert "no output folder. Name one" in hf_toedit.fails("reproduce", "Theorem 1", code=2)
    assert "Did you mean 'Theorem 1'?" in hf_toedit.fails("reproduce", "theorem1", "-o", tmp_path / "x", code=2)
    assert not (tmp_path / "x").exists()
