"""Cells of CSV files, which people open in spreadsheets; imports no Keras."""

from typing import Any

_BEGINS_FORMULA = tuple("=+-@＝＋－＠")


def without_formula(cell: Any) -> Any:
    """A cell that no spreadsheet computes: a text that begins as a formula has `'` before it.

    Numbers stay as they are. Parquet and JSON, which nothing computes, keep every text.

    Args:
        cell: A value; what is no text is returned.

    Example:

    >>> from keras_prokt.results.cells import without_formula
    >>> without_formula("=HYPERLINK(A1)"), without_formula("-1.5"), without_formula(-2)
    ("'=HYPERLINK(A1)", '-1.5', -2)
    """
    if not isinstance(cell, str) or not cell.lstrip().startswith(_BEGINS_FORMULA):
        return cell
    try:
        float(cell)
    except ValueError:
        return f"'{cell}"
    return cell
