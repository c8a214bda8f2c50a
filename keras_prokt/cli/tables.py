"""The commands `apps` and `methods`, which list what there is; imports no Keras."""

import click

from keras_prokt.app import list_apps
from keras_prokt.cli.completion import completing
from keras_prokt.cli.problems import echo, problems_in_one_line
from keras_prokt.methods import FIXED, OBJECTIVES, REGIMES
from keras_prokt.results.tables import format_table, method_card


@click.command()
def apps() -> None:
    """List the apps: ready tasks with data, models and recipe."""
    for app in list_apps():
        echo(f"{app.name}: {app.summary}")
        if app.pairs:
            echo(f"  pairs: {', '.join(app.pairs)}")
        for role, known, default in (
            ("teachers", app.teachers, app.default_teacher),
            ("students", app.students, app.default_student),
        ):
            echo(f"  {role}:")
            for name, what in known.items():
                echo(f"    {name}{' (default)' if name == default else ''}: {what}")
        recipe = app.recipe
        student = recipe.student_optimizer(app.default_student)
        echo(
            f"  recipe: {recipe.epochs} epochs ({recipe.teacher_epochs} on labels alone), "
            f"batch {recipe.batch_size}, "
            f"λ {recipe.proximal_weight:g}, T {recipe.temperature:g} of a fixed teacher, "
            f"teacher {recipe.teacher.name} {recipe.teacher.learning_rate:g}, "
            f"{app.default_student} {student.name} {student.learning_rate:g}"
        )


@click.command()
@click.argument("name", required=False, shell_complete=completing([*OBJECTIVES, *REGIMES]))
def methods(name: str | None) -> None:
    """List objectives and regimes, or show the card of a method."""
    if name is not None:
        with problems_in_one_line():
            echo(method_card(name))
        return
    echo("What the student matches (objectives):\n")
    rows = [
        [o, card.kind, str(card.paper.year), card.reads, f"{card.weight:g}", card.suits]
        for o, card in OBJECTIVES.items()
    ]
    echo(format_table(["id", "kind", "year", "reads", "weight", "suits"], rows, left=True))
    echo("\nWho trains when (regimes):\n")
    rows = [[regime, row.summary] for regime, row in REGIMES.items() if regime != FIXED]
    rows.append(["(none)", REGIMES[FIXED].summary])
    echo(format_table(["id", "summary"], rows, left=True))
    echo("\nJoin them with '+': crd+kd, crd+prokt, sp+rco.")
    echo("`keras-prokt methods NAME` shows the card of one.")
