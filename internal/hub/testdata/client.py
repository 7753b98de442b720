"""Uses the hub with the real huggingface_hub, and says as JSON what it saw.

Usage: client.py download REPO | errors | upload REPO FOLDER | offline REPO
The endpoint, the token and the cache come from the environment, as users set them.
"""

import hashlib
import json
import os
import sys

import huggingface_hub as hub
from huggingface_hub import errors


def digests(folder):
    found = {}
    for base, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(base, name)
            with open(path, "rb") as file:
                found[os.path.relpath(path, folder).replace(os.sep, "/")] = hashlib.sha256(file.read()).hexdigest()
    return found


def name_of_error(call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except Exception as error:
        return type(error).__name__
    return ""


def main():
    verb, args = sys.argv[1], sys.argv[2:]
    api = hub.HfApi()
    if verb == "download":
        folder = hub.snapshot_download(args[0], repo_type="dataset")
        answer = {
            "files": digests(folder),
            "listed": sorted(api.list_repo_files(args[0], repo_type="dataset")),
            "sha": api.dataset_info(args[0]).sha,
            "refs": [branch.name for branch in api.list_repo_refs(args[0], repo_type="dataset").branches],
        }
    elif verb == "errors":
        answer = {
            what: name_of_error(hub.hf_hub_download, repo, "README.md", repo_type="dataset", revision=revision)
            for what, repo, revision in [
                ("gated", "them/gated", None),
                ("private", "them/private", None),
                ("revision", "openai/gsm8k", "none"),
            ]
        }
        answer["file"] = name_of_error(hub.hf_hub_download, "openai/gsm8k", "none", repo_type="dataset")
    elif verb == "upload":
        api.create_repo(args[0], repo_type="dataset", private=True, exist_ok=True)
        first = api.upload_folder(repo_id=args[0], folder_path=args[1], repo_type="dataset", commit_message="from Python")
        second = api.upload_folder(repo_id=args[0], folder_path=args[1], repo_type="dataset", commit_message="again")
        answer = {"commit": first.oid, "again": second.oid, "name": api.whoami()["name"]}
    json.dump(answer, sys.stdout)


main()
