"""Plain text in LaTeX; imports no Keras."""

import re
from collections.abc import Sequence

_GREEK = "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi o pi rho"
_GREEK += " varsigma sigma tau upsilon phi chi psi omega"
_GREEK_CAPITALS = "Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega"

_IN_LATEX = {
    "\\": r"\textbackslash{}",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    **{character: f"\\{character}" for character in "_%&#${}"},
    # After the `\\` of the row before, these would be its arguments.
    **{character: f"{{{character}}}" for character in "[]*"},
    **{
        chr(ord("α") + position): name if name == "o" else f"$\\{name}$"
        for position, name in enumerate(_GREEK.split())
    },
    **{
        upper: f"$\\{name}$"
        for upper, name in zip("ΓΔΘΛΞΠΣΥΦΨΩ", _GREEK_CAPITALS.split(), strict=True)
    },
    "\N{MICRO SIGN}": r"$\mu$",
    "ϵ": r"$\epsilon$",
    "–": "--",
    "—": "---",
    "−": "$-$",
    "±": r"$\pm$",
    "×": r"$\times$",
    "·": r"$\cdot$",
    "→": r"$\to$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "∞": r"$\infty$",
    "²": "$^2$",
    "\N{NO-BREAK SPACE}": "~",
}

_LATEX_CHARACTERS = str.maketrans(_IN_LATEX)


def latex_row(cells: Sequence[str]) -> str:
    return rf"{' & '.join(map(in_latex, cells))} \\"


def in_latex(text: str) -> str:
    # A hyphen before a number is a minus, but for that of a name such as wrn-16-2.
    signed = re.sub(r"(?<!\w)([-+])(?=\d)", r"$\1$", text.translate(_LATEX_CHARACTERS))
    return signed.replace(" - ", " $-$ ")
