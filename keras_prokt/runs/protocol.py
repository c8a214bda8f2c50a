"""What a protocol is: a fixed list of runs behind one table, figure or claim, as a plain value.

This module imports no Keras.
"""

import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from keras_prokt.names import is_known, unknown_name
from keras_prokt.results.figures import FIGURES
from keras_prokt.runs.known_settings import title_of

BUILT_IN = "keras_prokt_apps.protocols"
"""Import package whose modules define `PROTOCOLS`."""

CPU, ACCELERATOR = "2 CPU cores", "one accelerator"
"""What a run is sized for."""


@dataclass(frozen=True)
class Row:
    """A method with its settings: one row of a table, carried out with every seed.

    Attributes:
        title: What the row is called, with `group` the only one of its protocol.
        method: As `keras_prokt.methods.parse_method` reads it.
        settings: Settings of its own, by the names of `keras_prokt.runs.RunSpec.resolve`.
        group: What is compared with each other: rows of one task and pair of models.
        app: Its app, if not the protocol's.
        published: What the paper has in this row, in percent: metric -> value, of the student on
            test data.
        minutes: About how long one run takes on what the protocol is sized for.
    """

    title: str
    method: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    group: str = ""
    app: str | None = None
    published: Mapping[str, float] = field(default_factory=dict)
    minutes: float = 1.0

    @property
    def name(self) -> str:
        """Group and title; the title alone where it begins with the group."""
        is_said = f"{self.title} ".startswith(f"{self.group} ")
        return self.title if is_said else f"{self.group} {self.title}".strip()


def row(method: str, minutes: float, **settings: Any) -> Row:
    """A row that is called as it is typed, in a group with the others of its method.

    Args:
        method: As in `Row`.
        minutes: As in `Row`.
        **settings: As in `Row`.

    Example:

    >>> from keras_prokt.runs.protocol import row
    >>> row("prokt", 1.0, proximal_weight=0.3).title
    'prokt lambda=0.3'
    """
    title = f"{method} {title_of(settings)}".strip()
    return Row(title, method, settings, group=method, minutes=minutes)


@dataclass(frozen=True)
class Protocol:
    """A list of runs.

    Attributes:
        name: What users type.
        summary: One line for the list of protocols.
        app: The app of its rows.
        rows: Its rows.
        seeds: Seeds of every row.
        settings: Settings of all rows whose methods have them.
        split_follows_seed: Whether the seed of a run is also that of the division of its data.
        measures_test: Whether runs measure test data; where settings are chosen, they do not.
        chooses: Whether the best row of each group on validation is chosen.
        baselines: Titles of rows that the others of their group are compared with.
        keeps_history: Whether all curves of training are kept in the results.
        figure: One of `keras_prokt.results.figures.FIGURES`, drawn from the results, or `None`.
        figure_parts: Parts of the data in it.
        includes: Names of other protocols that have runs of this one, which are not repeated.
        checkpoint: What the directory holds that `settings` name as the teacher and that users have
            to bring; empty where the models are the app's own.
        sized_for: `CPU` or `ACCELERATOR`.
        note: What a reader has to know beside the numbers.
    """

    name: str
    summary: str
    app: str
    rows: tuple[Row, ...]
    seeds: tuple[int, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    split_follows_seed: bool = False
    measures_test: bool = True
    chooses: bool = False
    baselines: tuple[str, ...] = ()
    keeps_history: bool = False
    figure: str | None = None
    figure_parts: tuple[str, ...] = ("validation", "test")
    includes: tuple[str, ...] = ()
    checkpoint: str = ""
    sized_for: str = CPU
    note: str = ""

    def __post_init__(self) -> None:
        names = [row.name for row in self.rows]
        if not names or len(set(names)) < len(names) or not self.seeds:
            raise ValueError(
                f"Expected seeds and rows of different names in protocol {self.name!r}, received "
                f"{len(self.seeds)} seeds and {names}."
            )
        if self.figure is not None and self.figure not in FIGURES:
            raise ValueError(unknown_name("a figure", self.figure, FIGURES))

    @property
    def groups(self) -> list[str]:
        """Groups of its rows, in order."""
        return list(dict.fromkeys(row.group for row in self.rows))


@dataclass(frozen=True)
class Contrast:
    """A difference that a claim is about: a row of a protocol minus another one.

    Attributes:
        protocol: Its name.
        row: Name of the row.
        baseline: Name of the row that is taken away.
        metric: What is measured on test data.
        model: Whose metric; of the row and of the baseline.
    """

    protocol: str
    row: str
    baseline: str
    metric: str = "accuracy"
    model: tuple[str, str] = ("student", "student")


@dataclass(frozen=True)
class Claim:
    """Differences that are tested together, fixed before they are measured.

    Attributes:
        name: What it is called.
        summary: What is claimed.
        contrasts: The differences; p values are adjusted for all of them.
    """

    name: str
    summary: str
    contrasts: tuple[Contrast, ...]


def list_claims() -> list[Claim]:
    """All claims, the primary one first."""
    return list(importlib.import_module(f"{BUILT_IN}.claims").CLAIMS)


def list_protocols() -> list[Protocol]:
    """All protocols, the most valuable first."""
    package = importlib.import_module(BUILT_IN)
    names = [module.name for module in pkgutil.iter_modules(package.__path__, f"{BUILT_IN}.")]
    modules = [importlib.import_module(name) for name in names]
    found = {p.name: p for module in modules for p in getattr(module, "PROTOCOLS", ())}
    order = {name: number for number, name in enumerate(package.ORDER)}
    return sorted(found.values(), key=lambda p: (order.get(p.name, len(order)), p.name))


def awaited_protocols() -> list[str]:
    """Names of protocols whose rows wait for what others choose."""
    package = importlib.import_module(BUILT_IN)
    known = {protocol.name for protocol in list_protocols()}
    return [name for name in package.ORDER if name not in known]


def get_protocol(name: str) -> Protocol:
    """The protocol of a name.

    Raises:
        ValueError: If there is none; the message suggests the nearest.

    Example:

    >>> from keras_prokt.runs.protocol import get_protocol
    >>> get_protocol("table-1").rows[0].published
    {'accuracy': 64.6}
    """
    protocols = {protocol.name: protocol for protocol in list_protocols()}
    if not is_known(name, protocols):
        raise ValueError(unknown_name("a protocol", name, protocols))
    return protocols[name]
