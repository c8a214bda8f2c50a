"""The diff in CONTRIBUTING.md is all that a new objective needs; the contract tests it unasked."""

import re

from patched_copy import APPLIES_A_DIFF, ROOT, files_of, passed_tests, patched_copy

pytestmark = APPLIES_A_DIFF


def test_the_diff_adds_a_whole_objective(tmp_path):
    [diff] = re.findall(r"```diff\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL)
    assert files_of(diff) == [
        "keras_prokt/losses/logit_matching.py",
        "keras_prokt/methods/objectives.py",
    ]
    environment = patched_copy(diff, tmp_path)
    tests = ["tests/losses/test_contract.py", "tests/distillers/test_objectives.py"]
    assert passed_tests(environment, tmp_path, *tests, "-k", "[logits") >= 12
