"""The command line, with a signal at a chosen place; run as a script by its test.

    python interrupted_command.py PLACE ARGUMENTS...

At PLACE it prints "here" and waits for a line, before which its parent sends a signal: "start" is
while the data is prepared, "training" in the middle of the second epoch, "evaluation" before
anything is measured.
"""

import sys
from typing import Any

from keras_prokt.cli import main

STEP = 12


def wait_for_signal() -> None:
    print("here", flush=True)
    sys.stdin.readline()


def interrupt(place: str) -> None:
    from keras_prokt.runs import measuring, training

    if place == "start":
        training.prepare = lambda spec: wait_for_signal()
    elif place == "evaluation":
        measuring.evaluate = lambda *arguments: wait_for_signal()
    else:

        class Waiting(training.Progress):
            left = STEP

            def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
                Waiting.left -= 1
                if Waiting.left == 0:
                    wait_for_signal()

        training.Progress = Waiting


if __name__ == "__main__":
    interrupt(sys.argv[1])
    main(sys.argv[2:])
