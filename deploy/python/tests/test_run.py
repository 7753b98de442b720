import doctest
import importlib
import os
import signal
import subprocess
import sys
import textwrap
import time
import unittest
import unittest.mock

from base import ROWS, InFolder, needs, until

import gleaner


def simulated(data, **options):
    options.setdefault("field", "question")
    return gleaner.run(data, simulate=True, progress=False, **options)


class Kinds(InFolder):
    def test_dicts_come_back_in_order_with_their_answers(self):
        answers = simulated(ROWS)
        self.assertEqual([{name: row[name] for name in ("question", "n")} for row in answers], ROWS)
        self.assertEqual([list(row) for row in answers], [["question", "n", "response"]] * 5)
        self.assertTrue(all(row["response"] for row in answers))
        self.assertEqual(simulated(ROWS), answers, "the same call gives the same answers")
        self.assertEqual(len(gleaner.runs()), 1)

    def test_texts_come_back_as_texts(self):
        answers = simulated(["a", "b"], field=None)
        self.assertEqual([type(answer) for answer in answers], [str, str])
        self.assertEqual(len(simulated(["a", "b"], field=None, samples=3)), 6)
        self.assertEqual(len(simulated(["a", "b"], field=None, prompt="Say {{ prompt }}")), 2)

    def test_samples_have_a_row_each(self):
        answers = simulated(ROWS, samples=2)
        self.assertEqual([(row["n"], row["sample"]) for row in answers], [(n, s) for n in range(5) for s in range(2)])
        taken = simulated([{"question": "a", "sample": "mine", "response": "old"}], samples=2)
        self.assertEqual([(row["sample"], row["response"], row["sample_2"]) for row in taken], [("mine", "old", 0), ("mine", "old", 1)])
        self.assertTrue(all(row["response_2"] for row in taken))

    def test_nothing_gives_nothing(self):
        self.assertEqual(simulated([]), [])

    def test_the_answer_can_take_the_place_of_a_column(self):
        rows = [{"question": "a", "output": "old"}]
        answer, = simulated(rows, replace="output")
        self.assertEqual(list(answer), ["question", "output"])
        self.assertNotEqual(answer["output"], "old")
        self.assertEqual(list(simulated(rows, response_field="said")[0]), ["question", "output", "said"])

    def test_provenance_comes_if_it_is_asked_for(self):
        self.assertEqual(simulated(ROWS, provenance=True)[3]["gleaner"]["id"].rpartition("/")[2], "000000003.000")

    def test_a_path_gives_dicts(self):
        with open("in.csv", "w") as out:
            out.write("question,n\na,1\nb,2\n")
        answers = simulated("in.csv")
        self.assertEqual([list(row) for row in answers], [["question", "n", "response"]] * 2)
        self.assertEqual(len(simulated("in.csv", limit=1)), 1)

    def test_what_is_no_json_is_sent_as_what_it_is_nearest_to(self):
        import datetime
        import decimal

        rows = [{"question": "a", "at": datetime.date(2026, 1, 2), "d": decimal.Decimal("1.10"), "b": b"x", "nan": float("nan"), "t": (1, 2)}]
        answer, = simulated(rows, field=None, prompt="{{ at }} {{ d }} {{ b }} {{ t }} [{{ nan }}] {{ question }}")
        self.assertIsInstance(answer["at"], datetime.date)
        shown = gleaner.preview(rows, prompt="{{ at }} {{ d }} {{ b }} {{ t }} [{{ nan }}] {{ question }}", simulate=True)
        self.assertEqual(shown[0]["request"]["messages"][0]["content"], "2026-01-02 1.10 eA== [1, 2] [] a")
        with self.assertRaisesRegex(TypeError, "row 0, column 'x': a value of type set"):
            simulated([{"question": "a", "x": {1}}])

    def test_half_of_a_character_does_no_harm(self):
        self.assertEqual(simulated([{"question": "a \ud83d"}])[0]["question"], "a \ud83d")

    def test_what_cannot_be_data_says_what_can(self):
        for data in (5, None, {"question": ["a"]}, b"x", [1], ["a", {"b": 1}]):
            with self.assertRaisesRegex(TypeError, "give a list of dicts"):
                simulated(data)


