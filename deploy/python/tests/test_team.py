"""A team in one test: an operator's notebook, a sink, and a helper."""

import os
import signal
import subprocess
import sys
import threading
import unittest
import unittest.mock

from base import ROWS, InFolder, needs, until

import gleaner
import gleaner_consumer


class Team(InFolder):
    def setUp(self):
        super().setUp()
        self.nats, self.ollama, self.model = needs("TEST_NATS_URL"), needs("OLLAMA_TEST_HOST"), needs("MODEL")
        self.store = "sqlite:" + os.path.abspath("team.db")

    def test_what_is_submitted_comes_back_answered(self):
        where = {"store": self.store, "nats": self.nats, "progress": False}
        came = []

        def submitting():
            try:
                came.append(gleaner.submit(ROWS, name="team", field="question", model=self.model, samples=2, **where))
            except gleaner.Error as failure:
                came.append(failure)

        submit = threading.Thread(target=submitting, daemon=True)
        submit.start()
        env = {**os.environ, "MONGODB_URI": self.store, "NATS_URL": self.nats}
        look = [gleaner._flags.program(), "status", "--run=team", "--json"]
        until(lambda: came or b'"queued":' in subprocess.run(look, env=env, capture_output=True).stdout)
        sink = subprocess.Popen([gleaner._flags.program(), "sink"], env=env,
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(sink.wait)
        self.addCleanup(sink.terminate)
        self.assertEqual(came, [], "the run is on the queue, and has no answers yet")
        made = gleaner_consumer.work(run="team", gpus=None, ollama=self.ollama, nats=self.nats, for_="3m", progress=False)
        submit.join(60)
        self.assertEqual(made["answers"], 10)
        self.assertEqual([(row["n"], row["sample"]) for row in came[0]], [(n, s) for n in range(5) for s in range(2)])
        self.assertTrue(all(row["response"] for row in came[0]))
        self.assertEqual(gleaner.attach("team", like=ROWS, **where), came[0])

    def test_what_lacks_is_said(self):
        with unittest.mock.patch.dict(os.environ, {"MONGODB_URI": ""}), self.assertRaisesRegex(gleaner.UsageError, "MONGODB_URI"):
            gleaner.submit(ROWS, name="team", field="question", model="m")
        with self.assertRaisesRegex(TypeError, "name of a run"):
            gleaner_consumer.work()
        with self.assertRaises(gleaner_consumer.Error) as caught:
            gleaner_consumer.work(run="Not A Name", gpus=None, ollama=self.ollama, nats=self.nats, progress=False)
        self.assertIn("Not A Name", caught.exception.words)

    def test_an_interrupt_ends_a_helper_cleanly(self):
        script = f"""
import gleaner_consumer
try:
    gleaner_consumer.work(run="later", gpus=None, ollama={self.ollama!r}, nats={self.nats!r}, progress=True)
except KeyboardInterrupt as ended:
    print(type(ended).__name__, ended)
"""
        helper = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(helper.kill)
        line = helper.stderr.readline()
        helper.send_signal(signal.SIGINT)
        said, talk = helper.communicate(timeout=60)
        self.assertTrue(line)
        self.assertTrue(said.startswith("Interrupted interrupted: what was not finished"), said + talk)


if __name__ == "__main__":
    unittest.main()
