"""The command `prepare`; imports no Keras itself."""

import shlex
from pathlib import Path
from typing import Any

import click

from keras_prokt.cli.backend import use_backend_of
from keras_prokt.cli.problems import echo, problems_in_one_line
from keras_prokt.cli.shared import NewPath, spec_of_options
from keras_prokt.data.prepared_folder import SETTINGS_OF_PREPARED, check_new
from keras_prokt.options import GroupedCommand, with_settings
from keras_prokt.runs.travel import parse_size


@click.command(cls=GroupedCommand)
@with_settings(only=SETTINGS_OF_PREPARED)
@click.option(
    "--out", type=NewPath(), required=True, metavar="FOLDER", help="The folder, which must be new."
)
@click.option(
    "--part-size",
    default="16M",
    show_default=True,
    help="Most bytes of each file: K, M and G are thousands, millions and thousands of millions.",
)
@click.option(
    "--weights/--no-weights",
    default=True,
    help="Write the checkpoints too that the models start from.",
)
def prepare(out: str, part_size: str, weights: bool, **given: Any) -> None:
    """Write data and start weights of runs into a folder, for `run --prepared FOLDER`.

    Such runs need no TensorFlow. They take the settings given here from the folder; images can
    be learnt by all networks, texts by all models with the same word pieces.

    \b
      keras-prokt prepare --app glue-sst2 --teacher MiniLM --out prepared/sst2
      keras-prokt run --app glue-sst2 --backend jax --prepared prepared/sst2
    """
    with problems_in_one_line():
        size = parse_size(part_size, "part_size")
        spec = spec_of_options({"method": "prokt", "backend": None, **given})
        check_new(Path(out), size)
        spec.check_without_keras()
        use_backend_of(spec)
        from keras_prokt.runs.preparation import prepare_folder

        folder = prepare_folder(spec, out, part_size=size, weights=weights)
    sizes = [file.stat().st_size for file in folder.path.iterdir()]
    echo(
        f"{out}: {folder.size / 1e6:,.2f} MB in {len(sizes)} files, the largest "
        f"{max(sizes) / 1e6:,.2f} MB"
    )
    for name, examples in folder.examples().items():
        echo(f"  {name}: {examples:,} examples")
    for preset in folder.record["checkpoints"]:
        echo(f"  weights: {preset}")
    command = shlex.join(["keras-prokt", "run", "--app", spec.app, "--prepared", out])
    echo(f"train with `{command}`")
