"""Says as JSON which splits the real datasets library finds in each dataset of a hub.

Usage: splits.py REPO...
The answer has for each repository a list of subset, split and files, or the text of the error.
"""

import json
import sys

import datasets

datasets.disable_progress_bars()


def splits(repo):
    found = []
    for name in datasets.get_dataset_config_names(repo):
        builder = datasets.load_dataset_builder(repo, name)
        for split, files in builder.config.data_files.items():
            found.append({"Subset": name, "Split": str(split), "Files": [str(f).split("@", 1)[1].split("/", 1)[1] for f in files]})
    return found


def main():
    answer = {}
    for repo in sys.argv[1:]:
        try:
            answer[repo] = splits(repo)
        except Exception as error:
            answer[repo] = f"{type(error).__name__}: {error}"
    json.dump(answer, sys.stdout)


main()
