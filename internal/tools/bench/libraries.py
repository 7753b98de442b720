"""Reads or writes a file with a library, and prints how many rows there were, how long it took, and the peak of memory."""
import json
import os
import re
import sys
import time


def duckdb():
    import duckdb
    connection = duckdb.connect()
    readers = {"jsonl": "read_json", "csv": "read_csv", "parquet": "read_parquet"}
    ways = {"jsonl": "FORMAT json", "csv": "FORMAT csv", "parquet": "FORMAT parquet, COMPRESSION zstd"}

    def read(path, form):
        connection.execute(f"CREATE TABLE t AS SELECT * FROM {readers[form]}('{path}')")
        return connection.execute("SELECT count(*) FROM t").fetchone()[0]

    def write(path, form):
        connection.execute(f"COPY t TO '{path}' ({ways[form]})")
    return duckdb.__version__, read, write


def polars():
    import polars
    frames = []

    def read(path, form):
        frames.append({"jsonl": polars.read_ndjson, "csv": polars.read_csv, "parquet": polars.read_parquet}[form](path))
        return frames[0].height

    def write(path, form):
        frame = frames[0]
        {"jsonl": frame.write_ndjson, "csv": frame.write_csv, "parquet": frame.write_parquet}[form](path)
    return polars.__version__, read, write


def pandas():
    import pandas
    frames = []

    def read(path, form):
        frames.append(pandas.read_json(path, lines=True) if form == "jsonl" else pandas.read_csv(path) if form == "csv" else pandas.read_parquet(path))
        return len(frames[0])

    def write(path, form):
        frame = frames[0]
        if form == "jsonl":
            frame.to_json(path, orient="records", lines=True)
        elif form == "csv":
            frame.to_csv(path, index=False)
        else:
            frame.to_parquet(path, compression="zstd")
    return pandas.__version__, read, write


def main(library, step, form, path):
    version, read, write = {"duckdb": duckdb, "polars": polars, "pandas": pandas}[library]()
    source = os.path.splitext(path)[0] + ".parquet" if step == "write" else path
    if step == "write":
        rows = read(source, "parquet")
        path = os.path.join(os.path.dirname(path), "written." + form)
    started, used = time.monotonic(), time.process_time()
    if step == "write":
        write(path, form)
    else:
        rows = read(path, form)
    took, used = time.monotonic() - started, time.process_time() - used
    if step == "write":
        os.remove(path)
    try:
        peak = int(re.search(r"VmHWM:\s*(\d+)", open("/proc/self/status").read()).group(1)) << 10
    except OSError:
        peak = 0
    json.dump({"rows": rows, "seconds": took, "cpu_seconds": used, "peak_bytes": peak, "version": version}, sys.stdout)


main(*sys.argv[1:])
