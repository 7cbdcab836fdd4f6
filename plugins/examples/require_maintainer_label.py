#!/usr/bin/env python3
"""A plugin of phase pre-build: an image says who maintains it.

Argument `default`: the value for images that say nothing. Without it such an image is refused.
It talks with the builder in lines of JSON, see docs/plugins.md; for people it writes to standard error.
"""

import json
import sys


def say(message):
    print(json.dumps(message), flush=True)


def ask(question):
    say(question)
    answer = json.loads(sys.stdin.readline())
    if "error" in answer:
        say({"error": {"class": "source", "text": "the labels cannot be had: " + answer["error"]}})
        sys.exit(0)
    return answer["value"]


def main():
    start = json.loads(sys.stdin.readline())
    if start["protocol"] != 1:
        say({"error": {"class": "configuration", "text": "this plugin speaks protocol 1"}})
        return
    labels = ask({"get": "labels"})
    maintainer = labels.get("maintainer", "").strip()
    default = start["args"].get("default")
    if maintainer:
        say({"log": {"level": "info", "text": "maintained by " + maintainer}})
    elif default:
        say({"edit": {"labels": {"maintainer": default}, "reason": "the image names no maintainer"}})
        say({"fact": {"name": "x-maintainer", "value": default}})
    else:
        say({"error": {
            "class": "source",
            "text": "the label maintainer is missing",
            "help": "add LABEL maintainer=\"TEAM <ADDRESS>\" to the Dockerfile",
        }})
        return
    say({"done": True})


if __name__ == "__main__":
    main()
