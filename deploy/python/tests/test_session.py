"""A session that is lent for hours: it ends, is killed, and the next one goes on."""

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import textwrap
import unittest
import unittest.mock

from base import ROWS, InFolder, until

import gleaner

MANY = [{"question": f"What is {i} and 2?", "n": i} for i in range(200)]


def simulated(data, **options):
    return gleaner.run(data, field="question", simulate=True, progress=False, **options)


def answered(rows):
    return {row["n"]: row["response"] for row in rows if row["response"] is not None}


class Sessions(InFolder):
    def setUp(self):
        super().setUp()
        self.input = pathlib.Path("input").resolve()
        (self.input / "of-others").mkdir(parents=True)
        hosted = unittest.mock.patch.dict(os.environ, {"KAGGLE_KERNEL_RUN_TYPE": "Batch", "GLEANER_INPUT": str(self.input), "GLEANER_WORK": str(self.input.parent / "work")})
        hosted.start()
        self.addCleanup(hosted.stop)

    def ended(self, session, data=MANY, **options):
        """Makes the output of a session that ended in time, and returns its answers."""
        with self.assertWarnsRegex(gleaner.TimeOver, "still to be generated: the same call goes on where it stopped; in another session attach the output"):
            answers = simulated(data, sim_speed=5, for_="4s", **options)
        there = answered(answers)
        self.assertTrue(0 < len(there) < len(data), len(there))
        shutil.move("gleaner-data", self.input / session)
        return there

    def test_the_next_session_goes_on_from_the_output_of_the_last(self):
        there = self.ended("last")
        self.ended("other", [{"question": row["question"] + "!", "n": row["n"]} for row in MANY])
        for file in sorted(self.input.rglob("*"), reverse=True):  # as an attached dataset is
            file.chmod(0o555)
        self.addCleanup(lambda: [file.chmod(0o755) for file in self.input.rglob("*")])
        answers = answered(simulated(MANY))
        self.assertEqual(len(answers), len(MANY))
        self.assertLessEqual(there.items(), answers.items())
        self.assertEqual([run["items"] for run in gleaner.runs()], [len(MANY)], "what is of other data is not taken up")

    def test_a_name_chooses_the_session_that_has_the_run(self):
        there = self.ended("last", name="sums")
        self.ended("other", name="others")
        answers = answered(simulated(MANY, name="sums"))
        self.assertLessEqual(there.items(), answers.items())
        self.assertEqual([run["run"] for run in gleaner.runs()], ["sums"])

    def test_what_is_there_already_stays(self):
        self.ended("last")
        simulated(ROWS, name="mine")
        simulated(MANY[:3], name="other")
        self.assertEqual(sorted(run["run"] for run in gleaner.runs()), ["mine", "other"])

    def test_without_a_gpu_nothing_is_done(self):
        with unittest.mock.patch.dict(os.environ, {"PATH": str(self.input)}), self.assertRaisesRegex(gleaner.Error, "no GPU, and nothing was done: choose Settings"):
            gleaner.run(ROWS, field="question", model="m", gpus="auto", progress=False)
        self.assertFalse(os.path.exists("gleaner-data"))


class Ended(InFolder):
    script = textwrap.dedent("""
        import gleaner
        rows = [{"question": f"What is {i} and 2?", "n": i} for i in range(200)]
        gleaner.run(rows, field="question", simulate=True, sim_speed=5)
    """)

    def begun(self):
        process = subprocess.Popen([sys.executable, "-c", self.script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.stdout.close)
        until(lambda: gleaner.runs() and gleaner.status()["stored"] > 3)
        return process

    def test_a_kernel_that_is_killed_leaves_no_program(self):
        process = self.begun()
        with open("gleaner-data/holder.json", encoding="utf-8") as holder:
            program = gleaner._process.json.load(holder)["pid"]
        process.kill()
        until(lambda: not alive(program))
        self.assertFalse(os.path.exists("gleaner-data/holder.json"), "it ended in order")
        self.assertEqual(len(simulated(MANY)), 200)

    def test_an_interrupt_leaves_a_file_of_what_is_there(self):
        process = self.begun()
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
        run, = (run["run"] for run in gleaner.runs())
        file = pathlib.Path("gleaner-data", run + ".jsonl")
        self.assertIn(f"gleaner.results({run!r}) and the file {file} have what is there", said)
        with file.open(encoding="utf-8") as lines:
            self.assertEqual(sum(1 for _ in lines), gleaner.status()["stored"])


def alive(process):
    """Reports whether a process runs; one that has ended and was not waited for does not."""
    try:
        with open(f"/proc/{process}/stat", encoding="utf-8") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        pass
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return not os.path.isdir("/proc/self")


if __name__ == "__main__":
    unittest.main()
