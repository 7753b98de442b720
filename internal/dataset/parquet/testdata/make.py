"""Makes Parquet files of every type with pyarrow, and beside each the rows as they have to be read.

usage: python make.py FOLDER
"""
import datetime as dt
import decimal
import json
import struct
import sys
import uuid
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

out = Path(sys.argv[1])
D = decimal.Decimal


def text(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def write(name, columns, **options):
    """columns: {name: (array, [JSON text])}"""
    table = pa.table({key: array for key, (array, _) in columns.items()})
    pq.write_table(table, out / f"{name}.parquet", **options)
    expect(name, columns)


def expect(name, columns):
    with open(out / f"{name}.jsonl", "w", encoding="utf-8", newline="\n") as f:
        for i in range(len(next(iter(columns.values()))[1])):
            f.write("{" + ",".join(f"{text(key)}:{values[i]}" for key, (_, values) in columns.items()) + "}\n")


def plain(values, kind):
    return pa.array(values, kind), [text(v) for v in values]


def scalars():
    c = {}
    for bits in (8, 16, 32, 64):
        lo, hi = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
        c[f"int{bits}"] = plain([lo, hi, None, 0, -1], getattr(pa, f"int{bits}")())
        c[f"uint{bits}"] = plain([2**bits - 1, 0, None, 1, 2 ** (bits - 1)], getattr(pa, f"uint{bits}")())
    c["bool"] = plain([True, False, None, True, True], pa.bool_())
    c["null"] = plain([None] * 5, pa.null())
    floats = [1.0, 0.1, None, 1e22, -0.0]
    c["double"] = plain(floats, pa.float64())
    c["double2"] = plain([5e-324, 1.7976931348623157e308, 123456789.125, 1e16, 9999999999999998.0], pa.float64())
    c["float"] = pa.array([0.1, 1e16, None, 16777216.0, 1e-5], pa.float32()), ["0.1", "1e+16", "null", "16777216.0", "1e-05"]
    c["half"] = pa.array(np.array([0.1, 65504, 6e-8, 1, -2.5], np.float16)), ["0.1", "65500.0", "6e-08", "1.0", "-2.5"]
    c["string"] = plain(["", 'quote " \\ \n \t \x00 \x1f', None, "日本 😀 \u2028", "a" * 300], pa.string())
    c["large"] = plain(["x", "y", None, "", "z"], pa.large_string())
    c["view"] = plain(["x", "a longer text than twelve", None, "", "z"], pa.string_view())
    c["binary"] = pa.array([b"\x00\xff", b"", None, b"abc", b"x"], pa.binary()), ['"AP8="', '""', "null", '"YWJj"', '"eA=="']
    c["fixed"] = pa.array([b"abc", b"\x00\x00\x00", None, b"xyz", b"123"], pa.binary(3)), ['"YWJj"', '"AAAA"', "null", '"eHl6"', '"MTIz"']
    ids = [uuid.UUID(int=i * 2**100 + 7) for i in range(5)]
    c["uuid"] = pa.array([i.bytes for i in ids], pa.uuid()), [text(str(i)) for i in ids]
    docs = ['{"a": [1, 2.50, {"b": null}]}', "3", None, "not json", '[\n1,\n2]']
    c["json"] = pa.array(docs, pa.json_(pa.string())), ['{"a":[1,2.50,{"b":null}]}', "3", "null", '"not json"', "[1,2]"]
    c["dictionary"] = pa.array(["a", "b", None, "a", "b"]).dictionary_encode(), ['"a"', '"b"', "null", '"a"', '"b"']
    return c


def decimals():
    c = {}
    values = [D("1.50"), D("-0.05"), None, D("0.00"), D("12345.67")]
    texts = ["null" if v is None else str(v) for v in values]
    for precision in (9, 18, 30, 38):
        c[f"decimal{precision}"] = pa.array(values, pa.decimal128(precision, 2)), texts
    c["decimal76"] = pa.array([D(10**75 - 1), D(-(10**75)), None, D(0), D(7)], pa.decimal256(76, 0)), [str(10**75 - 1), str(-(10**75)), "null", "0", "7"]
    c["tiny"] = pa.array([D("0.000001"), D("-0.999999"), None, D("0.000000"), D("0.100000")], pa.decimal128(6, 6)), ["0.000001", "-0.999999", "null", "0.000000", "0.100000"]
    return c


def times():
    c = {}
    at = [dt.datetime(2026, 3, 1, 10, 0), dt.datetime(1969, 12, 31, 23, 59, 59), None, dt.datetime(1, 1, 1), dt.datetime(9999, 12, 31, 1, 2, 3)]
    for unit in ("ms", "us"):
        for zone in (None, "UTC", "Europe/Berlin"):
            c[f"at_{unit}_{zone}"] = pa.array(at, pa.timestamp(unit, zone)), ["null" if v is None else text(v.isoformat() + ("Z" if zone else "")) for v in at]
    c["ns"] = pa.array([0, 1, -1, 1_000, 1_500_000_000], pa.timestamp("ns")), ['"1970-01-01T00:00:00"', '"1970-01-01T00:00:00.000000001"', '"1969-12-31T23:59:59.999999999"', '"1970-01-01T00:00:00.000001"', '"1970-01-01T00:00:01.500"']
    c["s"] = pa.array([0, 1, None, -1, 2**31], pa.timestamp("s")), ['"1970-01-01T00:00:00"', '"1970-01-01T00:00:01"', "null", '"1969-12-31T23:59:59"', '"2038-01-19T03:14:08"']
    days = [dt.date(2026, 2, 28), dt.date(1, 1, 1), None, dt.date(1970, 1, 1), dt.date(9999, 12, 31)]
    c["date"] = pa.array(days, pa.date32()), ["null" if v is None else text(v.isoformat()) for v in days]
    c["time_ms"] = pa.array([0, 1, None, 86_399_999, 3_600_000], pa.time32("ms")), ['"00:00:00"', '"00:00:00.001"', "null", '"23:59:59.999"', '"01:00:00"']
    c["time_us"] = pa.array([0, 1, None, 86_399_999_999, 3_600_000_000], pa.time64("us")), ['"00:00:00"', '"00:00:00.000001"', "null", '"23:59:59.999999"', '"01:00:00"']
    c["time_ns"] = pa.array([0, 1, None, 86_399_999_999_999, 60_000_000_000], pa.time64("ns")), ['"00:00:00"', '"00:00:00.000000001"', "null", '"23:59:59.999999999"', '"00:01:00"']
    return c


def nested():
    c = {}

    def both(values, kind):
        return pa.array(values, kind), [text(v) for v in values]

    message = pa.struct([("role", pa.string()), ("content", pa.string())])
    talk = [[{"role": "user", "content": "hi"}, {"role": "assistant", "content": None}], [], None, [None, {"role": None, "content": ""}], [{"role": "x", "content": "y"}] * 3]
    c["messages"] = both(talk, pa.list_(message))
    c["deep"] = both([[[[1], []], None], [], None, [[None, [2, None, 3]]], [[]]], pa.list_(pa.list_(pa.list_(pa.int64()))))
    c["struct"] = both([{"a": {"b": [1]}, "c": 1.5}, {"a": None, "c": None}, None, {"a": {"b": None}, "c": 2.0}, {"a": {"b": []}, "c": 0.0}], pa.struct([("a", pa.struct([("b", pa.list_(pa.int32()))])), ("c", pa.float64())]))
    c["large_list"] = both([[1], [], None, [None], [2, 3]], pa.large_list(pa.int8()))
    c["fixed_list"] = both([[1, 2], [3, 4], None, [None, 5], [6, 7]], pa.list_(pa.int16(), 2))
    pairs = [[("a", 1), ("b", None)], [], None, [("", 2)], [("日", 3)]]
    c["map"] = pa.array(pairs, pa.map_(pa.string(), pa.int64())), ["null" if v is None else text(dict(v)) for v in pairs]
    numbers = [[(1, "x")], [], None, [(2, None), (3, "y")], [(4, "")]]
    c["int_map"] = pa.array(numbers, pa.map_(pa.int64(), pa.string())), ["null" if v is None else text([{"key": k, "value": x} for k, x in v]) for v in numbers]
    inner = [[("k", [{"n": 1}, None])], [], None, [("z", None)], [("e", [])]]
    c["map_of_lists"] = pa.array(inner, pa.map_(pa.string(), pa.list_(pa.struct([("n", pa.int64())])))), ["null" if v is None else text(dict(v)) for v in inner]
    c["list_of_maps"] = pa.array([[[("a", 1)], []], [], None, [None], [[("b", 2), ("c", 3)]]], pa.list_(pa.map_(pa.string(), pa.int32()))), ['[{"a":1},{}]', "[]", "null", "[null]", '[{"b":2,"c":3}]']
    c["words"] = both([["a", "b"], ["a"], None, [], ["b", None]], pa.list_(pa.dictionary(pa.int32(), pa.string())))
    return c


def many(rows=20_000):
    """Enough for several pages and row groups."""
    c = {}
    c["id"] = plain([i * 7919 - 5 for i in range(rows)], pa.int64())
    c["small"] = plain([(i * 31) % 1000 - 500 for i in range(rows)], pa.int32())
    c["text"] = plain([None if i % 13 == 0 else f"row {i} " + "padding " * (i % 20) for i in range(rows)], pa.string())
    c["few"] = plain([["yes", "no", "maybe"][i % 3] for i in range(rows)], pa.string())
    c["prefixed"] = plain([f"https://example.org/pages/{i:08d}" for i in range(rows)], pa.string())
    c["flag"] = plain([None if i % 11 == 0 else i % 2 == 0 for i in range(rows)], pa.bool_())
    c["real"] = plain([i / 7 for i in range(rows)], pa.float64())
    c["narrow"] = pa.array([i / 4 for i in range(rows)], pa.float32()), [text(i / 4) for i in range(rows)]
    c["list"] = plain([list(range(i % 5)) if i % 7 else None for i in range(rows)], pa.list_(pa.int64()))
    c["fixed"] = pa.array([struct.pack("<I", i) for i in range(rows)], pa.binary(4)), [text(__import__("base64").b64encode(struct.pack("<I", i)).decode()) for i in range(rows)]
    return c


def main():
    out.mkdir(parents=True, exist_ok=True)
    kinds = {"scalars": scalars(), "decimals": decimals(), "times": times(), "nested": nested()}
    for name, columns in kinds.items():
        for compression in ("none", "snappy", "gzip", "brotli", "zstd", "lz4"):
            for version in ("1.0", "2.0"):
                write(f"{name}_{compression}_{version}", columns, compression=compression, data_page_version=version)
        write(f"{name}_plain", columns, use_dictionary=False)
        write(f"{name}_checked", columns, write_page_checksum=True)
    write("decimals_integers", decimals(), store_decimal_as_integer=True)
    small = {k: v for k, v in times().items() if k in ("ns", "s")}
    write("int96", small, use_deprecated_int96_timestamps=True)
    write("legacy_lists", {k: v for k, v in nested().items() if k in ("deep", "large_list", "struct")} | {"plain_list": plain([["a"], [], None, ["b", "c"], ["d"]], pa.list_(pa.string()))}, use_compliant_nested_type=False)
    rows = many()
    for version in ("1.0", "2.0"):
        write(f"many_{version}", rows, data_page_version=version, data_page_size=4096, row_group_size=7000)
        encodings = {"id": "DELTA_BINARY_PACKED", "small": "DELTA_BINARY_PACKED", "text": "DELTA_LENGTH_BYTE_ARRAY", "few": "DELTA_LENGTH_BYTE_ARRAY", "prefixed": "DELTA_BYTE_ARRAY", "flag": "RLE", "real": "BYTE_STREAM_SPLIT", "narrow": "BYTE_STREAM_SPLIT", "list.list.element": "DELTA_BINARY_PACKED", "fixed": "DELTA_BYTE_ARRAY"}
        write(f"many_encoded_{version}", rows, use_dictionary=False, column_encoding=encodings, data_page_version=version, data_page_size=4096, row_group_size=7000)
        split = {"id": "BYTE_STREAM_SPLIT", "small": "BYTE_STREAM_SPLIT", "fixed": "BYTE_STREAM_SPLIT", "text": "DELTA_BYTE_ARRAY"}
        write(f"many_split_{version}", rows, use_dictionary=False, column_encoding=split, data_page_version=version, compression="none")
    several_writers(rows)
    encrypted()
    names = {"": plain([1], pa.int64()), "a.b": plain([2], pa.int64()), "Frage Text": plain([3], pa.int64()), "日本語": plain([4], pa.int64()), 'quote"\n': plain([5], pa.int64())}
    write("names", names)
    write("empty", {"a": (pa.array([], pa.int64()), [])})
    required = pa.schema([pa.field("a", pa.int64(), nullable=False), pa.field("b", pa.list_(pa.field("element", pa.string(), nullable=False)), nullable=False)])
    pq.write_table(pa.table({"a": [1, 2], "b": [["x"], []]}, required), out / "required.parquet")
    expect("required", {"a": (None, ["1", "2"]), "b": (None, ['["x"]', "[]"])})
    others(out)


def several_writers(rows):
    """Large enough for several row groups and pages by the others, too."""
    import duckdb
    import polars

    table = pa.table({key: array for key, (array, _) in rows.items()})
    polars.from_arrow(table).write_parquet(out / "many_polars.parquet", row_group_size=3000)
    expect("many_polars", rows)
    db = duckdb.connect()
    db.register("rows", table)
    for version in ("V1", "V2"):
        db.execute(f"copy (select * from rows) to '{out / ('many_duckdb_' + version)}.parquet' (format parquet, parquet_version '{version}', row_group_size 4096)")
        expect("many_duckdb_" + version, rows)


def encrypted():
    """One file whose footer is encrypted, one where only a column is."""
    import pyarrow.parquet.encryption as pe

    class Keys(pe.KmsClient):
        def __init__(self, config):
            pe.KmsClient.__init__(self)

        def wrap_key(self, key, master):
            return key.hex()

        def unwrap_key(self, key, master):
            return bytes.fromhex(key)

    factory = pe.CryptoFactory(Keys)
    table = pa.table({"a": [1, 2], "b": ["x", "y"]})
    for name, plaintext in (("footer", False), ("column", True)):
        config = pe.EncryptionConfiguration(footer_key="f", column_keys={"c": ["a"]}, plaintext_footer=plaintext, double_wrapping=False)
        properties = factory.file_encryption_properties(pe.KmsConnectionConfig(), config)
        with pq.ParquetWriter(out / f"{name}.encrypted", table.schema, encryption_properties=properties) as w:
            w.write_table(table)


def others(folder):
    """The same by other writers."""
    import duckdb
    import polars

    frame = polars.DataFrame({"i": [1, None, 2**53 + 1], "s": ["a", None, "日本"], "l": [[1, 2], [], None], "d": [dt.date(2026, 1, 2), None, dt.date(1970, 1, 1)], "f": [1.5, None, 0.1], "t": [{"x": 1, "y": "z"}, {"x": None, "y": ""}, {"x": 3, "y": None}], "c": polars.Series(["u", "v", "u"], dtype=polars.Categorical)})
    rows = {"i": ["1", "null", str(2**53 + 1)], "s": ['"a"', "null", '"日本"'], "l": ["[1,2]", "[]", "null"], "d": ['"2026-01-02"', "null", '"1970-01-01"'], "f": ["1.5", "null", "0.1"], "t": ['{"x":1,"y":"z"}', '{"x":null,"y":""}', '{"x":3,"y":null}'], "c": ['"u"', '"v"', '"u"']}
    frame.write_parquet(folder / "polars.parquet")
    expect("polars", {k: (None, v) for k, v in rows.items()})
    db = duckdb.connect()
    db.execute("create table t as select * from (values (1::hugeint, 'a', [1, null], {'x': 1.50::decimal(9,2)}, timestamptz '2026-03-01 10:00:00+00', interval '2 months 3 days 4 seconds', map {'k': 1}, uuid '00000000-0000-0000-0000-000000000001', '{\"a\": 1}'::json, time '10:11:12.5')) v(h, s, l, t, z, iv, m, u, j, c)")
    for version in ("V1", "V2"):
        db.execute(f"copy t to '{folder / ('duckdb_' + version)}.parquet' (format parquet, parquet_version '{version}')")
        expect("duckdb_" + version, {"h": (None, ["1.0"]), "s": (None, ['"a"']), "l": (None, ["[1,null]"]), "t": (None, ['{"x":1.50}']), "z": (None, ['"2026-03-01T10:00:00Z"']), "iv": (None, ['{"months":2,"days":3,"milliseconds":4000}']), "m": (None, ['{"k":1}']), "u": (None, ['"00000000-0000-0000-0000-000000000001"']), "j": (None, ['{"a":1}']), "c": (None, ['"10:11:12.500"'])})


main()
