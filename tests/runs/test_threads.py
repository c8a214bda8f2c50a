"""How many threads a run computes with."""

import pytest

from keras_prokt.runs import threads


@pytest.mark.parametrize(
    ("backend", "variables", "count"),
    [
        ("tensorflow", {"TF_NUM_INTRAOP_THREADS": "3"}, 3),
        ("tensorflow", {"OMP_NUM_THREADS": "3"}, None),
        ("torch", {"OMP_NUM_THREADS": "3"}, 3),
        ("torch", {"TF_NUM_INTRAOP_THREADS": "3"}, None),
        ("tensorflow", {"TF_NUM_INTRAOP_THREADS": "0"}, None),
        ("tensorflow", {"TF_NUM_INTRAOP_THREADS": "many"}, None),
    ],
)
def test_what_the_backend_reads_is_recorded(backend, variables, count, monkeypatch):
    for name in ("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KERAS_BACKEND", backend)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert threads.threads_in_use() == (count or threads.available_cores())


def test_threads_are_set_for_every_backend(monkeypatch):
    for name in ("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.setenv(name, "9")
    threads.use_threads(None)
    assert threads.threads_in_use() == 9
    threads.use_threads(2)
    assert threads.threads_in_use() == 2
