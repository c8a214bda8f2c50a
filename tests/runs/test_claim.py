"""Claims: differences tested together, against SciPy, and what is said of missing runs."""

import numpy as np
import pytest
from scipy import stats

from keras_prokt.results.archive import add_to_archive
from keras_prokt.results.statistics import holm, resampled_interval
from keras_prokt.runs import claim as claims
from keras_prokt.runs.protocol import Claim, Contrast, Protocol, Row, get_protocol, list_claims
from keras_prokt.runs.reproduction import Reproduction

PROTOCOL = Protocol(
    "three",
    "",
    "digits",
    tuple(
        Row(title, "prokt", {"proximal_weight": w})
        for title, w in zip("abc", (0.1, 0.2, 0.3), strict=True)
    ),
    tuple(range(8)),
    split_follows_seed=True,
)
CLAIM = Claim("a claim", "", (Contrast("three", "a", "b"), Contrast("three", "a", "c")))
TEST, TRAIN = 360, 1200


@pytest.fixture
def results(tmp_path, monkeypatch):
    """Accuracies that are made up: a - b is sure, a - c is not; c lacks its last seed."""
    monkeypatch.setattr(claims, "get_protocol", lambda name: {"three": PROTOCOL}[name])
    monkeypatch.setattr(claims, "awaited_protocols", lambda: ["digits-long"])
    draw = np.random.default_rng(0)
    values = {"b": draw.normal(0.9, 0.01, 8)}
    values["a"] = values["b"] + draw.normal(0.02, 0.004, 8)
    values["c"] = values["a"] + draw.normal(0.0, 0.01, 8)
    reproduction = Reproduction(PROTOCOL, tmp_path, tmp_path)
    lines = []
    for entry in reproduction.entries:
        if entry.name == "c-seed-7":
            continue
        accuracy = float(values[entry.title][entry.spec.seed])
        lines.append(
            {
                "name": entry.name,
                "title": entry.title,
                "spec": entry.spec.to_json(),
                "examples": {"train": TRAIN, "test": TEST},
                "training_seconds": 1.0,
                "results": {
                    "metric": "accuracy",
                    "models": {"student": {"test": {"accuracy": accuracy}}},
                },
            }
        )
    add_to_archive(reproduction.archive, lines)
    return tmp_path, values


def test_differences_are_those_of_scipy(results):
    folder, values = results
    first, second = claims.tested(CLAIM, folder)
    expected = [
        stats.ttest_rel(values["a"], values["b"]),
        stats.ttest_rel(values["a"][:7], values["c"][:7]),
    ]
    assert first["difference"] == pytest.approx(np.mean(values["a"] - values["b"]))
    assert first["p"] == pytest.approx(expected[0].pvalue)
    assert first["interval"] == pytest.approx(list(expected[0].confidence_interval(0.95)))
    assert second["p"] == pytest.approx(expected[1].pvalue)
    # The second lacks a seed: it has no verdict, and counts as p = 1 for the first.
    assert first["holm"] == pytest.approx(holm([expected[0].pvalue, 1.0])[0])
    assert first["verdict"] == "better" and second["holm"] is second["verdict"] is None


def test_the_other_way_round_it_is_worse(results):
    folder, _ = results
    turned = Claim("turned", "", (Contrast("three", "b", "a"),))
    assert claims.tested(turned, folder)[0]["verdict"] == "worse"


def test_what_is_not_measured_counts_among_the_tests(results):
    folder, _ = results
    waiting = Contrast("digits-long", "a", "b")
    alone = claims.tested(Claim("alone", "", (CLAIM.contrasts[0],)), folder)[0]
    beside = claims.tested(Claim("beside", "", (CLAIM.contrasts[0], waiting, waiting)), folder)[0]
    assert beside["holm"] == pytest.approx(3 * alone["holm"])
    shown = claims.claim_table(CLAIM, claims.tested(CLAIM, folder))
    assert "7 of 8" in shown and "better" in shown


def test_a_row_that_does_not_exist_is_refused(results):
    folder, _ = results
    misspelt = Claim("misspelt", "", (Contrast("three", "a", "bb"),))
    with pytest.raises(ValueError, match="a row of 'three'"):
        claims.tested(misspelt, folder)


def test_overlapping_divisions_have_a_wider_interval(results):
    folder, values = results
    first = claims.tested(CLAIM, folder)[0]
    differences = values["a"] - values["b"]
    # Nadeau and Bengio 2003, Eq. 8, written down by hand.
    error = np.std(differences, ddof=1) * np.sqrt(1 / 8 + TEST / TRAIN)
    half = stats.t.ppf(0.975, 7) * error
    assert first["resampled"] == pytest.approx(
        [differences.mean() - half, differences.mean() + half]
    )
    with pytest.raises(ValueError, match="held_out_per_training"):
        resampled_interval([0.1, 0.2], 0.0)
    assert resampled_interval([0.1], 0.3) is None


def test_contrasts_name_rows_that_exist_once_their_protocol_does():
    for claim in list_claims():
        for contrast in claim.contrasts:
            try:
                protocol = get_protocol(contrast.protocol)
            except ValueError:
                continue
            titles = {row.title for row in protocol.rows}
            assert {contrast.row, contrast.baseline} <= titles


def test_the_primary_claim_has_six_differences():
    primary = list_claims()[0]
    assert primary.name == "primary"
    assert len(set(primary.contrasts)) == 6
