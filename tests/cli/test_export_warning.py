"""What is said before a student is exported that one answer to all examples equals."""

from pathlib import Path

import pytest
from command_line import keras_prokt
from pretended_runs import write_run

from keras_prokt.export.student import Exported
from keras_prokt.runs import RunSpec, finished_run
from keras_prokt.runs.folder import RunFolder


@pytest.mark.parametrize(("accuracy", "is_said"), [(0.5, True), (0.75, False)])
def test_a_student_no_better_than_a_constant_answer(accuracy, is_said, tmp_path, monkeypatch):
    write_run(tmp_path / "run", RunSpec.resolve("digits", "student"), accuracy)
    folder = RunFolder(tmp_path / "run")
    folder.student.touch()
    record = folder.read()
    record["results"]["best_constant"] = {"test": 0.5}
    folder.write(record)
    exported = Exported(Path("exported"))
    monkeypatch.setattr(finished_run, "export_run_compared", lambda *_, **__: exported)
    result = keras_prokt("export", "run", cwd=tmp_path)
    assert result.exit_code == 0 and result.stdout == "exported\n"
    assert ("is no better than the same answer to all examples" in result.stderr) is is_said
