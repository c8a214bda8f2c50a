"""What a regime with a setting of its own does everywhere; run as a script by its test.

    python new_regime.py FOLDER

Prints what came out as JSON.
"""

import json
import os
import sys
from pathlib import Path

from click.testing import CliRunner

import keras_prokt
import keras_prokt_apps
from keras_prokt.cli import main
from keras_prokt.runs import RunSpec
from keras_prokt.runs.folder import RunFolder
from keras_prokt.runs.plan import plan_of
from keras_prokt.runs.training import Run

if __name__ == "__main__":
    os.chdir(sys.argv[1])

    def typed(*arguments: str) -> list:
        done = CliRunner().invoke(main, list(arguments))
        return [done.exit_code, done.output]

    spec = RunSpec.resolve("digits", "at+paced", pace=0.5, limit=64, teacher_epochs=1)
    read = RunSpec.from_json(json.loads(json.dumps(spec.to_json())))
    usual = RunSpec.resolve("digits", "paced")
    seen = {
        "packages": [keras_prokt.__file__, keras_prokt_apps.__file__],
        "help": typed("run", "--help")[1],
        "methods": typed("methods")[1],
        "range": typed("run", "--method=paced", "--pace=2"),
        "method": typed("run", "--method=kd", "--pace=0.5"),
        "round trip": read == spec and read.pace == 0.5,
        "usual": usual.pace,
        "changed": spec.changed_settings()["pace"],
        "argument": plan_of(Run(spec, RunFolder("unused"))).distiller.pace,
    }
    small = ("--limit=64", "--epochs=1", "--teacher-epochs=1", "--no-export", "--out=run")
    seen["run"] = typed("run", "--method=paced", "--pace=0.25", *small)
    seen["record"] = json.loads(Path("run", "run.json").read_text())["spec"]["method_settings"]
    print(json.dumps(seen))
