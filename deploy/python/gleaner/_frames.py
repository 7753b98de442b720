"""The kinds of data that go in and come back: a list of dicts or of str, a DataFrame of pandas or
polars, a Dataset of datasets, a path.

Answers are joined to what was given, so its columns keep their types: what is sent to the program
and comes back from it is text only. A library is used only if the data is of its kind, so none has
to be there.
"""

from __future__ import annotations

import base64
import json
import math
import os
from typing import Any, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence

Columns = Dict[str, List[Any]]


def frame(data: Any) -> "Frame":
    """Returns the data as a frame, or a TypeError that says what can be given."""
    library = type(data).__module__.partition(".")[0]
    kind = type(data).__name__
    if library == "pandas" and kind == "DataFrame":
        return PandasFrame(data)
    if library == "polars" and kind == "DataFrame":
        return PolarsFrame(data)
    if library == "datasets" and kind == "Dataset":
        return HubFrame(data)
    if isinstance(data, str) and data == "-":
        raise TypeError("the rows of standard input are Python's: give what was read from it, or a path")
    if isinstance(data, (str, os.PathLike)):
        return FileFrame(data)
    if kind == "LazyFrame":
        raise TypeError("a LazyFrame has no rows yet: give data.collect()")
    if kind in ("DatasetDict", "IterableDatasetDict"):
        raise TypeError(f"data has several splits: give one of them, such as data[{next(iter(data), 'train')!r}]")
    if kind == "IterableDataset":
        raise TypeError("an IterableDataset has no length: give datasets.Dataset.from_list(list(data.take(1000)))")
    if kind == "Series" or isinstance(data, (Mapping, bytes)) or not isinstance(data, Iterable):
        raise TypeError(_wanted(data))
    rows = list(data)
    if rows and all(isinstance(row, str) for row in rows):
        return TextFrame(rows)
    for i, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise TypeError(f"row {i} is of type {type(row).__name__}: " + _wanted(data))
    return RowFrame(rows)


def _wanted(data: Any) -> str:
    return (f"data of type {type(data).__name__}: give a list of dicts, a list of str, a DataFrame of pandas or polars, "
            "a datasets.Dataset, or a path")


class Frame:
    """Data that goes in, and to which answers are joined."""

    kind = ""
    field: Optional[str] = None  # the column that is the prompt, if nothing else was said

    def rows(self) -> Iterator[Mapping[str, Any]]:
        """The rows as mappings."""
        raise NotImplementedError

    def columns(self) -> List[str]:
        """The names of all columns."""
        raise NotImplementedError

    def join(self, rows: Sequence[int], new: Columns) -> Any:
        """Returns the rows of these numbers, in this order, with new columns."""
        raise NotImplementedError


class FileFrame(Frame):
    """A path, an address, or hf://…: the program reads it. Its answers come back as dicts."""

    kind = "path"

    def __init__(self, path: Any) -> None:
        self.path = os.fspath(path)


class RowFrame(Frame):
    """A list of dicts."""

    kind = "list of dicts"

    def __init__(self, rows: List[Mapping[str, Any]]) -> None:
        self._rows = rows

    def rows(self) -> Iterator[Mapping[str, Any]]:
        return iter(self._rows)

    def columns(self) -> List[str]:
        names: Dict[str, None] = {}
        for row in self._rows:
            for name in row:
                names[str(name)] = None
        return list(names)

    def join(self, rows: Sequence[int], new: Columns) -> List[Dict[str, Any]]:
        return [{**self._rows[row], **{name: values[i] for name, values in new.items()}} for i, row in enumerate(rows)]


class TextFrame(Frame):
    """A list of str: each is a prompt. Its answers come back as a list of str."""

    kind = "list of str"
    field = "prompt"

    def __init__(self, texts: List[str]) -> None:
        self._texts = texts

    def rows(self) -> Iterator[Mapping[str, Any]]:
        return ({"prompt": text} for text in self._texts)

    def columns(self) -> List[str]:
        return ["prompt"]

    def join(self, rows: Sequence[int], new: Columns) -> List[Any]:
        return list(new["response"])


