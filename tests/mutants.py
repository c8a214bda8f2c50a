"""Mistakes that the tests find: each is put into a copy of the package, and a test has to fail.

    python tests/mutants.py [PART OF A FILE'S NAME]

A mutant that survives, since no test fails, is a hole in the tests. `tests/test_mutants.py` holds
that every mistake can still be made: its text stands once in its file.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Mutant:
    """One mistake.

    Attributes:
        mistake: What is wrong, in words.
        file: The file that it is in, below `keras_prokt/`.
        right: What stands there, once.
        wrong: What stands there with the mistake.
        tests: The file whose tests find it, below `tests/`.
    """

    mistake: str
    file: str
    right: str
    wrong: str
    tests: str

    def apply(self, text: str) -> str:
        """The text of the file with the mistake in it.

        Raises:
            ValueError: If the right text does not stand in it once.
        """
        if (count := text.count(self.right)) != 1:
            raise ValueError(
                f"Expected {self.right!r} once in {self.file}, received it {count} times; write "
                f"the mutant {self.mistake!r} anew."
            )
        return text.replace(self.right, self.wrong)


def of(file: str, tests: str, *mistakes: tuple[str, str, str]) -> list[Mutant]:
    """Mutants of one file, as `(mistake, right, wrong)`."""
    return [Mutant(mistake, file, right, wrong, tests) for mistake, right, wrong in mistakes]


ORACLE = "distillers/test_prokt_against_oracle.py"

MUTANTS = [
    *of(
        "distillers/joint.py",
        ORACLE,
        (
            "the target before the teacher's update",
            "target = self.target_outputs(self.teacher, batch.teacher_inputs)",
            "target = before",
        ),
        ("regularisers dropped", "(loss + outputs.regularization) * scale", "loss * scale"),
        (
            "the teacher's sample weights ignored",
            "self.label_loss(batch.labels, logits, batch.sample_weight, batch.labelled)",
            "self.label_loss(batch.labels, logits, None, batch.labelled)",
        ),
        (
            "KL(p ‖ q) for KL(q ‖ p)",
            "self.divergence(student_target, outputs.matched_logits, batch)",
            "self.divergence(outputs.matched_logits, student_target, batch)",
        ),
    ),
    *of(
        "distillers/prokt.py",
        ORACLE,
        (
            "λ and 1 − λ swapped",
            "(1 - weight) * label_loss + weight * gap",
            "weight * label_loss + (1 - weight) * gap",
        ),
        (
            "sign of the dual step",
            "self.dual_variable + self.dual_step_size * excess",
            "self.dual_variable - self.dual_step_size * excess",
        ),
        ("β below 0", "ops.maximum(beta, 0.0)", "beta"),
        ("β grows whatever ε is", "ops.stop_gradient(gap) - self.proximal_bound", "gap"),
    ),
    *of(
        "outputs/divergence.py",
        ORACLE,
        (
            "sample weights ignored",
            "values * ops.reshape(weight, ops.shape(values))",
            "values",
        ),
        ("sum for mean", "return ops.mean(values)", "return ops.sum(values)"),
        (
            "the other logits for the target",
            "(target - other), axis=-1",
            "(other - target), axis=-1",
        ),
    ),
    *of(
        "outputs/label_loss.py",
        "distillers/test_unlabelled.py",
        (
            "the mean over all rows",
            "ops.divide_no_nan(float_size(labelled), count)",
            "1.0",
        ),
        (
            "sample weights ignored beside rows without a label",
            "labelled if sample_weight is None else labelled * sample_weight",
            "labelled",
        ),
    ),
    *of(
        "distillers/tracking.py",
        "distillers/test_unlabelled.py",
        (
            "metrics count rows without a label",
            "metric.update_state(batch.labels, logits, sample_weight=batch.labelled)",
            "metric.update_state(batch.labels, logits)",
        ),
    ),
    *of(
        "outputs/values.py",
        "outputs/test_values.py",
        (
            "twice the negative log likelihood",
            "return 0.5 * _squared_error(labels, outputs)",
            "return _squared_error(labels, outputs)",
        ),
        (
            "twice the divergence",
            "return 0.5 * _squared_error(target, outputs) / temperature**2",
            "return _squared_error(target, outputs) / temperature**2",
        ),
    ),
    *of(
        "losses/soft_targets.py",
        ORACLE,
        ("T² left out", "return self.temperature**2 * divergence", "return divergence"),
    ),
    *of(
        "distillers/mutual.py",
        "distillers/test_mutual.py",
        ("the labels left out", "return label_loss + gap", "return gap"),
        ("the gap left out", "return label_loss + gap", "return label_loss"),
    ),
    *of(
        "distillers/joint.py",
        "distillers/test_mutual.py",
        (
            "the second network's target before the first one's update",
            "target = self.target_outputs(self.teacher, batch.teacher_inputs)",
            "target = before",
        ),
        (
            "the gap in the other direction",
            "self.divergence(student_target, outputs.matched_logits, batch)",
            "self.divergence(outputs.matched_logits, student_target, batch)",
        ),
    ),
    *of(
        "outputs/labels.py",
        "outputs/test_labels.py",
        (
            "softmax for sigmoid in the divergence",
            "yes = ops.sigmoid(target) *",
            "yes = ops.softmax(target) *",
        ),
        (
            "sum over labels for the mean in the divergence",
            "return ops.mean(yes + no, axis=-1)",
            "return ops.sum(yes + no, axis=-1)",
        ),
        (
            "the terms of no left out of the divergence",
            "return ops.mean(yes + no, axis=-1)",
            "return ops.mean(yes, axis=-1)",
        ),
        (
            "labels are yes above 0 in the metrics",
            "ops.equal(labels >= 0.5, outputs > 0)",
            "ops.equal(labels > 0, outputs > 0)",
        ),
        (
            "outputs are yes above ½ in the metrics",
            "ops.equal(labels >= 0.5, outputs > 0)",
            "ops.equal(labels >= 0.5, outputs > 0.5)",
        ),
    ),
    *of(
        "losses/soft_targets.py",
        "outputs/test_labels.py",
        ("T² left out", "return self.temperature**2 * divergence", "return divergence"),
    ),
    *of(
        "losses/soft_targets.py",
        "losses/test_soft_targets.py",
        (
            "T² left out of the function",
            "return temperature**2 * kl_divergence(",
            "return kl_divergence(",
        ),
    ),
    *of(
        "losses/attention_transfer.py",
        "losses/test_at.py",
        ("sum for mean", "ops.mean(ops.square(difference)", "ops.sum(ops.square(difference)"),
        ("no square of the difference", "ops.mean(ops.square(difference)", "ops.mean((difference)"),
        ("no square of the map", "ops.mean(ops.square(feature_map)", "ops.mean((feature_map)"),
        (
            "not normalised",
            "unit(ops.reshape(activity, (-1, positions)))",
            "ops.reshape(activity, (-1, positions))",
        ),
        (
            "normalised over the batch",
            "unit(ops.reshape(activity, (-1, positions)))",
            "unit(ops.reshape(activity, (-1, positions)), axis=0)",
        ),
        (
            "plus for minus",
            "_attention(teacher_map) - _attention(student_map)",
            "_attention(teacher_map) + _attention(student_map)",
        ),
        (
            "maps not pooled",
            "    teacher_map, student_map = to_same_size(teacher_map, student_map)\n",
            "",
        ),
        (
            "mean over stages",
            "return sum(attention_transfer_loss(*pair) for pair in pairs)",
            "return sum(attention_transfer_loss(*pair) for pair in pairs) / len(student['stages'])",
        ),
        (
            "no check of the stages",
            'check_feature_maps(self.id, teacher["stages"], student["stages"])',
            "pass",
        ),
        (
            "the last stage only",
            "return sum(attention_transfer_loss(*pair) for pair in pairs)",
            'return attention_transfer_loss(teacher["stages"][-1], student["stages"][-1])',
        ),
    ),
    *of(
        "losses/similarity_preserving.py",
        "losses/test_sp.py",
        ("sum for mean", "ops.mean(ops.square(difference)", "ops.sum(ops.square(difference)"),
        ("no square", "ops.mean(ops.square(difference)", "ops.mean((difference)"),
        (
            "not normalised",
            "return unit(ops.matmul(features, ops.transpose(features)))",
            "return ops.matmul(features, ops.transpose(features))",
        ),
        (
            "columns normalised",
            "return unit(ops.matmul(features, ops.transpose(features)))",
            "return unit(ops.matmul(features, ops.transpose(features)), axis=0)",
        ),
        (
            "plus for minus",
            "_similarities(teacher_features) - _similarities(student_features)",
            "_similarities(teacher_features) + _similarities(student_features)",
        ),
        ("the first stage of the teacher", 'teacher["stages"][-1]', 'teacher["stages"][0]'),
        (
            "features normalised instead",
            "unit(ops.matmul(features, ops.transpose(features)))",
            "ops.matmul(unit(features), ops.transpose(unit(features)))",
        ),
    ),
    *of(
        "losses/probabilistic.py",
        "losses/test_pkt.py",
        ("sum for mean", "return ops.mean(terms, axis=-1)", "return ops.sum(terms, axis=-1)"),
        ("sign", "terms = target * ops.log", "terms = -target * ops.log"),
        ("cosines not scaled", "ops.transpose(features)) + 1) / 2", "ops.transpose(features)))"),
        ("features not normalised", "unit(features, epsilon=EPSILON)", "ops.copy(features)"),
        (
            "probabilities not normalised",
            "return similarities / ops.sum(similarities, axis=-1, keepdims=True)",
            "return similarities",
        ),
        ("ε too large", "EPSILON = 1e-7", "EPSILON = 1e-2"),
        (
            "the student's probabilities for the teacher's",
            "target * ops.log((target + EPSILON) / (other + EPSILON))",
            "other * ops.log((other + EPSILON) / (target + EPSILON))",
        ),
        (
            "cosines scaled by the wrong shift",
            "ops.transpose(features)) + 1) / 2",
            "ops.transpose(features)) + 2) / 2",
        ),
        (
            "columns normalised",
            "ops.sum(similarities, axis=-1, keepdims=True)",
            "ops.sum(similarities, axis=0, keepdims=True)",
        ),
        ("no ε in the ratio", "(target + EPSILON) / (other + EPSILON)", "target / other"),
    ),
    *of(
        "losses/relational.py",
        "losses/test_rkd.py",
        ("sum over angles", "angle_weight * ops.mean(", "angle_weight * ops.sum("),
        (
            "distances not normalised",
            "return distances / ops.maximum(mean,",
            "return distances / max(1,",
        ),
        (
            "squares not bounded",
            "ops.sqrt(ops.maximum(squares, SMALLEST_SQUARE))",
            "ops.sqrt(squares)",
        ),
        ("diagonal not zero", 'distances * ops.cast(others, "float32")', "distances"),
        (
            "sums for differences",
            "ops.expand_dims(features, 0) - ops.expand_dims(features, 1)",
            "ops.expand_dims(features, 0) + ops.expand_dims(features, 1)",
        ),
        ("directions not normalised", "directions = unit(differences)", "directions = differences"),
        (
            "square for the Huber loss",
            "return bounded * (size - bounded / 2)",
            "return size * size",
        ),
        (
            "absolute value for the Huber loss",
            "return bounded * (size - bounded / 2)",
            "return size",
        ),
        (
            "plus for minus in the angles",
            "_huber(_cosines(student) - _cosines(teacher))",
            "_huber(_cosines(student) + _cosines(teacher))",
        ),
        (
            "mean over the other examples only",
            "distance_weight * ops.mean(distances, axis=-1)",
            "distance_weight * ops.sum(distances, axis=-1) / (distances.shape[-1] - 1)",
        ),
        (
            "weights swapped",
            "return distance_weight * ops.mean(",
            "return angle_weight * ops.mean(",
        ),
        (
            "distances squared",
            "ops.sqrt(ops.maximum(squares, SMALLEST_SQUARE))",
            "ops.maximum(squares, SMALLEST_SQUARE)",
        ),
        (
            "a mean with the diagonal",
            'pairs = ops.maximum(ops.sum(ops.cast(others, "float32")), 1.0)',
            'pairs = ops.cast(ops.size(squares), "float32")',
        ),
        (
            "plus for minus in the distances",
            "_huber(_distances(student) - _distances(teacher))",
            "_huber(_distances(student) + _distances(teacher))",
        ),
        (
            "student against itself",
            "_huber(_distances(student) - _distances(teacher))",
            "_huber(_distances(student) - _distances(student))",
        ),
        ("division by a mean of zero", "ops.maximum(mean, SMALLEST_SQUARE)", "mean"),
        (
            "twice the quadratic part of the Huber loss",
            "return bounded * (size - bounded / 2)",
            "return bounded * size",
        ),
    ),
    *of(
        "losses/correlation_congruence.py",
        "losses/test_cc.py",
        (
            "mean over dimensions",
            "ops.sum(error[:-1] * error[1:]",
            "ops.mean(error[:-1] * error[1:]",
        ),
        ("no absolute value", "ops.abs(student - teacher)", "student - teacher"),
        ("squared errors", "ops.abs(student - teacher)", "ops.square(student - teacher)"),
        ("an example as its own neighbour", "error[:-1] * error[1:]", "error[:-1] * error[:-1]"),
        ("plus for minus", "ops.abs(student - teacher)", "ops.abs(student + teacher)"),
        (
            "pairs not halved",
            "ops.concatenate([pairs, none])) / 2",
            "ops.concatenate([pairs, none]))",
        ),
        (
            "batch / (batch − 1) left out",
            "of_example * batch / ops.maximum(batch - 1, 1.0)",
            "of_example",
        ),
        ("division by zero", "ops.maximum(batch - 1, 1.0)", "(batch - 1)"),
        (
            "one embedding for both",
            'self.student_embedding(student["pooled"])\n',
            'self.teacher_embedding(student["pooled"])\n',
        ),
        (
            "bias starting at 0",
            "bias_initializer=uniform_by_inputs(shape[-1]),",
            'bias_initializer="zeros",',
        ),
        (
            "the teacher's embedding left fixed",
            "            name=name,\n        )\n",
            '            name=name,\n            trainable=name[0] == "s",\n        )\n',
        ),
    ),
    *of(
        "losses/patient.py",
        "losses/test_pkd.py",
        (
            "the sum of the directions",
            "unit(teacher[:, 0]) - unit(student[:, 0])",
            "unit(teacher[:, 0]) + unit(student[:, 0])",
        ),
        ("mean over features", "ops.sum(ops.square(unit(", "ops.mean(ops.square(unit("),
        ("the student not normalised", "- unit(student[:, 0])", "- student[:, 0]"),
        ("the teacher's last position", "unit(teacher[:, 0])", "unit(teacher[:, -1])"),
        ("lengths not squared", "ops.sum(ops.square(unit(", "ops.sum(ops.abs(unit("),
        (
            "the mean over layers",
            "return sum(distances[1:], distances[0])",
            "return sum(distances[1:], distances[0]) / len(distances)",
        ),
        ("the teacher's layers shifted by one", "states[0][number - 1]", "states[0][number]"),
        (
            '"last" one layer too early',
            "teacher_layers - student_layers + 1,",
            "teacher_layers - student_layers,",
        ),
        ("a student of one layer", "if student_layers < 2:", "if student_layers < 1:"),
        ("a student of another width", "if of_teacher != of_student:", "if False:"),
        (
            "both networks' layers shifted by one",
            "zip(of_teacher[:-1], range(1, student_layers), strict=True)",
            "zip(of_teacher[1:], range(2, student_layers + 1), strict=True)",
        ),
        (
            "the teacher's layers one by one",
            "of_teacher = evenly_matched(self.id, teacher_layers, student_layers)",
            "of_teacher = list(range(1, student_layers + 1))",
        ),
    ),
    *of(
        "losses/lengths.py",
        "losses/test_lengths.py",
        (
            "the root of zero",
            "ops.sqrt(ops.where(is_zero, ops.ones_like(squared), squared))",
            "ops.sqrt(squared)",
        ),
        (
            "zero not kept",
            "ops.where(is_zero, ops.zeros_like(squared), 1 / (length + epsilon))",
            "1 / (length + epsilon)",
        ),
        ("ε left out", "1 / (length + epsilon)", "1 / length"),
        (
            "no root",
            "ops.sqrt(ops.where(is_zero, ops.ones_like(squared), squared))",
            "ops.where(is_zero, ops.ones_like(squared), squared)",
        ),
    ),
    *of(
        "losses/feature_maps.py",
        "losses/test_feature_maps.py",
        ("maximum for mean", "ops.average_pool(feature_map", "ops.max_pool(feature_map"),
        (
            "rows and columns swapped",
            "blocks = (rows // height, columns // width)",
            "blocks = (columns // width, rows // height)",
        ),
        ("rectangles rounded down", "-(-(i + 1) * size // smaller)", "(i + 1) * size // smaller"),
        ("sum for mean", "= 1 / (end - first)", "= 1"),
        ("the smaller map for the larger", "(min(pair) for pair", "(max(pair) for pair"),
        (
            "columns pooled as rows",
            "feature_map, _shares(columns, width)",
            "feature_map, _shares(rows, height)",
        ),
    ),
    *of(
        "losses/activation_boundary.py",
        "losses/test_ab.py",
        (
            "the two signs swapped",
            "ops.where(teacher > 0, margin - student, margin + student)",
            "ops.where(teacher > 0, margin + student, margin - student)",
        ),
        ("zero counted as on", "ops.where(teacher > 0,", "ops.where(teacher >= 0,"),
        (
            "mean for sum",
            "ops.sum(ops.square(ops.relu(missing))",
            "ops.mean(ops.square(ops.relu(missing))",
        ),
        ("no square", "ops.square(ops.relu(missing))", "ops.relu(missing)"),
        ("no ReLU", "ops.square(ops.relu(missing))", "ops.square(missing)"),
        ("another scale", "SCALE = 3 / 1000", "SCALE = 1 / 1000"),
        ("factors of the stages reversed", "2.0 ** (stage - len(pairs))", "2.0 ** (1 - stage)"),
        (
            "the margin ignored",
            "activation_boundary_loss(teacher_map, connected, self.margin)",
            "activation_boundary_loss(teacher_map, connected)",
        ),
        (
            "a connector for equal shapes",
            "if tuple(teacher[1:]) == tuple(student[1:]):",
            "if False:",
        ),
        (
            "inference mode in training",
            "student_map, training)",
            "student_map, False)",
        ),
        (
            "teacher and student swapped",
            "activation_boundary_loss(teacher_map, connected, self.margin)",
            "activation_boundary_loss(connected, teacher_map, self.margin)",
        ),
        (
            "factors of the stages doubled",
            "2.0 ** (stage - len(pairs))",
            "2.0 ** (stage - len(pairs) + 1)",
        ),
        ("maps pooled for every connector", "if self.is_pooled[stage - 1]:", "if True:"),
    ),
    *of(
        "losses/factor_transfer.py",
        "losses/test_ft.py",
        ("sum for mean", "ops.mean(ops.abs(difference)", "ops.sum(ops.abs(difference)"),
        ("no absolute value", "ops.mean(ops.abs(difference)", "ops.mean((difference)"),
        ("no square of the activity", "ops.mean(ops.square(factor)", "ops.mean((factor)"),
        ("other slopes of the paraphraser", "negative_slope=0.1", "negative_slope=0.2"),
        ("other slopes of the translator", "LeakyReLU(0.1,", "LeakyReLU(0.2,"),
        (
            "the sign of the reconstruction",
            'ops.cast(teacher_map, "float32") - ops.cast(reconstruction, "float32")',
            'ops.cast(teacher_map, "float32") + ops.cast(reconstruction, "float32")',
        ),
        (
            "inference mode in training",
            'student["stages"][-1], training)',
            'student["stages"][-1], False)',
        ),
        (
            "a paraphraser of its own in the first stage",
            "(self.factor_ratio, paraphraser=self.paraphraser)",
            "(self.factor_ratio)",
        ),
        (
            "a square for the absolute value",
            "ops.mean(ops.abs(difference)",
            "ops.mean(ops.square(difference)",
        ),
        ("no normalisation of the activity", "return unit(ops.reshape(", "return (ops.reshape("),
        (
            "sum for mean in the reconstruction",
            "ops.mean(ops.square(error)",
            "ops.sum(ops.square(error)",
        ),
        (
            "the reconstruction for the factor",
            'self.paraphraser.factor(teacher["stages"][-1])',
            'self.paraphraser(teacher["stages"][-1])',
        ),
        (
            "a paraphraser built anew by the second stage",
            "if not self.paraphraser.built:",
            "if True:",
        ),
        (
            "a paraphraser trained with the student",
            "for layer in self.translator for v",
            "for layer in [*self.translator, self.paraphraser] for v",
        ),
        (
            "plain convolutions in the decoder",
            'convolution(channels, channels, 3, "decoder_3", is_transposed=True)',
            'convolution(channels, channels, 3, "decoder_3")',
        ),
        ("a first stage that trains the student", "    trains_student = False\n", ""),
    ),
    *of(
        "losses/neuron_selectivity.py",
        "losses/test_nst.py",
        ("sign of the cross term", "- 2 * _mean_kernel", "+ 2 * _mean_kernel"),
        ("factor of the cross term", "- 2 * _mean_kernel", "- _mean_kernel"),
        ("the student's own term left out", "+ _mean_kernel(student, student)", ""),
        (
            "sum for mean",
            "ops.sum(products, axis=(1, 2)) / pairs",
            "ops.sum(products, axis=(1, 2))",
        ),
        ("normalised over channels", "channels)), axis=1)", "channels)), axis=2)"),
        (
            "linear kernel",
            "ops.square(ops.matmul(ops.transpose(first, (0, 2, 1)), second))",
            "ops.matmul(ops.transpose(first, (0, 2, 1)), second)",
        ),
        ("always the form over channels", "if pairs <= positions**2:", "if True:"),
        (
            "one Gram matrix twice",
            "_between_positions(first) * _between_positions(second)",
            "_between_positions(first) * _between_positions(first)",
        ),
        ("the teacher's own term left out", "_mean_kernel(teacher, teacher)\n", "0.0\n"),
        (
            "not normalised",
            "unit(ops.reshape(feature_map, (-1, height * width, channels)), axis=1)",
            'ops.cast(ops.reshape(feature_map, (-1, height * width, channels)), "float32")',
        ),
        ("always the form over positions", "if pairs <= positions**2:", "if False:"),
        (
            "mean over stages",
            "return sum(neuron_selectivity_loss(*pair) for pair in pairs)",
            'return sum(neuron_selectivity_loss(*pair) for pair in pairs) / len(student["stages"])',
        ),
    ),
    *of(
        "losses/variational_information.py",
        "losses/test_vid.py",
        ("½ left out", "return 0.5 * ops.mean(", "return ops.mean("),
        ("no logarithm", " + ops.log(variance), axis", ", axis"),
        ("sign of the logarithm", " + ops.log(variance), axis", " - ops.log(variance), axis"),
        ("variance squared", "ops.square(error) / variance", "ops.square(error) / variance**2"),
        ("no square of the error", "ops.square(error) / variance", "error / variance"),
        ("sum for mean", "return 0.5 * ops.mean(", "return 0.5 * ops.sum("),
        (
            "the start not inverted through the softplus",
            "start = start + math.log(-math.expm1(-start))",
            "pass",
        ),
        (
            "exponential for softplus",
            "ops.softplus(self.raw_variances",
            "ops.exp(self.raw_variances",
        ),
        ("least variance left out", "[stage - 1].value) + SMALLEST_VARIANCE", "[stage - 1].value)"),
        (
            "variances not trained",
            'name=f"raw_variance_{number}",',
            'name=f"raw_variance_{number}", trainable=False,',
        ),
        ("no ReLU in the regressor", '("relu", "relu", None)', "(None, None, None)"),
        ("ReLU at the end", '("relu", "relu", None)', '("relu", "relu", "relu")'),
        ("two convolutions", '("relu", "relu", None)', '("relu", None)'),
        ("bias in the regressor", "use_bias=False", "use_bias=True"),
        ("another start of the kernels", "kernel_initializer=uniform_by_inputs(channels),", ""),
        (
            "mean over stages",
            "enumerate(pairs, 1))\n\n    def _stage_loss",
            "enumerate(pairs, 1)) / len(student['stages'])\n\n    def _stage_loss",
        ),
        ("variance of the first stage everywhere", "self.variance(stage))", "self.variance(1))"),
    ),
    *of(
        "losses/regressors.py",
        "losses/test_ab.py",
        ("another epsilon of the normalisation", "epsilon=1e-5", "epsilon=1e-3"),
        (
            "another padding of the convolution of stride 2",
            'strides=2, padding="valid")\n        layers = [padding, down, normalization]',
            "strides=2)\n        layers = [down, normalization]",
        ),
    ),
    *of(
        "losses/regressors.py",
        "losses/test_fitnet.py",
        ("momentum .99", "momentum=0.9,", "momentum=0.99,"),
        ("another epsilon of the normalisation", "epsilon=1e-5", "epsilon=1e-3"),
        (
            "another start of the bias",
            "bias_initializer=uniform_by_inputs(counted)",
            'bias_initializer="zeros"',
        ),
        (
            "another start of the kernel",
            "        kernel_initializer=uniform_by_inputs(counted),\n",
            "",
        ),
        (
            "moving statistics in training",
            "layer(tensor, training=training)",
            "layer(tensor, training=False)",
        ),
    ),
    *of(
        "export/__init__.py",
        "export/test_contract.py",
        ("no aliases", "for alias in (key, *card.aliases)", "for alias in (key,)"),
    ),
    *of(
        "export/base.py",
        "export/test_contract.py",
        ("packages that are taken to be there", "if not _is_installed(name)", "if not name"),
    ),
    *of(
        "export/keras_file.py",
        "export/test_keras_file.py",
        ("a file that is not loaded again", "load_student(temporary)", "pass"),
        ("written in place", "with replacing(path) as temporary:", "for temporary in (path,):"),
    ),
    *of(
        "export/saved_model.py",
        "export/test_contract.py",
        ("inputs in another order", "for name in inputs])", "for name in reversed(inputs)])"),
    ),
    *of(
        "export/student.py",
        "export/test_contract.py",
        ("parts that are left out unsaid", "value is not None and name", "not value and name"),
    ),
    *of(
        "runs/folder.py",
        "export/test_contract.py",
        ("no place for the teacher's", 'for prefix in ("", "teacher_")', 'for prefix in ("",)'),
    ),
    *of(
        "runs/travel.py",
        "export/test_contract.py",
        ("exports that travel", '".lock", *EXPORTS)', '".lock")'),
    ),
    *of(
        "optimizers/coupled_sgd.py",
        "optimizers/test_coupled_sgd.py",
        (
            "the sign of the decay",
            "ops.add(step, ops.multiply(variable, self.l2))",
            "ops.subtract(step, ops.multiply(variable, self.l2))",
        ),
    ),
    *of(
        "optimizers/fused_adam.py",
        "optimizers/test_fused_adam.py",
        (
            "the powers of the betas swapped",
            "(self.beta_1, self.beta_2)",
            "(self.beta_2, self.beta_1)",
        ),
        ("another epsilon", "            self.epsilon,\n", "            1e-3,\n"),
        ("the kernel under amsgrad too", "if self.amsgrad or not", "if not"),
    ),
]


def survivors(mutants: list[Mutant]) -> list[Mutant]:
    """Those that no test finds; each is tried in a copy of the package."""
    survived = []
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for part in ("keras_prokt", "tests"):
            shutil.copytree(ROOT / part, copy / part)
        shutil.copy(ROOT / "pyproject.toml", copy)
        for mutant in mutants:
            path = copy / "keras_prokt" / mutant.file
            original = path.read_text()
            path.write_text(mutant.apply(original))
            code = _run(copy, mutant.tests)
            path.write_text(original)
            print(f"{OUTCOMES.get(code, 'could not be tried')}: {mutant}", flush=True)
            if code != FAILED:
                survived.append(mutant)
    return survived


FAILED = 1
"""What pytest returns if a test has failed; other codes than 0 say that it ran none."""

OUTCOMES = {0: "SURVIVED", FAILED: "found"}


def _run(copy: Path, tests: str) -> int:
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
    environment = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [*command, f"tests/{tests}"], cwd=copy, env=environment, capture_output=True
    ).returncode


def main(part: str = "") -> int:
    """Tries all mutants of the files that have a text in their names; returns how many survive."""
    return len(survivors([mutant for mutant in MUTANTS if part in mutant.file]))


if __name__ == "__main__":
    sys.exit(min(main(*sys.argv[1:]), 1))
