"""The tables of README.md, from the saved figures of a benchmark: `python benchmarks/report.py results/x.json`."""

from __future__ import annotations

import argparse
import json
import re
import statistics
from pathlib import Path
from typing import Any

import numpy as np

README = Path(__file__).with_name("README.md")
FLOOR, EDITOR, COMMAND, STARTUP = "forward + head", "editor", "edit command", "edit command, one row"
LESS_STARTUP = "edit command, less start-up"


def speed_tables(facts: dict[str, Any]) -> str:
    """Return Markdown of the results of `bench.py`: a table per prior, and what was left out."""
    parts = [
        f"{facts['cores']} {facts['machine']} cores, {facts['threads']} threads, torch {facts['torch']}, transformers "
        f"{facts['transformers']}; {facts['rounds']} rounds."
    ]
    parts += [_prior_table(name, prior) for name, prior in facts["priors"].items()]
    parts += [f"Left out: {reason}." for reason in facts["left_out"]]
    return "\n\n".join(parts)


def _prior_table(name: str, prior: dict[str, Any]) -> str:
    seconds = dict(prior["seconds"])
    startup = seconds.pop(STARTUP, None)
    rows = {}
    for column, times in seconds.items():
        rows[column] = times
        if column == COMMAND and startup:
            rows[LESS_STARTUP] = [whole - fixed for whole, fixed in zip(times, startup, strict=True)]
    lines = [
        f"**{name}**: {prior['num_documents']} documents, {prior['num_tokens']:,} tokens, the longest of "
        f"{prior['longest']:,}; threshold {prior['threshold']:.3g}.",
        "",
        "| column | tokens/s | time / floor | range | time / editor | range |",
        "| --- | ---: | ---: | --- | ---: | --- |",
    ]
    for column, times in rows.items():
        rate = prior["num_tokens"] / statistics.median(times)
        ratios = [_ratio(times, seconds.get(base), column == base) for base in (FLOOR, EDITOR)]
        lines.append(f"| {column} | {rate:,.0f} | {' | '.join(ratios)} |")
    notes = [f"Left out: {reason}." for reason in prior["left_out"]]
    if startup:
        notes.append(f"Start-up of the command, with a source of one row: {statistics.median(startup):.1f} s.")
    if prior["num_batches_split"]:
        notes.append(f"Padded batches that had to be split for want of memory: {prior['num_batches_split']}.")
    if "vllm" in prior:
        notes.append(
            f"vLLM {prior['vllm']['version']} with max_num_batched_tokens = {prior['vllm']['max_num_batched_tokens']}."
        )
    return "\n".join([*lines, "", " ".join(notes)]).strip()


def _ratio(times: list[float], base: list[float] | None, same: bool) -> str:
    """Return two cells: the median over rounds of the ratio to the base in the same round, and its range."""
    if base is None or same:
        return "1.00 | " if same else " | "
    ratios = [mine / other for mine, other in zip(times, base, strict=True)]
    return f"{statistics.median(ratios):.2f} | {min(ratios):.2f} to {max(ratios):.2f}"


def growth_tables(facts: dict[str, Any]) -> str:
    """Return Markdown of the results of `scaling.py`, for the parts that were run."""
    tables = {
        "tokens": _tokens,
        "cuts": _cuts,
        "lengths": _lengths,
        "memory": _memory,
        "document_memory": _document_memory,
        "vocabulary_memory": _vocabulary_memory,
        "shards": _shards,
        "planning": _planning,
        "workers": _workers,
    }
    head = f"{facts['cores']} {facts['machine']} cores, torch {facts['torch']}."
    return "\n\n".join([head, *(table(facts[name]) for name, table in tables.items() if name in facts)])


