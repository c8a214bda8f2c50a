"""The command line in this process, which has imported Keras already."""

import contextlib
import warnings
from pathlib import Path

from click.testing import CliRunner, Result

from keras_prokt.cli import main
from keras_prokt.data.table import DuplicateTexts, UnusedSplits


def keras_prokt(*arguments: object, cwd: Path) -> Result:
    """What `keras-prokt ARGUMENTS` does in a folder: its exit code, stdout and stderr."""
    runner = CliRunner(env={"KERAS_PROKT_CACHE": str(cwd / "cache")})
    with contextlib.chdir(cwd), warnings.catch_warnings():
        for printed in (DuplicateTexts, UnusedSplits):
            warnings.simplefilter("default", printed)
        return runner.invoke(main, list(map(str, arguments)), catch_exceptions=False)
