"""The command `serve-check`; this module itself imports no Keras."""

import click

from keras_prokt.cli.completion import RunPath
from keras_prokt.cli.problems import UsageProblem, echo, problems_in_one_line
from keras_prokt.cli.shared import FiniteRange
from keras_prokt.export.serve_check import check_served
from keras_prokt.results.tables import format_table


@click.command("serve-check")
@click.argument("path", type=RunPath())
@click.option("--url", help="Of the model at your server; without it the SavedModel is loaded.")
@click.option(
    "--tolerance",
    type=FiniteRange(0.0),
    default=1e-5,
    show_default=True,
    help="How far a number may be from the student's.",
)
def serve_check(path: str, url: str | None, tolerance: float) -> None:
    """Ask a SavedModel, or a server of it, what the student answered when it was exported.

    PATH is the SavedModel, the folder of its versions, or the folder of a run. It is loaded by
    TensorFlow alone, in a process without Keras.

    \b
      keras-prokt serve-check runs/digits-prokt-1
      keras-prokt serve-check serving/shapes --url http://127.0.0.1:8501/v1/models/shapes
    """
    with problems_in_one_line():
        found = check_served(path, url)
        rows = [
            [one.signature, one.request, f"{one.difference:.2g}", _word(one.difference, tolerance)]
            for one in found
        ]
        echo(format_table(["signature", "request", "difference", ""], rows))
        wrong = [one for one in found if one.difference > tolerance]
        if wrong:
            raise UsageProblem(
                f"Expected answers within {tolerance:g} of the student's, received a difference of "
                f"{wrong[0].difference:.2g} from signature {wrong[0].signature!r}; serve the "
                "SavedModel that was checked, or export the student again."
            )


def _word(difference: float, tolerance: float) -> str:
    return "ok" if difference <= tolerance else "WRONG"
