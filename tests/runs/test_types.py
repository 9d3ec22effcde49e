"""Columns of every type of `datasets`: edited, verified, pushed, pulled, loaded and reverted, bitwise the same."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from decimal import Context, Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import (
    Array2D,
    Array3D,
    Audio,
    ClassLabel,
    Dataset,
    DatasetInfo,
    Features,
    Image,
    Json,
    LargeList,
    List,
    Value,
    load_dataset,
    load_from_disk,
)
from datasets.table import InMemoryTable

from hf_toedit.errors import SourceError
from hf_toedit.runs.writer import Writer
from hf_toedit.sources.parquet import check_storable, same, stored_schema
from tests.cli.command import HfToEdit
from tests.cli.fixtures import load, stories

ROWS = 7
UNITS = ("s", "ms", "us", "ns")
MOST = 2**63 - 1
DELICATE = {"null", "float", "timestamp[s]", "time32[s]", "date64[ms]", "string_view", "decimal256(76, 6)"}
"""Types with special cases in Parquet, in pyarrow, or because of NaN."""


def _scalars() -> Iterator[tuple[pa.DataType, list[Any]]]:
    """Types with extreme and unusual values; points in time are integers, because Python has too narrow a range."""
    yield pa.null(), []
    yield pa.bool_(), [True, False]
    for bits in (8, 16, 32, 64):
        yield pa.type_for_alias(f"int{bits}"), [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1]
        yield pa.type_for_alias(f"uint{bits}"), [2**bits - 1, 0]
    for kind, tiny in ((pa.float16(), 2**-24), (pa.float32(), 2**-149), (pa.float64(), 2**-1074)):
        yield kind, [float("nan"), -0.0, float("-inf"), tiny, 0.1]
    for unit in UNITS:
        most = MOST // 1000 if unit == "s" else MOST  # Parquet's coarsest unit is milliseconds
        for zone in (None, "UTC", "America/New_York", "+05:30"):
            yield pa.timestamp(unit, zone), [most, -most, -1, 1]
        yield pa.duration(unit), [MOST, -MOST, 1]
    yield pa.time32("s"), [0, 86_399]
    yield pa.time32("ms"), [1, 86_399_999]
    yield pa.time64("us"), [1, 86_399_999_999]
    yield pa.time64("ns"), [1, 86_399_999_999_999]
    yield pa.date32(), [-(2**31), 2**31 - 1, -1]
    yield pa.date64(), [-(2**31) * 86_400_000, (2**31 - 1) * 86_400_000, 86_400_000]
    for decimal, precision, scale in ((pa.decimal128, 5, 2), (pa.decimal128, 38, 38), (pa.decimal256, 76, 6)):
        yield decimal(precision, scale), [10**precision - 1, 1 - 10**precision, 1]
    for kind in (pa.string(), pa.large_string(), pa.string_view()):
        yield kind, ["", "a\x00b", "longer than what a view holds in place, na\u0308ive 👩‍👩‍👧"]
    for kind in (pa.binary(), pa.large_binary(), pa.binary_view()):
        yield kind, [b"", b"\x00\xff", b"longer than what a view holds in place"]
    yield pa.binary(3), [b"\x00\xff ", b"abc"]


def _array(kind: pa.DataType, values: list[Any], count: int) -> pa.Array:
    """Some of the values repeatedly, with nulls among them."""
    cycle = [*values, None]
    chosen = [cycle[at % len(cycle)] for at in range(count)]
    if pa.types.is_decimal(kind):
        exact = Context(prec=80)
        return pa.array(
            [None if value is None else Decimal(value).scaleb(-kind.scale, exact) for value in chosen], kind
        )
    if pa.types.is_temporal(kind):
        return pa.array(chosen, pa.type_for_alias(f"int{kind.bit_width}")).view(kind)
    return pa.array(chosen, kind)


def _nested(kind: pa.DataType, values: list[Any]) -> Iterator[pa.Array]:
    """The values by themselves, and in structs and lists of every kind: null, empty, and with nulls."""
    yield _array(kind, values, ROWS)
    few = _array(kind, values, 2 * ROWS)
    missing = pa.array([row == 2 for row in range(ROWS)])
    starts = [0, 1, 3, 3, 3, 6, 10, 2 * ROWS]  # rows 2 and 3 have none
    struct = pa.StructArray.from_arrays([few, pa.array(range(2 * ROWS), pa.int8())], ["a", "b.c"])
    yield pa.StructArray.from_arrays([few[:ROWS]], ["a"], mask=missing)
    for items in (few, struct):
        yield pa.ListArray.from_arrays(pa.array(starts, pa.int32()), items, mask=missing)
    yield pa.LargeListArray.from_arrays(pa.array(starts, pa.int64()), few, mask=missing)
    yield pa.FixedSizeListArray.from_arrays(few, 2, mask=missing)
    pairs = pa.FixedSizeListArray.from_arrays(_array(kind, values, 4 * ROWS), 2)
    yield pa.FixedSizeListArray.from_arrays(pairs, 2)
    lists = pa.ListArray.from_arrays(pa.array(starts, pa.int32()), pairs)
    yield pa.StructArray.from_arrays([lists], ["deep"], mask=missing)


def _columns() -> dict[str, pa.Array]:
    """A plain column of each type, named after it, and nested ones: all nestings for delicate types, otherwise one."""
    columns = {"text": pa.array([*stories(ROWS - 1), None])}
    for number, (kind, values) in enumerate(_scalars()):
        plain, *nested = _nested(kind, values)
        for array in [plain, *(nested if str(kind) in DELICATE else [nested[number % len(nested)]])]:
            columns[str(array.type)] = array
    return columns


def _parquet(folder: Path) -> tuple[str, Dataset]:
    columns = {name: array for name, array in _columns().items() if not re.search("_view[^s]", name)}  # pyarrow cannot
    columns["dictionary"] = columns["text"].dictionary_encode()
    pq.write_table(pa.table(columns), folder / "rows.parquet")
    return str(folder / "rows.parquet"), _loaded("parquet", folder / "rows.parquet")


def _arrow(folder: Path) -> tuple[str, Dataset]:
    columns = _columns()
    for name in ("string", "timestamp[s]", "decimal128(5, 2)", "float"):
        columns[f"dictionary of {name}"] = columns[name].dictionary_encode()
    columns["list of dictionary"] = pa.ListArray.from_arrays(
        pa.array(range(ROWS + 1), pa.int32()), columns["date64[ms]"].dictionary_encode()
    )
    table = pa.table(columns)
    with pa.OSFile(str(folder / "rows.arrow"), "wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
        stream.write_table(table, max_chunksize=3)
    return str(folder / "rows.arrow"), _loaded("arrow", folder / "rows.arrow")


def _json(folder: Path) -> tuple[str, Dataset]:
    """JSON values, some of which `datasets` reads as dates or as JSON that it leaves unchanged."""
    day, moment = "2021-03-28", "2021-03-28T01:30:00Z"
    rows = [
        {
            "text": text,
            "created": moment,
            "day": day,
            "old": "1066-10-14T00:00:00",
            "zone": "2021-03-28T01:30:00+02:00",
            "fraction": "2021-03-28T01:30:00.123456789",
            "some": moment if row % 2 else None,
            "inside": {"at": moment, "more": {"days": [day, None] * (row % 3), "n": row}},
            "items": [{"at": day}, {"at": None}][: row % 3],
            "mixed": [1, "a", None, {"b": [1.5]}, [day]][row % 5],
            "object": {"x": {}},
            "nothing": None,
            "int": row * (2**53 + 1),
            "large": 2**63 - 1,
            "float": [0.1, -0.0, 1e308, 5e-324][row % 4],
            "bool": None if row == 3 else row % 2 == 0,
            "empty": [],
        }
        for row, text in enumerate([*stories(ROWS - 1), None])
    ]
    path = folder / "rows.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return str(path), _loaded("json", path)


def _saved(folder: Path) -> tuple[str, Dataset]:
    """The same types, and the Features that are not Arrow types."""
    picture = [{"bytes": b"no picture", "path": "a.png"}, {"bytes": b"", "path": None}, None]
    special = {
        "label": (ClassLabel(names=["a", "b"]), [0, 1, None, -1]),
        "labels": (List(ClassLabel(names=["x", "y"]), length=2), [[0, 1], None, [1, 1]]),
        "matrix": (Array2D((2, 2), "float32"), [[[1, float("nan")], [-0.0, 3]]]),
        "moments": (Array2D((1, 2), "timestamp[s]"), [[[0, 1]]]),
        "days": (Array2D((1, 1), "date64"), [[[86_400_000]]]),
        "stretched": (Array2D((None, 2), "int64"), [[[1, 2]], [], [[1, 2], [3, 4]]]),
        "cube": (Array3D((1, 1, 2), "bool"), [[[[True, False]]]]),
        "matrices": (List(Array2D((1, 1), "float16")), [[[[0.5]]], []]),
        "json": (Json(), [{"a": [1, None]}, "text", 1.5, None]),
        "jsons": (List({"j": Json(decode=False)}), [[{"j": "{}"}], []]),
        "optional": (List({"at": Value("timestamp[s, tz=UTC]")}), [[{"at": 0}, None], [], None]),
    }
    media: dict[str, tuple[Any, list[Any]]] = {  # not encoded by `datasets`, which would need codecs
        "picture": (Image(decode=False), picture),
        "decoded": (Image(), picture),
        "pictures": (List(Image(decode=False)), [picture[:2], []]),
        "sound": (LargeList(Audio(decode=False)), [picture[:2], []]),
    }
    features = Features({name: feature for name, (feature, _) in special.items()})
    arrays = Dataset.from_dict(_repeated(special), features=features).data.table.columns
    features |= {name: feature for name, (feature, _) in media.items()}
    arrays += [pa.array(values, features.arrow_schema.field(name).type) for name, values in _repeated(media).items()]
    columns = _columns()
    features |= Features.from_arrow_schema(pa.table(columns).schema)
    whole = InMemoryTable(pa.Table.from_arrays([*arrays, *columns.values()], schema=features.arrow_schema))
    Dataset(whole, DatasetInfo(features=features)).save_to_disk(str(folder / "saved"), num_shards=2)
    return str(folder / "saved"), load_from_disk(str(folder / "saved"))


def _repeated(special: dict[str, tuple[Any, list[Any]]]) -> dict[str, list[Any]]:
    return {name: [found[row % len(found)] for row in range(ROWS)] for name, (_, found) in special.items()}


def _loaded(module: str, path: Path) -> Dataset:
    return load_dataset(module, data_files=str(path), split="train", cache_dir=str(path.parent / "cache"))


def _differing(one: Dataset, other: Dataset) -> list[str]:
    """Return the columns that differ or are in one dataset only, with their features."""
    (features, table), (others, beside) = ((rows.features, rows.with_format("arrow")[:]) for rows in (one, other))
    return [
        f"{name}: {features.get(name)} {others.get(name)}"
        for name in dict.fromkeys([*features, *others])
        if features.get(name) != others.get(name) or not same(table[name], beside[name])
    ]


@pytest.mark.parametrize("make", [_parquet, _arrow, _json, _saved], ids=["parquet", "arrow", "json", "saved"])
def test_no_type_is_lost_on_any_way(
    make: Callable[[Path], tuple[str, Dataset]], command: HfToEdit, tmp_path: Path
) -> None:
    name, original = make(tmp_path)
    run, repo = tmp_path / "run", f"org/{make.__name__.strip('_')}"
    command.edit(name, run, "--generations", 2, "--num-shards", 2)
    assert _said(command, "verify", run).startswith(f"Sound: {2 * ROWS} rows")
    _said(command, "push", run, repo)
    _said(command, "pull", repo, "-o", tmp_path / "pulled")
    assert _said(command, "verify", tmp_path / "pulled").startswith(f"Sound: {2 * ROWS} rows")
    assert _said(command, "verify", repo, "--no-source").startswith(f"Sound: {2 * ROWS} rows")
    for generation, place in ((1, run), (2, repo)):
        edited = load(tmp_path / "pulled", f"gen{generation}")["train"]
        assert list(edited.features) == [*original.features, "toedit"]
        assert _differing(edited.remove_columns(["toedit", "text"]), original.remove_columns("text")) == []
        assert edited["text"][:] != original["text"][:]
        out = tmp_path / f"reverted-{generation}"
        _said(command, "revert", place, "-o", out, "--generation", generation)
        assert _differing(load(out)["train"], original) == []


def _said(command: HfToEdit, *args: object) -> str:
    done = command(*args)
    assert (done.code, done.stderr) == (0, ""), done
    return done.stdout


def test_texts_in_views_are_edited(command: HfToEdit, tmp_path: Path) -> None:
    """Texts that exceed pyarrow's write batch, which would truncate them; and views in lists."""
    told = stories(3)
    texts = pa.array([*told, *("a", None, "") * 400], pa.string_view())
    table = pa.table({"text": texts, "list": pa.ListArray.from_arrays(pa.array(range(len(texts) + 1)), texts)})
    with pa.OSFile(str(tmp_path / "rows.arrow"), "wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
        stream.write_table(table)
    run = command.edit(tmp_path / "rows.arrow", tmp_path / "run")
    assert _said(command, "verify", run).startswith(f"Sound: {len(texts):,} rows")
    edited = load(run)["train"]
    assert edited.features["text"] == Value("string_view")
    assert edited["text"][:3] != told
    assert (
        _differing(edited.select_columns("list"), _loaded("arrow", tmp_path / "rows.arrow").select_columns("list"))
        == []
    )


@pytest.mark.parametrize(
    ("feature", "why"),
    [
        (Value("decimal128(5, -2)"), "'c' is decimal128(5, -2), which Parquet cannot store (Scale must be"),
        (Value("fixed_size_binary[0]"), "'c' is fixed_size_binary[0], which Parquet cannot store ("),
        ({"x": {}}, "'c' is struct<x: struct<>>, which Parquet cannot store (Cannot write struct type 'x'"),
        (List(List(Value("int8"), length=0)), "'c' is list<item: fixed_size_list<item: int8>[0]>, which Parquet"),
    ],
)
def test_what_parquet_cannot_store_is_refused_when_it_is_planned(
    feature: Any, why: str, command: HfToEdit, tmp_path: Path
) -> None:
    features = Features({"text": Value("string"), "c": feature, "d": Value("timestamp[s]")})
    schema = features.arrow_schema
    table = pa.Table.from_arrays([pa.array(["a"]), *(pa.nulls(1, kind) for kind in schema.types[1:])], schema=schema)
    with pa.OSFile(str(tmp_path / "rows.arrow"), "wb") as file, pa.ipc.new_stream(file, schema) as stream:
        stream.write_table(table)
    for words in (["edit"], ["plan"]):
        error = command.fails(*words, tmp_path / "rows.arrow", "-o", tmp_path / "run")
        assert error.startswith(f"column {why}") and error.endswith("and plan again."), error
    assert not (tmp_path / "run").exists()


def test_what_datasets_does_not_know_is_refused_when_it_is_planned(command: HfToEdit, tmp_path: Path) -> None:
    table = pa.table({"text": ["a"], "c": pa.array([[("x", 1)]], pa.map_(pa.string(), pa.int8()))})
    pq.write_table(table, tmp_path / "rows.parquet")
    error = command.fails("edit", tmp_path / "rows.parquet", "-o", tmp_path / "run")
    assert error.startswith(f"column 'c' of {tmp_path / 'rows.parquet'} is map<string, int8")
    with pa.OSFile(str(tmp_path / "rows.arrow"), "wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
        stream.write_table(table)
    error = command.fails("edit", tmp_path / "rows.arrow", "-o", tmp_path / "run")
    assert error.startswith(f"cannot read {tmp_path / 'rows.arrow'}: Arrow type map<string, int8")


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (pa.timestamp("s", "UTC"), MOST // 1000 + 1),
        (pa.list_(pa.timestamp("s")), -MOST),
        (pa.date64(), 2**31 * 86_400_000),
        (pa.date64(), 1),
        (pa.time32("s"), 2**31 - 1),
    ],
)
def test_a_value_that_parquet_would_change_is_refused(kind: pa.DataType, value: int, tmp_path: Path) -> None:
    leaf = kind.value_type if pa.types.is_list(kind) else kind
    array = pa.array([value], f"int{leaf.bit_width}").view(leaf)
    if leaf != kind:
        array = pa.ListArray.from_arrays(pa.array([0, 1], pa.int32()), array)
    table = pa.table({"at": array})
    with (
        pytest.raises(SourceError, match="^column 'at' is .*, which Parquet stores as .*Fix the value"),
        Writer(tmp_path / "rows.parquet", table.schema) as writer,
    ):
        writer.write(table)


def test_what_is_written_has_the_schema_that_is_told(tmp_path: Path) -> None:
    """Without a card, a file has the types that `stored_schema` returns, and its own metadata contains them."""
    schema = Features.from_arrow_schema(pa.table(_columns()).schema).arrow_schema
    check_storable(Features.from_arrow_schema(schema))
    with Writer(tmp_path / "rows.parquet", schema) as writer:
        writer.write(pa.table(_columns()))
    there = pq.read_schema(tmp_path / "rows.parquet")
    assert there == stored_schema(schema) != schema
    assert stored_schema(there) == there


ONE = [1.0, float("nan"), None, -0.0]
PAIR = pa.list_(pa.float64(), 2)


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        (pa.array(ONE), pa.array(ONE), True),
        (pa.array(ONE, pa.float16()), pa.array(ONE, pa.float16()), True),
        (pa.array([0.0]), pa.array([-0.0]), False),
        (pa.array([None], pa.float32()), pa.array([float("nan")], pa.float32()), False),
        (pa.array([1], pa.int8()), pa.array([1], pa.int16()), False),
        (pa.array([1]), pa.array([1, 2]), False),
        (pa.array([1], pa.time64("ns")), pa.array([2], pa.time64("ns")), False),
        (pa.array([MOST], pa.timestamp("us")), pa.array([MOST - 1], pa.timestamp("us")), False),
        (_array(pa.date32(), [2**31 - 1], 2), _array(pa.date32(), [2**31 - 2], 2), False),
        (pa.array([[1.0], None, []]), pa.array([[1.0], [], None]), False),
        (pa.array([[1.0], [float("nan")]]), pa.array([[9.0], [1.0], [float("nan")]])[1:], True),
        (pa.array([[1.0, 2.0]]), pa.array([[1.0], [2.0]]), False),
        (pa.array([[1.0], [2.0, 3.0]]), pa.array([[1.0, 2.0], [3.0]]), False),
        (pa.array([{"a": None}, None]), pa.array([None, {"a": None}]), False),
        (pa.array([[0.5, -0.0], None], PAIR), pa.array([[0.5, 0.0], None], PAIR), False),
        (pa.array(["a", "b" * 20], pa.string_view()), pa.array(["a", "c" * 20], pa.string_view()), False),
    ],
)  # fmt: skip
def test_same(one: pa.Array, other: pa.Array, equal: bool) -> None:
    assert same(one, other) is same(other, one) is equal
    chunks = pa.chunked_array([other[:1], other[1:]], other.type)
    assert same(pa.chunked_array([one]), chunks) is equal
