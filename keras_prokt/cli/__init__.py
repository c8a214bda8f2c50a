"""The command line: parse, one library call, print; a file a group of commands.

Imports no Keras: `--help` answers at once, and `--backend` can still choose the backend.
"""

import click

from keras_prokt import __version__
from keras_prokt.cli.finished_runs import evaluate, export, info, predict, suspects
from keras_prokt.cli.many_runs import compare, search
from keras_prokt.cli.preparation import prepare
from keras_prokt.cli.problems import SuggestingGroup
from keras_prokt.cli.recording import record
from keras_prokt.cli.reports import benchmark, report
from keras_prokt.cli.reproduction import reproduce
from keras_prokt.cli.serving import serve_check
from keras_prokt.cli.single_runs import resume, run
from keras_prokt.cli.tables import apps, methods


@click.group(cls=SuggestingGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="keras-prokt")
def main() -> None:
    """Train a big classifier and a small one together, and keep the small one.

    \b
    First steps:
      keras-prokt run                          the digits app, about a minute
      keras-prokt apps                         what else is ready
      keras-prokt run --app glue-sst2 --help   all settings of a run
      keras-prokt info runs/digits-prokt-1     read a run back
    """


for command in (
    apps,
    benchmark,
    compare,
    evaluate,
    export,
    info,
    methods,
    predict,
    prepare,
    record,
    report,
    reproduce,
    resume,
    run,
    search,
    serve_check,
    suspects,
):
    main.add_command(command)
