"""Loads Parquet files with pyarrow, pandas, polars, DuckDB and datasets, without an argument but the path, and compares
what they give with the rows of the JSON Lines file of the same name. Each loader writes the file once more, too.

usage: python check.py FOLDER
"""
import json
import math
import sys
import tempfile
from pathlib import Path

import datasets
import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow.parquet as pq

datasets.disable_progress_bars()


def plain(value):
    """What a loader gave, as JSON has it."""
    if isinstance(value, np.ndarray):
        value = list(value)
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    if value is pd.NA or value is pd.NaT or isinstance(value, float) and math.isnan(value):
        return None
    return value


def same(want, got, rounds):
    """Whether a loader gave a value as it stands in the rows, by the rules of the package."""
    if want is None or got is None:
        return want is None and got is None
    if isinstance(got, dict):
        return isinstance(want, dict) and want.keys() <= got.keys() and all(same(want.get(k), v, rounds) for k, v in got.items())
    if isinstance(got, list):
        return isinstance(want, list) and len(want) == len(got) and all(same(a, b, rounds) for a, b in zip(want, got))
    if isinstance(got, str):
        if isinstance(want, str) and want == got:
            return True
        try:
            text = json.loads(got)
        except ValueError:
            return False
        return text == want and type(text) is type(want)
    if isinstance(want, bool) or isinstance(got, bool):
        return want is got
    if isinstance(want, (int, float)) and isinstance(got, (int, float)):
        return want == got or rounds and math.isclose(want, got, rel_tol=1e-15)
    return False


def by_pyarrow(path, again):
    table = pq.read_table(path)
    pq.write_table(table, again)
    return table.column_names, [list(row) for row in zip(*(c.to_pylist() for c in table.columns))]


def by_pandas(path, again):
    frame = pd.read_parquet(path)
    frame.to_parquet(again)
    return list(frame.columns), [list(row) for row in zip(*(frame.iloc[:, i] for i in range(len(frame.columns))))]


def by_polars(path, again):
    frame = pl.read_parquet(path)
    frame.write_parquet(again)
    return frame.columns, [list(row) for row in frame.rows()]


def by_duckdb(path, again):
    db = duckdb.connect()
    result = db.execute(f"select * from '{path}'")
    rows = [list(row) for row in result.fetchall()]
    names = [d[0] for d in result.description]
    db.execute(f"copy (select * from '{path}') to '{again}' (format parquet)")
    return names, rows


def by_datasets(path, again):
    with tempfile.TemporaryDirectory() as cache:
        data = datasets.load_dataset("parquet", data_files=str(path), cache_dir=cache)["train"]
        data.to_parquet(again)
        rows = [list(row.values()) for row in data]
        return data.column_names, rows


def duckdb_names(names):
    """DuckDB gives a column without a name one, and others a number if their names differ in case only."""
    seen = set()
    for i, name in enumerate(names):
        name = name or f"C{i}"
        names[i] = name if name.lower() not in seen else f"{name}_1"
        seen.add(name.lower())
    return names


def duckdb_row(value):
    """A row with the names of fields as DuckDB has them."""
    if isinstance(value, dict):
        numbered = duckdb_names(list(value))
        return {k if k == "" else n: duckdb_row(v) for n, (k, v) in zip(numbered, value.items())}
    if isinstance(value, list):
        return [duckdb_row(v) for v in value]
    return value


def check(path, loader):
    want = [json.loads(line) for line in open(path.with_suffix(".jsonl"), encoding="utf-8")]
    with tempfile.TemporaryDirectory() as folder:
        again = Path(folder) / "again.parquet"
        names, rows = loader(path, again)
        if len(rows) != len(want):
            return f"{len(rows)} rows, want {len(want)}"
        order = list(dict.fromkeys(k for row in want for k in row))
        if want and names != (duckdb_names(order[:]) if loader is by_duckdb else order):
            return f"columns {names}, want {order}"
        for i, (a, b) in enumerate(zip(want, rows)):
            for name, value in zip(order, b):
                value, wanted = plain(value), a.get(name)
                if not same(wanted, value, loader is by_pandas) and not (loader is by_duckdb and same(duckdb_row(wanted), value, False)):
                    return f"row {i + 1}, column {name!r}: {value!r}, want {wanted!r}"
        if pq.read_table(again).num_rows != len(want):
            return "it does not write as many rows again"
    return None


def main():
    bad = 0
    for path in sorted(Path(sys.argv[1]).glob("*.parquet")):
        loaders = (by_pyarrow, by_pandas, by_polars, by_duckdb, by_datasets)
        if not path.with_suffix(".jsonl").stat().st_size:
            loaders = loaders[:-1]  # datasets refuses to load no rows, in any format
        for loader in loaders:
            try:
                problem = check(path, loader)
            except Exception as e:
                problem = f"{type(e).__name__}: {e}"
            if problem:
                bad += 1
                print(f"{path.name} {loader.__name__}: {problem}")
    sys.exit(bad > 0)


main()
