"""What the tests share."""

import os
import tempfile
import threading
import time
import unittest

ROWS = [{"question": f"What is {i} and 2?", "n": i} for i in range(5)]


class InFolder(unittest.TestCase):
    """A test in an empty working folder."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(folder.name)


def needs(variable: str) -> str:
    """Returns the value of a variable, or skips the test."""
    value = os.environ.get(variable, "")
    if not value:
        raise unittest.SkipTest(f"{variable} is not set")
    return value


def until(what, seconds=60):
    """Waits until something holds."""
    ends = time.monotonic() + seconds
    while not what():
        if time.monotonic() > ends:
            raise AssertionError("it does not come about")
        threading.Event().wait(0.05)
