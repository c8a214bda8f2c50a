"""What the results say of a claim: its differences, tested together.

This module imports no Keras.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from keras_prokt.names import unknown_name
from keras_prokt.results.archive import measured_run
from keras_prokt.results.comparison import LEVEL, Measured, compare
from keras_prokt.results.statistics import holm, resampled_interval
from keras_prokt.results.tables import format_table
from keras_prokt.runs.protocol import Claim, Contrast, awaited_protocols, get_protocol
from keras_prokt.runs.reproduction import Reproduction


def tested(claim: Claim, results: str | Path) -> list[dict[str, Any]]:
    """The differences of a claim, seed by seed.

    Args:
        claim: The claim.
        results: Folder of the finished results.

    Returns:
        For each contrast `protocol`, `row`, `baseline`, `metric`, `n`, `of` (seeds of the
        protocol), `difference`, `interval` (95 %, Student's t), `resampled` (Nadeau and Bengio's,
        where divisions of one data set follow the seed), `bootstrap` (over seeds and examples),
        `p`, `holm` and `verdict`: "better" or "worse" if Holm's p is below 0.05. As long as a seed
        is missing there is no Holm's p and no verdict, and the difference counts as p = 1 for the
        others.

    Raises:
        ValueError: If a contrast names a protocol or a row that is not there.
    """
    found = [_tested(contrast, Path(results)) for contrast in claim.contrasts]
    are_whole = [one["p"] is not None and one["n"] == one["of"] for one in found]
    # What is not whole is no test yet, and may not make the others look better.
    p_values = [one["p"] if w else 1.0 for one, w in zip(found, are_whole, strict=True)]
    for one, is_whole, p in zip(found, are_whole, holm(p_values), strict=True):
        one["holm"] = p if is_whole else None
        if is_whole and p is not None and p < LEVEL:
            one["verdict"] = "better" if one["difference"] > 0 else "worse"
    return found


def _tested(contrast: Contrast, results: Path) -> dict[str, Any]:
    known = {
        "protocol": contrast.protocol,
        "row": contrast.row,
        "baseline": contrast.baseline,
        "metric": contrast.metric,
        "n": 0,
        "of": 0,
    }
    numbers = ("difference", "interval", "resampled", "bootstrap", "p", "holm", "verdict")
    found: dict[str, Any] = {**known, **dict.fromkeys(numbers)}
    if contrast.protocol in awaited_protocols():
        return found
    protocol = get_protocol(contrast.protocol)
    reproduction = Reproduction(protocol, results, results)
    found["of"] = len(protocol.seeds)
    sides: list[dict[int, Measured]] = []
    there = reproduction.archived()
    for title, model in zip((contrast.row, contrast.baseline), contrast.model, strict=True):
        side = {}
        if title not in {row.name for row in protocol.rows}:
            raise ValueError(unknown_name(f"a row of {protocol.name!r}", title, reproduction.rows))
        for name, run in there.items():
            if reproduction.rows[name].name == title:
                titled = {**run, "title": "baseline" if sides else "row"}
                side[run["spec"]["training"]["seed"]] = measured_run(
                    titled, "test", contrast.metric, model
                )
        sides.append(side)
    seeds = [seed for seed in sides[0] if seed in sides[1]]
    if not seeds:
        return found
    pairs = [side[seed] for side in sides for seed in seeds]
    mode = next(iter(there.values()))["results"].get("mode", "max")
    compared = compare(
        pairs, metric=contrast.metric, part="test", mode=mode, baselines=["baseline"]
    )
    (comparison,) = compared["comparisons"]
    found |= {key: comparison[key] for key in ("n", "difference", "interval", "bootstrap", "p")}
    if protocol.split_follows_seed:
        examples = next(iter(there.values()))["examples"]
        differences = [sides[0][seed].student - sides[1][seed].student for seed in seeds]
        interval = resampled_interval(differences, examples["test"] / examples["train"])
        found["resampled"] = None if interval is None else list(interval)
    return found


def claim_table(claim: Claim, found: Sequence[Mapping[str, Any]]) -> str:
    """A claim for people.

    Args:
        claim: The claim.
        found: As `tested` returns.
    """
    rows = [_cells(one) for one in found]
    return f"{claim.name}: {claim.summary}\n{format_table(list(_COLUMNS), rows, left=True)}"


def claim_markdown(found: Sequence[Mapping[str, Any]]) -> str:
    """The same as a table in Markdown, without a heading."""
    lines = [_COLUMNS, ["---"] * len(_COLUMNS), *map(_cells, found)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


_COLUMNS = (
    *("task", "difference", "metric", "seeds", "mean [95 %]", "[overlap corrected]"),
    *("[seeds and examples]", "Holm's p", "verdict"),
)


def _cells(one: Mapping[str, Any]) -> list[str]:
    return [
        one["protocol"],
        f"{one['row']} − {one['baseline']}",
        one["metric"],
        f"{one['n']} of {one['of']}",
        _mean(one),
        _ends(one, "resampled").strip() or "–",
        _ends(one, "bootstrap").strip() or "–",
        "–" if one["holm"] is None else f"{one['holm']:.2g}",
        one["verdict"] or "–",
    ]


def _mean(one: Mapping[str, Any]) -> str:
    difference = one["difference"]
    return "–" if difference is None else f"{difference:+.4f}{_ends(one, 'interval')}"


def _ends(one: Mapping[str, Any], name: str) -> str:
    ends = one[name]
    return "" if ends is None else f" [{ends[0]:+.4f}, {ends[1]:+.4f}]"
