# Renders templates by Python's Jinja2 for the test that compares. A line of the input is a JSON
# list of a template and a row; a line of the output is a JSON list of the text and of the error,
# of which one is null.
import json
import sys

import jinja2

environment = jinja2.Environment(extensions=["jinja2.ext.do", "jinja2.ext.loopcontrols"])
for line in sys.stdin:
    template, row = json.loads(line)
    try:
        answer = [environment.from_string(template).render({**row, "row": row}), None]
    except Exception as problem:
        answer = [None, f"{type(problem).__name__}: {problem}"]
    print(json.dumps(answer))
