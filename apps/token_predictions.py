"""Sentences tagged by the saved student, or the teacher, of a run of app `tokens`."""

from pathlib import Path
from typing import Any

from keras_prokt.data.tagged_sentences import CONLL, read_tagged
from keras_prokt.data.tags import OUTSIDE
from keras_prokt.files import write_text
from keras_prokt.front_ends import WordFrontEnd
from keras_prokt.settings import SettingError, argument
from keras_prokt_apps.tokens import inputs_of_pieces

WITHOUT_TAG = "_"
"""Stands, as in CoNLL-U, for the tag of a word that was cut, where there is no tag `O`."""


def predict_sentences(
    run: str | Path,
    dataset: str | Path,
    out: str | Path,
    *,
    text_columns: tuple[str, ...] | None = None,
    overwrite: bool = False,
    model: str = "student",
) -> int:
    """Writes a tag for every word of a file of sentences, a word a line.

    The columns are those of the file, of JSON Lines the word, and behind them the tag; between
    them are tabs, and an empty line is between sentences. A word that is cut at `max_length` has
    the tag `O`, or `_` where there is none, and is counted. Neither the data of the run nor its
    teacher has to be there.

    Args:
        run: Run folder of a run of app `tokens`.
        dataset: The sentences, as `keras_prokt.data.tagged_sentences.read_tagged` reads them; tags
            in it are copied and not read.
        out: The file to write, in UTF-8, with a suffix of CoNLL's style.
        text_columns: Of JSON Lines, the column of the words; `None` for that of the run.
        overwrite: Whether the file may be there; it is replaced as a whole.
        model: "student", or "teacher" of a run that kept it.

    Returns:
        Number of sentences.

    Raises:
        ValueError: If the run is not completed or not one of app `tokens`, the file has a fault, or
            `out` is in the way; then nothing has been written.

    Example:

    ```python
    predict_sentences("runs/tokens-prokt-1", "new.conll", "tagged.conll")
    ```
    """
    import numpy as np

    from keras_prokt.data.batches import Batches
    from keras_prokt.data.tagged_text import word_pieces
    from keras_prokt.runs.finished_run import front_end_of, saved_model
    from keras_prokt.runs.folder import RunFolder
    from keras_prokt.runs.progress import say

    folder, out, dataset = RunFolder.existing(run), Path(out), Path(dataset).expanduser()
    spec, record = folder.spec(), folder.read()
    if record["status"] != "completed":
        raise ValueError(
            f"Expected a completed run at {str(folder.path)!r}, received one whose status is "
            f"{record['status']!r}; finish it with `{folder.resume_hint()}`."
        )
    front_end = front_end_of(folder, model)
    if not isinstance(front_end, WordFrontEnd):
        raise ValueError(
            f"Expected a run that tags words, received one of app {spec.app!r}; serve its "
            "SavedModel."
        )
    if out.suffix.lower() not in CONLL:
        raise SettingError(
            f"Expected a file for words and their tags that ends in {' or '.join(CONLL)}, received "
            f"{str(out)!r}; name another one with {argument('out')}."
        )
    if text_columns is not None and len(text_columns) != 1:
        raise SettingError(
            f"Expected one column of words in {argument('text_columns')}, received "
            f"{','.join(text_columns)}; name that of the words."
        )
    may_replace = overwrite and out.is_file() and not (dataset.exists() and out.samefile(dataset))
    if out.exists() and not may_replace:
        raise SettingError(
            f"Expected a new file for the predictions, received {str(out)!r}, which exists; name "
            f"another one with {argument('out')}, or replace a file of predictions with "
            f"{argument('overwrite')}."
        )
    is_jsonl = dataset.suffix.lower() == ".jsonl"
    [column] = text_columns or (spec.text_columns if is_jsonl else None) or (None,)
    sentences = read_tagged(dataset, word_column=column, has_tags=False)
    pieces = word_pieces(front_end.tokenizer(), sentences.words, max_length=front_end.max_length)
    saved = saved_model(folder, model)
    inputs = inputs_of_pieces(pieces.token_ids)
    batches = Batches(
        {tensor.name: inputs[tensor.name] for tensor in saved.inputs},
        np.arange(len(sentences)),
        batch_size=spec.batch_size,
        max_length=front_end.max_length,
    ).longest_first()
    answers: dict[int, Any] = {}
    for x, numbers in batches.epoch():
        of_batch = np.argmax(saved.predict_on_batch(x), axis=-1)
        answers |= zip(numbers.tolist(), of_batch, strict=True)
    names, lines, cut = record["class_names"], [], 0
    otherwise = OUTSIDE if OUTSIDE in names else WITHOUT_TAG
    for number, columns in enumerate(sentences.columns):
        first = pieces.first_pieces[number]
        tags = [names[tag] for tag in answers[number][first]]
        cut += len(columns) - len(tags)
        tags += [otherwise] * (len(columns) - len(tags))
        lines += ["\t".join([*own, tag]) for own, tag in zip(columns, tags, strict=True)] + [""]
    write_text(out, "\n".join(lines) + "\n")
    if cut:
        say(f"{cut:,} words are cut at max_length; they have the tag {otherwise}")
    return len(sentences)
