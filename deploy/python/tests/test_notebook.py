"""The packages in a real Jupyter."""

import json
import os
import pathlib
import subprocess
import textwrap
import unittest

from base import InFolder, needs

import gleaner

# What "Run All" does: the cells in a kernel of their own, also those behind one that failed.
EXECUTE = """
import json, sys
import nbformat
from nbclient import NotebookClient

book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in json.load(sys.stdin)])
NotebookClient(book, timeout=120, kernel_name="python3", allow_errors=True).execute()
nbformat.write(book, sys.stdout)
"""

CELLS = [
    """
    import os, signal, threading, time
    import gleaner
    rows = [{"q": f"<script>alert({i})</script>"} for i in range(60)]
    shown = gleaner.run(rows, field="q", simulate=True, sim_speed=10)
    len(shown)
    """,
    'gleaner.run(rows, field="q", simulate=True, sim_speed=10)[0] == shown[0]',
    'gleaner.run(rows, field="nothing", simulate=True)',
    'gleaner.run(rows, field="q", simulate=True, progress=False, seed=5) != []',
    """
    many = [{"q": f"What is {i} and 2?"} for i in range(500)]
    def stop():
        while not any(run["items"] == 500 and run["stored"] > 2 for run in gleaner.runs()):
            time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGINT)  # as the stop button does
    threading.Thread(target=stop).start()
    gleaner.run(many, field="q", simulate=True, sim_speed=5)
    """,
    'sum(row["response"] is not None for row in gleaner.results(like=many)) > 2',
]


class Jupyter(InFolder):
    @classmethod
    def setUpClass(cls):
        cls.python = needs("JUPYTER_TEST_PYTHON")

    def test_a_notebook_has_one_display_for_a_run(self):
        packages = str(pathlib.Path(gleaner.__file__).parent.parent)
        env = {**os.environ, "PYTHONPATH": packages, "HOME": os.getcwd()}
        cells = json.dumps([textwrap.dedent(cell) for cell in CELLS])
        done = subprocess.run([self.python, "-c", EXECUTE], input=cells, capture_output=True, text=True, env=env, timeout=300)
        self.assertEqual(done.returncode, 0, done.stderr)
        outputs = [cell["outputs"] for cell in json.loads(done.stdout)["cells"]]

        kinds = [[output["output_type"] for output in one] for one in outputs]
        self.assertEqual(kinds[:4], [["display_data", "execute_result"]] * 2 + [["display_data", "error"], ["execute_result"]], outputs[:4])
        display = outputs[0][0]["data"]
        page, text = "".join(display["text/html"]), "".join(display["text/plain"])
        self.assertIn("&lt;script&gt;alert(0)", page)
        self.assertNotIn("<script", page)
        self.assertIn("60 rows", text)
        self.assertIn("60 answers of 60 in ", text)
        self.assertEqual("".join(outputs[1][1]["data"]["text/plain"]), "True")
        self.assertEqual(outputs[2][1]["ename"], "UsageError")
        self.assertIn('no row has a column "nothing"', outputs[2][1]["evalue"])

        self.assertEqual(kinds[4], ["display_data", "error"], outputs[4])
        self.assertEqual(outputs[4][1]["ename"], "Interrupted")
        self.assertIn("gleaner.results('sim-rows-", outputs[4][1]["evalue"])
        self.assertEqual("".join(outputs[5][0]["data"]["text/plain"]), "True")


if __name__ == "__main__":
    unittest.main()
