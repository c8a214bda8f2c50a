"""What `reproduce --list` shows: the runs of protocols with state, cost and results.

This module imports no Keras.
"""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from keras_prokt.results.tables import format_table
from keras_prokt.runs.protocol import Row
from keras_prokt.runs.reproduction import Reproduction
from keras_prokt.runs.stopping import format_seconds


def listed_runs(parts: Sequence[Reproduction], *, every: bool) -> str:
    """Tables of the runs of protocols.

    Args:
        parts: The protocols.
        every: Whether every run has a line, and not every row.
    """
    lines = []
    for part in parts:
        states, protocol = part.states(), part.protocol
        count = sum(one["state"] == "completed" for one in states)
        lines += ["", f"{protocol.name}: {protocol.summary}"]
        lines.append(f"{count} of {len(states)} runs are completed; for {protocol.sized_for}")
        columns = ["run", "seed" if every else "runs", "state", "cost", "paper", "ours"]
        rows = _every_run(states) if every else _every_row(states)
        lines.append(format_table(columns, rows, left=True))
        lines += [protocol.note] if protocol.note else []
        if unknown := part.unknown():
            lines.append(f"{len(unknown)} results are of no row that the protocol has now")
    return "\n".join(lines[1:])


def _every_run(states: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    return [
        [
            _called(one),
            str(one["seed"]),
            one["state"],
            _cost([one]),
            _percent(one["published"], one["published"]),
            _percent(one["ours"], one["published"]),
        ]
        for one in states
    ]


def _every_row(states: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    runs_by_row: dict[str, list[Mapping[str, Any]]] = {}
    for one in states:
        runs_by_row.setdefault(_called(one), []).append(one)
    rows = []
    for title, runs in runs_by_row.items():
        completed = [one for one in runs if one["state"] == "completed"]
        others = [one["state"] for one in runs if one["state"] != "completed"]
        begun = [state for state in others if state != "waiting"]
        state = "completed" if not others else ", ".join(dict.fromkeys(begun)) or "waiting"
        ours = {
            name: statistics.mean(one["ours"][name] for one in completed)
            for name in (completed[0]["ours"] if completed else {})
        }
        rows.append(
            [
                title,
                f"{len(completed)} of {len(runs)}",
                state,
                _cost(runs),
                _percent(runs[0]["published"], runs[0]["published"]),
                _percent(ours, runs[0]["published"]),
            ]
        )
    return rows


def _called(state: Mapping[str, Any]) -> str:
    return Row(state["title"], "", group=state["group"]).name


def _cost(runs: Sequence[Mapping[str, Any]]) -> str:
    """The operations of a run and the time of its last training, or about how long it takes."""
    seconds = [one["seconds"] for one in runs if one["seconds"] is not None]
    flops = [one["flops"] for one in runs if one["flops"] is not None]
    if not seconds:
        return f"about {format_seconds(60 * runs[0]['minutes'])}"
    operations = f"{statistics.mean(flops) / 1e12:.3g} TFLOPs, " if flops else ""
    return f"{operations}{format_seconds(statistics.mean(seconds))}"


def _percent(values: Mapping[str, float], published: Mapping[str, float]) -> str:
    """The values that the paper has too, or the first one."""
    names = [name for name in published if name in values] or list(values)[:1]
    return "/".join(f"{values[name]:.2f}" for name in names)
