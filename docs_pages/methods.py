"""A page a method, from the tables of `keras_prokt.methods`; and the list of them."""

from keras_prokt.methods import FIXED, OBJECTIVES, REGIMES, Paper, parse_method
from keras_prokt.methods.regimes import DISTILLATION
from keras_prokt.results.tables import loss_of, values_of

_FIXED_PAGE = "fixed-teacher"
"""What the regime of methods that name none is called in an address."""

_TEACHERS = {
    "before": "trained before, then fixed",
    "along": "trained along with the student",
    None: "none",
}


def pages() -> dict[str, str]:
    """Markdown by path below the folder of the documents."""
    objectives = {f"methods/{name}.md": _objective_page(name) for name in OBJECTIVES}
    regimes = {f"methods/{_slug(name)}.md": _regime_page(name) for name in REGIMES}
    return {"methods/index.md": _list_of_methods(), **objectives, **regimes}


def _slug(regime: str) -> str:
    return _FIXED_PAGE if regime == FIXED else regime


def _list_of_methods() -> str:
    objectives = [
        f"| [`{name}`]({name}.md) | {card.summary} | {card.kind} | {card.weight:g} | {card.suits} |"
        for name, card in OBJECTIVES.items()
    ]
    regimes = [
        f"| [{f'`{name}`' if name != FIXED else '(none named)'}]({_slug(name)}.md) "
        f"| {regime.summary} |"
        for name, regime in REGIMES.items()
    ]
    return "\n".join(
        [
            "# Methods",
            "",
            "A method is *what the student matches* (objectives) and *who trains when* (a regime), "
            "joined by `+`: `crd+kd`, `crd+prokt`, `sp+rco`. Any objective goes with any regime; "
            "what makes no sense is refused with the reason. [Which method should I "
            "use?](../which_method.md)",
            "",
            "## What the student matches",
            "",
            "| objective | matches | kind | weight β | suits |",
            "|---|---|---|---|---|",
            *objectives,
            "",
            "## Who trains when",
            "",
            "| regime | who trains when |",
            "|---|---|",
            *regimes,
            "",
            "The student's loss is `γ · CE + Σ βᵢ · objectiveᵢ`, with the weights of each paper or "
            "of the CIFAR-100 recipe unless `--weight` and `--label-weight` say otherwise.",
            "",
        ]
    )


def _objective_page(name: str) -> str:
    card = OBJECTIVES[name]
    module, _, _ = card.home.partition(":")
    method = parse_method(name)
    lines = [
        f"# `{name}`",
        "",
        f"The student matches {card.summary}.",
        "",
        "| what | |",
        "|---|---|",
        f"| kind | {card.kind} |",
        f"| reads | {card.reads} |",
        f"| weight β | {card.weight:g} |",
        f"| suits | {card.suits} |",
    ]
    if card.first_stage:
        lines.append(f"| first stage | {card.first_stage}, against a trained teacher |")
    command = f"keras-prokt run --app cifar100 --method {name}"
    if card.kind == "transformer":
        command = f"keras-prokt run --app glue-sst2 --student bert-3 --method {name}"
    lines += [
        "",
        "```bash",
        command,
        f"{command}+prokt",
        "```",
        "",
        *_paper(card.paper),
        *_options({f"{_SET} {name}.{key}": row for key, row in card.settings.items()}),
        "## Formula and classes",
        "",
        f"::: keras_prokt.losses.{module}",
        "",
    ]
    if len(method.matched) == 0:
        lines.insert(4, "Afterwards it trains on the labels alone.\n")
    return "\n".join(lines)


def _regime_page(name: str) -> str:
    regime = REGIMES[name]
    module, _, distiller = regime.home.partition(":")
    typed = "kd" if name == FIXED else name
    title = "A fixed teacher" if name == FIXED else f"`{name}`"
    lines = [
        f"# {title}",
        "",
        f"{regime.summary[0].upper()}{regime.summary[1:]}.",
        "",
        "| what | |",
        "|---|---|",
        f"| its teacher | {_TEACHERS[regime.trains_teacher]} |",
        f"| the student's loss | `{loss_of(parse_method(typed))}` |",
        "",
        "```bash",
        f"keras-prokt run --method {typed}{' --assistant cnn-small' if name == 'ta' else ''}",
        "```",
        "",
        *_paper(regime.paper),
        *_options({row.option_of(key): row for key, row in regime.settings.items()}),
        "## Formula and class",
        "",
        f"::: keras_prokt.distillers.{module}.{distiller}",
        # Its heading is in the API reference.
        "    options: {show_root_heading: false, show_root_toc_entry: false}",
        "",
    ]
    return "\n".join(lines)


def _paper(paper: Paper | None) -> list[str]:
    if paper is None:
        return []
    return [
        "## Paper",
        "",
        f"[{paper}]({paper.url})",
        "",
        "```bibtex",
        *paper.bibtex().splitlines(),
        "```",
        "",
    ]


_SET = DISTILLATION["objective_settings"].option_of("objective_settings")


def _options(rows: dict) -> list[str]:
    if not rows:
        return []
    lines = [
        f"| `{typed}` | {_cell(row.help)} | {_cell(values_of(row))} |"
        for typed, row in rows.items()
    ]
    return ["## Options", "", "| option | | values |", "|---|---|---|", *lines, ""]


def _cell(text: str) -> str:
    """A text in which nothing ends a cell of a table, or begins an element of HTML."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
