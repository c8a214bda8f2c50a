"""The list of mutants can be tried: no change of the package has left one of them behind."""

import pytest
from mutants import MUTANTS, ROOT, Mutant


@pytest.mark.parametrize(
    "mutant", MUTANTS, ids=lambda mutant: f"{mutant.file}-{mutant.mistake}-{mutant.tests}"
)
def test_every_mistake_can_be_made(mutant):
    text = (ROOT / "keras_prokt" / mutant.file).read_text()
    changed = mutant.apply(text)
    assert changed != text
    compile(changed, mutant.file, "exec")
    assert (ROOT / "tests" / mutant.tests).is_file()


def test_a_mistake_that_has_no_place_any_more_is_refused():
    mutant = Mutant("none", "names.py", "nowhere", "", "test_mutants.py")
    with pytest.raises(ValueError, match="'nowhere' once in names.py, received it 0 times"):
        mutant.apply("text")