def _table(columns: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table; the first column is text, the others are figures."""
    lines = [columns, ["---", *["---:"] * (len(columns) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _spread(values: list[float], digits: int = 1) -> str:
    """Return the median and, with several values, the range."""
    median = f"{statistics.median(values):,.{digits}f}"
    return median if len(values) == 1 else f"{median} ({min(values):,.{digits}f} to {max(values):,.{digits}f})"


def _against_first(rows: list[dict[str, Any]], name: str, row: dict[str, Any]) -> str:
    """Return a row's figure relative to the first row's in the same round."""
    return _spread([mine / first for mine, first in zip(row[name], rows[0][name], strict=True)], 2)


def _cost(rows: list[dict[str, Any]], key: str, heading: str) -> str:
    names = {"run_us": "run, µs a token", "cpu_us": "CPU time, µs a token", "work_us": "work in it, µs a token"}
    columns = [heading, *(cell for name in names.values() for cell in (name, "against the first"))]
    cells = [
        [f"{row[key]:,}", *(cell for name in names for cell in (_spread(row[name]), _against_first(rows, name, row)))]
        for row in rows
    ]
    return _table(columns, cells)


def _tokens(rows: list[dict[str, Any]]) -> str:
    return _cost(rows, "num_tokens", "tokens, in one shard")


def _cuts(rows: list[dict[str, Any]]) -> str:
    return _cost(rows, "num_shards", f"shards of {rows[0]['num_tokens']:,} tokens")


def _lengths(priors: dict[str, list[dict[str, Any]]]) -> str:
    return "\n\n".join(_length_table(name, rows) for name, rows in priors.items())


def _length_table(name: str, rows: list[dict[str, Any]]) -> str:
    """Return the measured cost beside a fit with one constant per position and one per operation of attention."""
    measured = np.array([statistics.median(row["us"]) for row in rows])
    asked = np.array([[row["positions"], row["attention_mflop"]] for row in rows])
    constants, *_ = np.linalg.lstsq(asked / measured[:, None], np.ones(len(rows)), rcond=None)
    cells = [
        [f"{row['length']:,}", f"{row['positions']:.2f}", f"{row['attention_mflop']:.2f}", _spread(row["us"])]
        + [f"{fitted:.1f}", f"{fitted / median - 1:+.1%}"]
        for row, median, fitted in zip(rows, measured, asked @ constants, strict=True)
    ]
    columns = [f"{name}: tokens of a document", "positions read a token", "attention, MFLOP a token"]
    table = _table([*columns, "CPU µs a token", "fitted", "off by"], cells)
    return f"{table}\n\nFitted: {constants[0]:.1f} µs a position and {constants[1]:.1f} µs a MFLOP of attention."


def _memory(rows: dict[str, dict[str, float]]) -> str:
    columns = ["source", "worker, MB", "over one row, MB", "command, MB"]
    names = ("worker_mb", "over_prior_mb", "command_mb")
    return _table(columns, [[source, *(f"{row[name]:,.0f}" for name in names)] for source, row in rows.items()])


def _document_memory(rows: dict[str, float]) -> str:
    return _table(
        ["tokens of the only document", "worker, MB"], [[f"{int(n):,}", f"{mb:,.0f}"] for n, mb in rows.items()]
    )


def _vocabulary_memory(rows: list[dict[str, float]]) -> str:
    columns = ["vocabulary", "rows", "weights, MB", "worker, MB", "less weights, MB"]
    return _table(
        columns,
        [
            [f"{row['vocab_size']:,}", f"{row['num_rows']:,}", f"{row['weights_mb']:,.0f}"]
            + [f"{row['worker_mb']:,.0f}", f"{row['worker_mb'] - row['weights_mb']:,.0f}"]
            for row in rows
        ],
    )


def _shards(facts: dict[str, Any]) -> str:
    columns = [f"{facts['count']:,} shards of", "plan, s", "run, s", "work in it, s", "overhead, ms a shard"]
    names = ("plan_seconds", "run_seconds", "work_seconds", "overhead_ms")
    return _table(
        columns, [[source, *(_spread(row[name]) for name in names)] for source, row in facts["sources"].items()]
    )


def _planning(facts: dict[str, Any]) -> str:
    columns = [f"{facts['count']:,} files", "plan, s", "`plan.json`, MB", "read again, s", "status, s"]
    names = ("plan_seconds", "plan_mb", "load_seconds", "status_seconds")
    return _table(
        columns, [[ending, *(f"{row[name]:.1f}" for name in names)] for ending, row in facts["endings"].items()]
    )


def _workers(seconds: dict[str, list[float]]) -> str:
    ratios = [one / two for one, two in zip(seconds["1"], seconds["2"], strict=True)]
    return f"Two workers ran at {_spread(ratios, 2)} times the speed of one."


def engine_tables(facts: dict[str, Any]) -> str:
    """Return Markdown of the results of `engines.py`, and what was left out."""
    columns = ["engine", "start-up, s", "run, s", "work in it, s", "overhead, ms a shard", "over the local one", "MB"]
    local = facts["engines"].get("local", {}).get("overhead_ms")
    cells = []
    for engine, row in facts["engines"].items():
        ratios = [mine / other for mine, other in zip(row["overhead_ms"], local or (), strict=bool(local))]
        names = ("startup_seconds", "run_seconds", "work_seconds", "overhead_ms")
        cells.append([engine, *(_spread(row[name]) for name in names), _spread(ratios, 2) if ratios else ""])
        cells[-1].append(_spread(row["driver_mb"], 0))
    head = f"{facts['cores']} {facts['machine']} cores; {facts['num_shards']:,} shards, {facts['rounds']} rounds."
    return "\n\n".join([head, _table(columns, cells), *(f"Left out: {reason}." for reason in facts["left_out"])])


def simulation_tables(facts: dict[str, Any]) -> str:
    """Return Markdown of the results of `simulation.py`: tables of the drivers, of their work, and of the whole."""
    world, drivers = facts["world"], facts["drivers"]
    columns = ["driver", "shards to do", "read the plan, s", "find what is done, s", "drive, s", "peak, MB"]
    rows = [
        [f"{number}, {'killed' if driver['killed'] else 'finished'} after {driver['ended'] / 3600:.2f} h"]
        + [f"{driver['num_waiting']:,}", f"{driver['plan_seconds']:.1f}", f"{driver['waiting_seconds']:.1f}"]
        + [f"{sum(driver['seconds'].values()):.1f}", f"{driver['peak_mb']:,.0f}"]
        for number, driver in enumerate(drivers, start=1)
    ]
    calls = {name: sum(driver["calls"].get(name, 0) for driver in drivers) for name in drivers[0]["calls"]}
    seconds = {name: sum(driver["seconds"].get(name, 0.0) for driver in drivers) for name in calls}
    longest = {name: max(driver["longest"].get(name, 0.0) for driver in drivers) for name in calls}
    acts = [
        [name, f"{count:,}", f"{seconds[name]:.2f}", f"{1e6 * seconds[name] / count:.1f}", f"{1e3 * longest[name]:.1f}"]
        for name, count in calls.items()
    ]
    size = f"{world['num_shards']:,} shards, {world['num_workers']:,} simulated workers"
    head = f"{facts['cores']} {facts['machine']} cores; {size}."
    tables = [
        _table(columns, rows),
        _table(["what drivers did", "times", "s", "mean, µs", "longest, ms"], acts),
        _table(["in all", ""], _whole(facts, sum(seconds.values()))),
    ]
    return "\n\n".join([head, *tables])


def _whole(facts: dict[str, Any], driving: float) -> list[list[str]]:
    """Return the figures of a simulation that do not belong to one driver."""
    world, plan, drivers, last = facts["world"], facts["plan"], facts["drivers"], facts["drivers"][-1]
    names = ("plan_seconds", "waiting_seconds", "sweep_seconds", "status_seconds", "finish_seconds")
    whole = driving + sum(driver.get(name, 0.0) for driver in drivers for name in names)
    busy, lost = (sum(driver[name] for driver in drivers) for name in ("busy", "lost"))
    spent = last["ended"] * world["num_workers"]
    names = ("deaths", "machines", "unsaid")
    deaths, machines, unsaid = (sum(driver["counts"].get(name, 0) for driver in drivers) for name in names)
    figures = {
        "drivers, s": f"{whole:,.1f}",
        "of that CPU time, s": f"{sum(driver['cpu_seconds'] for driver in drivers):,.1f}",
        "drivers, ms a shard": f"{1e3 * whole / world['num_shards']:.2f}",
        "peak of a driver, MB": f"{max(driver['peak_mb'] for driver in drivers):,.0f}",
        "of that before the plan was read, MB": f"{last['imports_mb']:,.0f}",
        "of that for reading the plan, MB": f"{last['plan_mb'] - last['imports_mb']:,.0f}",
        "`plan`, s": f"{plan['seconds']:.1f}",
        "`plan`, MB": f"{plan['mb']:,.0f}",
        "`plan.json`, MB": f"{plan['file_mb']:.1f}",
        "writing it, s": f"{plan['write_seconds']:.1f}",
        "`status` of the finished run, s": f"{last['status_seconds']:.1f}",
        "the end of the last driver (status again, and the card), s": f"{last['finish_seconds']:.1f}",
        "writing what all workers are at, once a second, ms": _spread([1e3 * beat for beat in facts["beat_seconds"]]),
        "simulated hours": f"{last['ended'] / 3600:.2f}",
        "that over what the shards took by themselves": f"{spent / busy:.2f}",
        "workers' time in shards that were then done": f"{busy / spent:.1%}",
        "workers' time that was lost when they or the driver died": f"{lost / spent:.1%}",
        "workers that died": f"{deaths:,}",
        "of these, with their machine": f"{machines:,}",
        "of these, with a shard written and not said so": f"{unsaid:,}",
        "shards given up, and done by the next driver": f"{sum(driver.get('num_failed', 0) for driver in drivers):,}",
    }
    return [[name, figure] for name, figure in figures.items()]


def space_tables(facts: dict[str, Any]) -> str:
    """Return Markdown of the results of `space_load.py`."""
    figures = {
        "edits": f"{facts['edits']:,}",
        "of the visitor who got fewest": f"{facts['fewest_of_a_visitor']:,}",
        "a second": f"{facts['edits'] / facts['seconds']:.1f}",
        "median, s": f"{facts['median_seconds']:.2f}",
        "95 of 100 within, s": f"{facts['p95_seconds']:.2f}",
        "longest, s": f"{facts['longest_seconds']:.2f}",
        "peak memory of the server before anybody came, MB": f"{facts['server_mb'][0]:,.0f}",
        "afterwards, MB": f"{facts['server_mb'][1]:,.0f}",
        "errors": f"{len(facts['errors']):,}",
        "answers that were not those of the editor": f"{len(facts['wrong']):,}",
    }
    head = f"{facts['cores']} {facts['machine']} cores; {facts['visitors']} visitors for {facts['seconds']:.0f} s."
    return f"{head}\n\n{_table(['in all', ''], [list(pair) for pair in figures.items()])}"


def main() -> None:
    """Print the tables of a file of figures, or write them into the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("figures", type=Path)
    parser.add_argument("--write", action="store_true", help="put them into README.md")
    options = parser.parse_args()
    facts = json.loads(options.figures.read_text(encoding="utf-8"))
    kinds = {"priors": ("speed", speed_tables), "engines": ("engines", engine_tables)}
    kinds |= {"drivers": ("simulation", simulation_tables), "visitors": ("space", space_tables)}
    mark, make = next((kinds[name] for name in kinds if name in facts), ("growth", growth_tables))
    tables = make(facts)
    print(tables)
    if options.write:
        pattern = re.compile(f"(<!-- {mark} -->\n).*(<!-- end of {mark} -->)", re.DOTALL)
        page = README.read_text(encoding="utf-8")
        README.write_text(pattern.sub(lambda found: f"{found[1]}{tables}\n{found[2]}", page), encoding="utf-8")


if __name__ == "__main__":
    main()