class Wrong(InFolder):
    def test_an_unknown_argument_names_the_nearest(self):
        for name, near in (("max_tokens", "num_predict"), ("temprature", "temperature"), ("feild", "field")):
            with self.assertRaisesRegex(TypeError, f"{name}'.*did you mean '{near}'"):
                simulated(ROWS, **{name: "1"})

    def test_what_python_settles_is_named(self):
        for name in ("out", "columns", "data_", "layout"):
            with self.assertRaises(TypeError):
                simulated(ROWS, **{name: "x"})
        with self.assertRaisesRegex(TypeError, "limit=… chooses rows of a file"):
            simulated(ROWS, limit=1)
        with self.assertRaisesRegex(ValueError, "use one of null, drop, raise"):
            simulated(ROWS, on_missing="zero")

    def test_a_wrong_column_is_told_in_the_programs_words(self):
        with self.assertRaises(gleaner.UsageError) as caught:
            simulated(ROWS, field="answer")
        self.assertEqual(caught.exception.code, 2)
        self.assertIn('no row has a column "answer"', caught.exception.words)
        self.assertIn("\nThe command was: gleaner run --field=answer", str(caught.exception))
        self.assertIsInstance(caught.exception, ValueError)

    def test_rows_that_cannot_be_used_are_named_or_left_out(self):
        rows = [{"question": "a"}, {"question": None}, {"question": "c"}]
        with self.assertRaises(gleaner.Error) as caught:
            simulated(rows)
        self.assertRegex(caught.exception.words, '^row 1: column "question" is null .*mend them, or leave them out with skip_bad=True')
        with self.assertRaisesRegex(gleaner.Error, '2 of 3 rows cannot(.|\n)*\n  row 1: column "question" is null(.|\n)*\n  row 2: there is no column'):
            simulated([*rows[:2], {"other": "c"}])
        with self.assertRaisesRegex(gleaner.Error, "^row 1: the prompt has 200000 bytes"):
            simulated([{"question": "a"}, {"question": "a" * 200000}])
        answers = simulated(rows, skip_bad=True)
        self.assertEqual([row["response"] is None for row in answers], [False, True, False])
        self.assertEqual([row["question"] for row in simulated(rows, skip_bad=True, on_missing="drop")], ["a", "c"])
        with self.assertRaises(gleaner.MissingAnswers) as caught:
            simulated(rows, skip_bad=True, on_missing="raise")
        self.assertEqual(caught.exception.missing, [(1, 0)])
        self.assertEqual(caught.exception.answers, answers)

    def test_a_program_that_is_not_there_is_named(self):
        with unittest.mock.patch.dict(os.environ, {"GLEANER_BIN": "/no/such/program"}):
            with self.assertRaisesRegex(gleaner.NoProgram, "/no/such/program"):
                simulated(ROWS)


