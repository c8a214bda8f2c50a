"""What a setting that was added to the package does everywhere; run as a script by its test.

    python new_setting.py FOLDER

Prints what came out as JSON.
"""

import json
import os
import sys
from pathlib import Path

from click.testing import CliRunner

import keras_prokt
import keras_prokt_apps
from keras_prokt.app import TaskRequest
from keras_prokt.cli import main
from keras_prokt.runs import RunSpec
from keras_prokt.settings import SettingError


def refusal(**settings: float) -> str:
    try:
        RunSpec.resolve("digits", "prokt", **settings)
    except SettingError as error:
        return str(error)
    return "none"


def round_trip() -> bool:
    spec = RunSpec.resolve("digits", "prokt", jitter=0.5)
    return RunSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec


if __name__ == "__main__":
    os.chdir(sys.argv[1])
    seen = {
        "packages": [keras_prokt.__file__, keras_prokt_apps.__file__],
        "help": CliRunner().invoke(main, ["run", "--help"]).output,
        "refusal": refusal(jitter=1.0),
        "resolved": RunSpec.resolve("digits", "prokt", jitter=0.5).jitter,
        "usual": RunSpec.resolve("digits", "prokt").jitter,
        "requested": RunSpec.resolve("digits", "prokt", jitter=0.5).request().jitter,
        "round trip": round_trip(),
        "fields": list(TaskRequest.__dataclass_fields__),
    }
    run = ["run", "--method=student", "--limit=64", "--epochs=1", "--no-export", "--out=run"]
    refused = CliRunner().invoke(main, [*run, "--jitter=1"])
    seen["typed"] = [refused.exit_code, refused.output]
    done = CliRunner().invoke(main, [*run, "--jitter=0.25"])
    seen["run"] = [done.exit_code, done.output]
    seen["record"] = json.loads(Path("run", "run.json").read_text())["spec"]["data"]
    print(json.dumps(seen))
