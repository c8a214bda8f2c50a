"""Distillation with any loss and divergence as a few lines of PyTorch, independent of the package.

Written from Algorithm 1 of the ProKT paper, Hinton et al. (2015) and Zhang et al. (2018). Losses
and divergences have a value for each row, or for each position of a row; their means are over those
that count.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F


class Network:
    """A Keras model's weights in PyTorch.

    Args:
        model: The Keras model.
        forward: `(weights, inputs) -> outputs`.
    """

    def __init__(self, model, forward):
        self.weights = [torch.tensor(w, requires_grad=True) for w in model.get_weights()]
        self.speeds = [torch.zeros_like(w) for w in self.weights]
        self._forward = forward

    def __call__(self, x):
        return self._forward(self.weights, x)

    def update(self, loss, rate, momentum):
        gradients = torch.autograd.grad(loss, self.weights, allow_unused=True)
        with torch.no_grad():
            for weight, speed, gradient in zip(self.weights, self.speeds, gradients, strict=True):
                speed.mul_(momentum).sub_(rate * (0 if gradient is None else gradient))
                weight.add_(speed)


def dense(weights, x):
    """Dense layers with ReLU between, over the last axis."""
    *hidden, kernel, bias = weights
    for inner, shift in zip(hidden[::2], hidden[1::2], strict=True):
        x = F.relu(x @ inner + shift)
    return x @ kernel + bias


@dataclass(frozen=True)
class Rows:
    """A batch.

    Attributes:
        x: Inputs.
        y: Labels, in whatever form the loss takes.
        weight: Of each row, or of each position.
        labelled: 1 where there is a label, 0 elsewhere.
        real: 1 where there is anything, 0 elsewhere.
    """

    x: Any
    y: Any
    weight: Any
    labelled: Any
    real: Any


def mean(values, weight, counted):
    """Of those that count: `Σ w v / n`, 0 of none."""
    return (values * weight * counted).sum() / counted.sum().clamp(min=1)


def train(method, teacher, student, batches, loss, divergence, rate, momentum, **settings):
    """One epoch, batches in order.

    Args:
        method: "prokt", "kd", "dml" or "student".
        teacher: A `Network`.
        student: A `Network`.
        batches: `Rows` of tensors.
        loss: `(y, outputs) -> values`.
        divergence: `(target, outputs, temperature) -> values`.
        rate: Learning rate of both.
        momentum: Momentum of both.
        settings: `proximal_weight`, `temperature` and `label_weight`.
    """
    t, gamma = settings.get("temperature", 1.0), settings.get("label_weight", 0.0)
    for batch in batches:

        def labels_of(outputs, batch=batch):
            return mean(loss(batch.y, outputs), batch.weight, batch.labelled)

        def gap_of(target, outputs, temperature=1.0, batch=batch):
            values = divergence(target.detach(), outputs, temperature)
            return mean(values, batch.weight, batch.real)

        if method in ("prokt", "dml"):
            outputs = teacher(batch.x)
            label_loss, gap = labels_of(outputs), gap_of(student(batch.x), outputs)
            weight = settings.get("proximal_weight")
            total = label_loss + gap if weight is None else (1 - weight) * label_loss + weight * gap
            teacher.update(total, rate, momentum)
        outputs = student(batch.x)
        total = gamma * labels_of(outputs)
        if method != "student":
            total = total + t**2 * gap_of(teacher(batch.x), outputs, t)
        student.update(total, rate, momentum)