class Later(InFolder):
    def test_results_status_and_runs(self):
        answers = simulated(ROWS, name="sums")
        self.assertEqual(gleaner.results("sums"), answers)
        self.assertEqual(gleaner.results(like=ROWS), answers)
        self.assertEqual(gleaner.status("sums")["stored"], 5)
        self.assertEqual([run["run"] for run in gleaner.runs()], ["sums"])
        path = gleaner.results("sums", out="chat.jsonl", layout="chat")
        with open(path) as lines:
            self.assertIn('"messages"', lines.readline())
        with self.assertRaisesRegex(ValueError, "is of 5 rows, and the data has 2"):
            gleaner.results("sums", like=ROWS[:2])
        with self.assertRaisesRegex(gleaner.Error, "sum"):
            gleaner.status("sum")

    def test_an_empty_folder_has_nothing(self):
        self.assertEqual(gleaner.runs(), [])
        with self.assertRaisesRegex(gleaner.Error, "holds no runs"):
            gleaner.results()

    def test_an_interrupt_keeps_what_is_there_and_the_same_call_goes_on(self):
        script = textwrap.dedent("""
            import gleaner
            rows = [{"question": f"What is {i} and 2?"} for i in range(300)]
            try:
                gleaner.run(rows, field="question", simulate=True, sim_speed=SPEED)
            except KeyboardInterrupt as ended:
                print(type(ended).__name__, ended.run, ended)
            else:
                print("complete", len(gleaner.results()))
        """)
        first = subprocess.Popen([sys.executable, "-c", script.replace("SPEED", "5")], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(first.kill)
        until(lambda: gleaner.runs() and gleaner.status()["stored"] > 3)
        first.send_signal(signal.SIGINT)
        said, talk = first.communicate(timeout=60)
        self.assertRegex(said, r"^Interrupted sim-rows-\w+ interrupted: the same call goes on .* gleaner\.results\('sim-rows-\w+'\)", talk)
        there = [row["response"] for row in gleaner.results() if row["response"]]
        self.assertTrue(3 < len(there) < 300, len(there))
        again = subprocess.run([sys.executable, "-c", script.replace("SPEED", "1000")], capture_output=True, text=True, timeout=120)
        self.assertEqual(again.stdout, "complete 300\n", again.stderr)
        self.assertLessEqual(set(there), {row["response"] for row in gleaner.results()})


class Speed(InFolder):
    def test_fifty_rows_take_three_seconds_at_most(self):
        rows = [{"question": f"What is {i} and 2?"} for i in range(50)]
        best = min(self.seconds(rows, seed) for seed in range(3))
        print(f"gleaner.run of 50 dicts: {best:.2f} s")
        self.assertLess(best, 3)

    def seconds(self, rows, seed):
        started = time.monotonic()
        simulated(rows, seed=seed)
        return time.monotonic() - started


class Real(InFolder):
    """With a real Ollama."""

    def setUp(self):
        super().setUp()
        self.options = {"ollama": needs("OLLAMA_TEST_HOST"), "field": "question", "progress": False, "num_predict": 200}

    def test_answers_of_a_model(self):
        answers = gleaner.run(ROWS, model=needs("MODEL"), provenance=True, **self.options)
        self.assertTrue(all(row["response"] for row in answers))
        self.assertFalse(any(row["gleaner"].get("simulated") for row in answers))
        self.assertEqual(len(gleaner.preview(ROWS, 2, model=needs("MODEL"), **{n: v for n, v in self.options.items() if n != "progress"})), 2)

    def test_what_has_no_answer_is_null_dropped_or_raised(self):
        options = {**self.options, "num_predict": 4, "max_failures": "off"} if "max-failures" in flags() else {**self.options, "num_predict": 4}
        answers = gleaner.run(ROWS, model=needs("MODEL_ENDLESS"), **options)
        self.assertEqual([row["response"] for row in answers], [None] * 5)
        self.assertEqual(gleaner.run(ROWS, model=needs("MODEL_ENDLESS"), on_missing="drop", **options), [])
        with self.assertRaises(gleaner.MissingAnswers) as caught:
            gleaner.run(ROWS, model=needs("MODEL_ENDLESS"), on_missing="raise", **options)
        self.assertEqual((caught.exception.code, len(caught.exception.missing), caught.exception.answers), (3, 5, answers))

    def test_a_model_that_is_not_there(self):
        with self.assertRaisesRegex(gleaner.Error, "no-such-model"):
            gleaner.run(ROWS, model="no-such-model", **self.options)


def flags():
    return gleaner._flags.known(gleaner._flags.program(), "run")


class Schemas(InFolder):
    def test_a_schema_is_a_dict_or_a_model_of_pydantic(self):
        class Answer:  # what pydantic's models have
            @classmethod
            def model_json_schema(cls):
                return {"type": "object", "properties": {"label": {"enum": ["yes", "no"]}}, "required": ["label"]}

        for schema in (Answer, Answer.model_json_schema()):
            answer, = simulated([{"question": "a"}], schema=schema, expand=True)
            self.assertIn(answer["label"], ("yes", "no"))


    def test_a_model_of_pydantic(self):
        try:
            from pydantic import BaseModel
        except ImportError:
            self.skipTest("there is no pydantic; .ci/loaders.sh installs it")
        from typing import List, Literal

        class Part(BaseModel):
            label: Literal["yes", "no"]

        class Answer(BaseModel):
            parts: List[Part]
            sure: bool

        answer, = simulated([{"question": "a"}], schema=Answer)
        made = Answer.model_validate_json(answer["response"])
        self.assertLessEqual({part.label for part in made.parts}, {"yes", "no"})


class Hub(InFolder):
    def test_a_dataset_of_the_hub(self):
        endpoint = needs("TEST_HF_ENDPOINT")
        with unittest.mock.patch.dict(os.environ, {"HF_ENDPOINT": endpoint, "HF_HOME": os.path.abspath("hub")}):
            answers = simulated("hf://datasets/me/sums", field=None, prompt="Solve: {{ question }}")
            self.assertEqual([row["question"] for row in answers], ["What is 1 and 2?", "What is 2 and 2?"])
            self.assertTrue(all(row["response"] for row in answers))
            self.assertEqual(len(simulated("hf://datasets/me/sums", limit=1)), 1)
            with self.assertRaisesRegex(gleaner.Error, "me/nothing"):
                simulated("hf://datasets/me/nothing")


class Docs(InFolder):
    def test_the_examples_run(self):
        import gleaner_consumer

        names = ["gleaner", "gleaner._run", "gleaner._answers", "gleaner._errors", "gleaner._flags", "gleaner._frames", "gleaner._notebook"]
        for module in [*map(importlib.import_module, names), gleaner_consumer]:
            failed, tried = doctest.testmod(module)
            self.assertEqual(failed, 0, module.__name__)
            self.assertGreater(tried, 0, module.__name__)


if __name__ == "__main__":
    unittest.main()
