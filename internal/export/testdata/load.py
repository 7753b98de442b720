"""Loads exports as people do, without arguments, and compares columns, types, counts and texts.

The argument is a JSON file: a list of {"path", "suffix", "reference", "columns"}. The reference is
JSON Lines with what has to be loaded. It prints a line for each difference, and what it loaded.
"""

import json
import math
import os
import sys
import tempfile

import datasets
import duckdb
import pandas
import polars
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet

datasets.disable_progress_bars()


def with_datasets(path, suffix):
    kind = {"parquet": "parquet", "csv": "csv", "json": "json", "jsonl": "json"}.get(suffix)
    cache = tempfile.mkdtemp()
    if suffix == "folder":
        return datasets.load_dataset(path, split="train", cache_dir=cache)
    return datasets.load_dataset(kind, data_files=path, split="train", cache_dir=cache) if kind else None


def loaders(path, suffix):
    """Yields (name, function that returns (columns, rows, types))."""

    def arrow(table):
        return table.column_names, table.to_pylist(), {f.name: str(f.type) for f in table.schema}

    def of_datasets():
        d = with_datasets(path, suffix)
        return d.column_names, [d[i] for i in range(len(d))], {n: str(getattr(f, "dtype", f)) for n, f in d.features.items()}

    def of_pandas():
        if suffix == "parquet":
            d = pandas.read_parquet(path)  # what is packed is told by its name, here and in the others
        elif suffix in ("csv", "tsv"):
            d = pandas.read_csv(path, sep="," if suffix == "csv" else "\t")
        else:
            d = pandas.read_json(path, lines=suffix == "jsonl")
        rows = [{c: plain(v) for c, v in zip(d.columns, row)} for row in d.itertuples(index=False, name=None)]
        return list(d.columns), rows, {c: str(t) for c, t in d.dtypes.items()}

    def of_polars():
        read = {"parquet": polars.read_parquet, "csv": polars.read_csv, "jsonl": polars.read_ndjson, "json": polars.read_json,
                "tsv": lambda p: polars.read_csv(p, separator="\t")}[suffix]
        d = read(path)
        return d.columns, d.to_dicts(), {c: str(t) for c, t in zip(d.columns, d.dtypes)}

    def of_duckdb():
        d = duckdb.sql(f"SELECT * FROM '{path}'")
        return d.columns, [dict(zip(d.columns, row)) for row in d.fetchall()], {c: str(t) for c, t in zip(d.columns, d.types)}

    def of_pyarrow():
        if suffix == "parquet":
            return arrow(pyarrow.parquet.read_table(path))
        if suffix == "jsonl":
            return arrow(pyarrow.json.read_json(path))
        return arrow(pyarrow.csv.read_csv(path, parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True)))

    if suffix != "tsv":
        yield "datasets", of_datasets
    if suffix == "folder":
        return
    yield "pandas", of_pandas
    yield "polars", of_polars
    yield "duckdb", of_duckdb
    if suffix in ("parquet", "jsonl", "csv"):
        yield "pyarrow", of_pyarrow


def plain(value):
    """Returns a value of numpy as one of Python."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list):
        return [plain(v) for v in value]
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    return value


def same(got, want, table):
    if isinstance(got, float) and math.isnan(got):
        got = None
    if table:
        if want == "":
            return got in (None, "")  # pandas and datasets know no difference
        if isinstance(want, (dict, list)):
            return json.loads(got) == want if isinstance(got, str) else False
        if isinstance(want, str) and not isinstance(got, str):
            return got is not None and (str(got) == want or number(want) and float(got) == float(want) or str(got).split(" ")[0] == want[:10])
    if isinstance(want, dict):
        if isinstance(got, str):
            return json.loads(got) == want  # a column of mixed types, or of many keys
        return isinstance(got, dict) and all(same(got.get(k), want.get(k), False) for k in set(got) | set(want))
    if isinstance(want, list):
        if isinstance(got, str):
            return json.loads(got) == want
        return isinstance(got, list) and len(got) == len(want) and all(same(g, w, False) for g, w in zip(got, want))
    if isinstance(want, str) and not isinstance(got, str):
        return got is not None and str(got)[:10] == want[:10]  # DuckDB and pyarrow make dates of texts in JSON
    return got == want


def number(text):
    try:
        float(text)
        return True
    except ValueError:
        return False


def is_text(kind):
    return kind.lower() in ("string", "str", "object", "varchar", "large_string")


def main():
    problems = 0
    for case in json.load(open(sys.argv[1])):
        path, suffix = case["path"], case["suffix"].removesuffix(".gz").removesuffix(".zst")
        want = [json.loads(line) for line in open(case["reference"], newline="\n")]
        for name, load in loaders(path, suffix):
            if path.endswith(".zst") and name in ("datasets", "pandas"):
                continue  # they need the package zstandard for it
            where = f"{name}, {os.path.basename(os.path.normpath(path))}"
            try:
                columns, rows, types = load()
            except Exception as e:  # what a user would see
                print(f"PROBLEM {where}: {type(e).__name__}: {str(e)[:600]} {str(e.__cause__)[:600]}")
                problems += 1
                continue
            bad = []
            if sorted(columns) != sorted(case["columns"]) or suffix == "csv" and list(columns) != case["columns"]:
                bad.append(f"columns {list(columns)}, want {case['columns']}")
            if len(rows) != len(want):
                bad.append(f"{len(rows)} rows, want {len(want)}")
            for column in case["texts"]:
                if not is_text(types.get(column, "")):
                    bad.append(f"column {column} is {types.get(column)}")
            for i, (g, w) in enumerate(zip(rows, want)):
                for column in columns:
                    if not same(g.get(column), w.get(column), suffix in ("csv", "tsv")):
                        bad.append(f"row {i}, column {column}: {g.get(column)!r}, want {w.get(column)!r}")
            for line in bad[:5]:
                print(f"PROBLEM {where}: {line}")
            problems += len(bad)
            print(f"loaded {where}: {len(rows)} rows")
    sys.exit(1 if problems else 0)


main()