class PandasFrame(Frame):
    """A DataFrame of pandas. The index stays, repeated where a row has several answers."""

    kind = "pandas.DataFrame"

    def __init__(self, data: Any) -> None:
        self._data = data
        self._names = [str(name) for name in data.columns]
        if data.columns.nlevels > 1:
            raise TypeError("the DataFrame has columns of several levels: give it names of one level each")
        if len(set(self._names)) < len(self._names):
            raise TypeError("the DataFrame has two columns of one name: rename one of them")

    def rows(self) -> Iterator[Mapping[str, Any]]:
        columns = [self._data.iloc[:, i].tolist() for i in range(len(self._names))]
        if not columns:
            return ({} for _ in range(len(self._data)))
        return (dict(zip(self._names, values)) for values in zip(*columns))

    def columns(self) -> List[str]:
        return self._names

    def join(self, rows: Sequence[int], new: Columns) -> Any:
        joined = self._data.iloc[list(rows)].copy()
        for name, values in new.items():
            joined[name] = values
        return joined


class PolarsFrame(Frame):
    """A DataFrame of polars."""

    kind = "polars.DataFrame"

    def __init__(self, data: Any) -> None:
        self._data = data

    def rows(self) -> Iterator[Mapping[str, Any]]:
        return self._data.iter_rows(named=True)

    def columns(self) -> List[str]:
        return list(self._data.columns)

    def join(self, rows: Sequence[int], new: Columns) -> Any:
        import polars

        joined = self._data[list(rows)]
        for name, values in new.items():
            texts = all(value is None or isinstance(value, str) for value in values)
            series = polars.Series(name, values, dtype=polars.String) if texts else polars.Series(name, values, strict=False)
            joined = joined.with_columns(series)
        return joined


class HubFrame(Frame):
    """A Dataset of the library datasets."""

    kind = "datasets.Dataset"

    def __init__(self, data: Any) -> None:
        self._data = data

    def rows(self) -> Iterator[Mapping[str, Any]]:
        return iter(self._data.with_format(None))

    def columns(self) -> List[str]:
        return list(self._data.column_names)

    def join(self, rows: Sequence[int], new: Columns) -> Any:
        import datasets

        rows = list(rows)
        joined = self._data if rows == list(range(len(self._data))) else self._data.select(rows)
        for name, values in new.items():
            if all(value is None or isinstance(value, str) for value in values):
                import pyarrow

                values = pyarrow.array(values, type=pyarrow.string())
                joined = datasets.concatenate_datasets([joined, datasets.Dataset(pyarrow.table({name: values}))], axis=1)
            else:
                joined = joined.add_column(name, values)
        return joined


def encode(row: Mapping[str, Any], number: int) -> bytes:
    """Returns a row as a line of JSON. What JSON does not know becomes what it is nearest to: NaN
    null, a time its ISO form, bytes base64, a number or a list of numpy that of Python.

    >>> encode({"a": float("nan"), "b": (1, 2)}, 0)
    b'{"a": null, "b": [1, 2]}\\n'
    """
    try:
        text = json.dumps(row, ensure_ascii=False, allow_nan=False, default=_refuse)
    except (ValueError, TypeError):
        text = json.dumps({str(name): _plain(value, f"row {number}, column {str(name)!r}") for name, value in row.items()}, ensure_ascii=False)
    try:
        return text.encode() + b"\n"
    except UnicodeEncodeError:  # half of a character
        return json.dumps(json.loads(text)).encode() + b"\n"


def _refuse(value: Any) -> Any:
    raise TypeError


def _plain(value: Any, where: str) -> Any:
    if value is None or isinstance(value, (str, bool)):
        return str(value) if isinstance(value, str) else value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(name): _plain(inner, where) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner, where) for inner in value]
    if isinstance(value, (bytes, bytearray)):
        return base64.b64encode(bytes(value)).decode()
    kind = type(value).__name__
    if kind in ("NaTType", "NAType"):
        return None
    for method in ("isoformat", "tolist", "to_list", "item"):  # times; numpy and polars
        if callable(getattr(value, method, None)):
            return _plain(getattr(value, method)(), where)
    if kind in ("Decimal", "UUID", "Fraction", "timedelta", "Timedelta") or isinstance(value, os.PathLike):
        return str(value)
    raise TypeError(f"{where}: a value of type {kind} cannot be sent as JSON: leave the column out, or make it text")
