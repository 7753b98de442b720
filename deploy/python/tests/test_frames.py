import math
import unittest

from base import InFolder

import gleaner

try:
    import datasets
    import pandas
    import polars
except ImportError as missing:
    raise unittest.SkipTest(str(missing))


def simulated(data, **options):
    return gleaner.run(data, field="question", simulate=True, progress=False, **options)


class Pandas(InFolder):
    def setUp(self):
        super().setUp()
        self.data = pandas.DataFrame({
            "question": ["a", "b", "c"], "n": pandas.array([1, 2, None], dtype="Int64"), "f": [1.5, math.nan, 2.0],
            "at": pandas.to_datetime(["2026-01-01", None, "2026-01-03"]), "kind": pandas.Categorical(["x", "y", "x"]), "some": [[1], [2, 3], []],
        }, index=["r1", "r2", "r3"])

    def test_columns_index_and_types_stay(self):
        answers = simulated(self.data)
        pandas.testing.assert_frame_equal(answers.drop(columns="response"), self.data)
        self.assertEqual(list(answers.columns), [*self.data.columns, "response"])
        self.assertTrue(answers["response"].str.len().gt(0).all())
        self.assertNotIn("response", self.data.columns, "what was given stays as it is")

    def test_the_index_is_repeated_for_samples(self):
        answers = simulated(self.data, samples=2)
        self.assertEqual(list(answers.index), ["r1", "r1", "r2", "r2", "r3", "r3"])
        self.assertEqual(list(answers["sample"]), [0, 1] * 3)
        self.assertEqual(dict(answers.dtypes.drop(["response", "sample"])), dict(self.data.dtypes))

    def test_nan_is_null(self):
        shown = gleaner.preview(self.data, prompt="{{ question }}{{ row }}", simulate=True)
        self.assertIn('"f":null,"at":null', shown[1]["request"]["messages"][0]["content"].replace(" ", ""))
        self.data.loc["r2", "question"] = math.nan
        answers = simulated(self.data, skip_bad=True)
        self.assertEqual(list(answers["response"].isna()), [False, True, False])
        self.assertEqual(list(simulated(self.data, skip_bad=True, on_missing="drop").index), ["r1", "r3"])

    def test_what_has_no_name_is_refused(self):
        with self.assertRaisesRegex(TypeError, "two columns of one name"):
            simulated(pandas.concat([self.data, self.data], axis=1))
        with self.assertRaisesRegex(TypeError, "Series"):
            simulated(self.data["question"])
        self.assertEqual(list(simulated(self.data.iloc[:0]).columns), [*self.data.columns, "response"])

    def test_numbers_as_names(self):
        answers = gleaner.run(pandas.DataFrame({0: ["a", "b"]}), field="0", simulate=True, progress=False)
        self.assertEqual(list(answers.columns), [0, "response"])

    def test_results_like_what_was_given(self):
        answers = simulated(self.data)
        pandas.testing.assert_frame_equal(gleaner.results(like=self.data), answers)


class Polars(InFolder):
    def test_columns_and_types_stay(self):
        data = polars.DataFrame({"question": ["a", "b"], "n": polars.Series([1, None], dtype=polars.Int16), "l": [[1.5], [math.nan]]})
        answers = simulated(data, samples=2)
        self.assertEqual(answers.schema, {**data.schema, "response": polars.String, "sample": polars.Int64})
        self.assertEqual(answers["question"].to_list(), ["a", "a", "b", "b"])
        self.assertTrue(simulated(data)["question", "n", "l"].equals(data))
        with self.assertRaisesRegex(TypeError, r"data\.collect\(\)"):
            simulated(data.lazy())
        self.assertEqual(simulated(data, provenance=True)["gleaner"][0]["sample"], 0)


class Hub(InFolder):
    def test_columns_and_features_stay(self):
        data = datasets.Dataset.from_list([{"question": q, "label": 1} for q in "abc"])
        data = data.cast_column("label", datasets.ClassLabel(names=["no", "yes"]))
        answers = simulated(data)
        self.assertEqual(answers.features, {**data.features, "response": datasets.Value("string")})
        self.assertEqual(answers["question"][:], ["a", "b", "c"])
        twice = simulated(data.with_format("numpy"), samples=2)
        self.assertEqual([*twice.with_format(None)["question"]], ["a", "a", "b", "b", "c", "c"])
        with self.assertRaisesRegex(TypeError, r"data\['train'\]"):
            simulated(datasets.DatasetDict({"train": data}))
        with self.assertRaisesRegex(TypeError, "IterableDataset has no length"):
            simulated(data.to_iterable_dataset())
