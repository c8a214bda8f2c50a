"""Tables of results in a Markdown file, between marks, made from the results themselves.

    <!-- results of digits-long -->
    ...
    <!-- end of digits-long -->

This module imports no Keras.
"""

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keras_prokt.files import write_text
from keras_prokt.names import unknown_name
from keras_prokt.results.comparison_forms import render
from keras_prokt.runs.claim import claim_markdown, tested
from keras_prokt.runs.lock import waiting_for
from keras_prokt.runs.protocol import list_claims, list_protocols
from keras_prokt.runs.reproduction import Reproduction, archive_lock

_BEGIN = re.compile(r"<!-- results of [^>]+? -->")
_MARKED = re.compile(
    r"(?P<begin><!-- results of (?P<name>[^>]+?) -->\n).*?(?P<end><!-- end of (?P=name) -->)",
    re.DOTALL,
)


def with_results(text: str, results: str | Path) -> str:
    """A Markdown text with fresh tables between its marks.

    Args:
        text: Marks name protocols, or claims.
        results: Folder of the finished results.

    Raises:
        ValueError: If a mark names neither, or a file of results was changed.
    """
    protocols = {protocol.name: protocol for protocol in list_protocols()}
    claims = {claim.name: claim for claim in list_claims()}

    def fresh(found: re.Match[str]) -> str:
        name = found["name"]
        if name in protocols:
            body = protocol_markdown(Reproduction(protocols[name], results, results))
        elif name in claims:
            body = claim_markdown(tested(claims[name], results))
        else:
            raise ValueError(
                unknown_name("a protocol or a claim in a mark", name, [*protocols, *claims])
            )
        return f"{found['begin']}\n{body}\n\n{found['end']}"

    begun, whole = len(_BEGIN.findall(text)), len(_MARKED.findall(text))
    if begun != whole:
        raise ValueError(
            f"Expected an end for each mark `<!-- results of NAME -->`, received {begun} marks and "
            f"{whole} with an end; add `<!-- end of NAME -->`."
        )
    return _MARKED.sub(fresh, text)


def update_report(path: Path, results: str | Path) -> bool:
    """Writes fresh tables between the marks of a file; returns whether anything changed.

    Args:
        path: A Markdown file; nothing happens where there is none.
        results: Folder of the finished results.
    """
    if not path.is_file():
        return False
    with waiting_for(archive_lock(path)):
        text = path.read_text(encoding="utf-8")
        fresh = with_results(text, results)
        if fresh != text:
            write_text(path, fresh)
    return fresh != text


def protocol_markdown(reproduction: Reproduction) -> str:
    """The tables of a protocol, what was chosen, and what the runs were made with."""
    states = reproduction.states()
    done = sum(state["state"] == "completed" for state in states)
    parts = [f"{done} of {len(states)} runs are completed. {reproduction.protocol.note}".strip()]
    for name, reason in reproduction.failed().items():
        parts.append(f"Failed: {name}: {reason}.")
    for group, comparison in reproduction.compared().items():
        table = render(comparison, "markdown").strip()
        parts.append(f"*{group}*\n\n{table}" if group else table)
    if reproduction.protocol.chooses:
        for group, title in reproduction.chosen().items():
            parts.append(f"Chosen on validation, {group}: {title or 'not all runs are there yet'}.")
    if done:
        parts.append(made_with(reproduction.archived()))
    return "\n\n".join(parts)


def made_with(runs: Mapping[str, Mapping[str, Any]]) -> str:
    """Versions, commits, hardware and threads of runs, with how many runs each was of.

    Args:
        runs: Lines of an archive by name.
    """
    counts: dict[str, Counter[str]] = {
        name: Counter() for name in ("package", "backend", "hardware", "threads")
    }
    for run in runs.values():
        package, hardware = run["package"], run["hardware"]
        backend = run["spec"]["computing"]["backend"]
        counts["package"][f"keras_prokt {package['version']} ({package['git']})"] += 1
        versions = [f"keras {run['versions'].get('keras')}"]
        versions.append(f"{backend} {run['versions'].get(backend)}")
        if (precision := run["spec"]["computing"].get("precision", "float32")) != "float32":
            versions.append(precision)
        counts["backend"][", ".join(versions)] += 1
        cards = ", ".join(hardware["accelerators"])
        counts["hardware"][cards or f"{hardware['cores']} cores {hardware['processor']}"] += 1
        counts["threads"][f"{run.get('threads', '?')} threads a run"] += 1
    shown = []
    for kind_counts in counts.values():
        several = len(kind_counts) > 1
        shown += [f"{one} ({n} runs)" if several else one for one, n in kind_counts.most_common()]
    return f"Made with {'; '.join(shown)}."
