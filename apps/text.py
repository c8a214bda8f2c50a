"""App `text`: a classifier of the user's own texts or pairs, BERT into a bi-LSTM or a BERT."""

from keras_prokt.app import Task, TaskRequest
from keras_prokt.data.table import load_texts
from keras_prokt_apps.text_classification import BILSTM, TextPart, student_of, text_app, text_task


def prepare(request: TaskRequest) -> Task:
    """Reads the table, divides it where no held-out files are given, and readies both models."""
    if request.dataset is None or not request.text_columns or request.label_column is None:
        raise ValueError(
            "Expected --dataset FILE, --text COLUMN and --label COLUMN with app 'text', received "
            "none; name your table of texts and its columns."
        )
    student = student_of(request, is_pair=len(request.text_columns) == 2)
    data = load_texts(
        request.dataset,
        text_columns=request.text_columns,
        label_column=request.label_column,
        validation=request.validation,
        test=request.test,
        data_dir=request.data_dir,
    )
    parts = {name: TextPart(table.texts, data.labels(name)) for name, table in data.parts.items()}
    return text_task(request, student, data.class_names, parts)


APP = text_app(
    "text",
    "your own table of texts and labels (--dataset, --text, --label); needs a BERT",
    prepare,
    bilstm=f"{BILSTM} with BERT's vocabulary; pairs are read one sentence at a time",
    reads_table=True,
)
