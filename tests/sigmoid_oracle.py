"""Distillation of yes-or-no labels as a few lines of PyTorch, independent of the package.

Bernoulli distributions p = σ(z): CE is the mean over labels of −y log p − (1 − y) log (1 − p), KL
the mean over labels of both terms of the divergence. Written from Algorithm 1 of the ProKT paper,
Hinton et al. (2015) and Zhang et al. (2018).
"""

import numpy as np
import torch
import torch.nn.functional as F


class Network:
    """A Keras model's weights in PyTorch: dense layers, after convolutions if there are any."""

    def __init__(self, model):
        self.weights = [torch.tensor(w, requires_grad=True) for w in model.get_weights()]
        self.speeds = [torch.zeros_like(w) for w in self.weights]

    def forward(self, x):
        """Logits, and the feature maps after each convolution."""
        weights, stages = list(self.weights), []
        if x.ndim == 4:
            x = x.permute(0, 3, 1, 2)
            while weights[0].ndim == 4:
                kernel, bias, *weights = weights
                x = F.relu(F.conv2d(x, kernel.permute(3, 2, 0, 1), bias, padding="same"))
                stages.append(x)
                x = F.avg_pool2d(x, 2)
            x = x.mean((2, 3))
        while len(weights) > 2:
            kernel, bias, *weights = weights
            x = F.relu(x @ kernel + bias)
        kernel, bias = weights
        return x @ kernel + bias, stages

    def update(self, loss, rate, momentum):
        gradients = torch.autograd.grad(loss, self.weights)
        with torch.no_grad():
            for weight, speed, gradient in zip(self.weights, self.speeds, gradients, strict=True):
                speed.mul_(momentum).sub_(rate * gradient)
                weight.add_(speed)


def mean(values, weight):
    return (values * weight).sum() / len(values)


def cross_entropy(labels, logits):
    p = torch.sigmoid(logits)
    return -(labels * torch.log(p) + (1 - labels) * torch.log1p(-p)).mean(-1)


def divergence(target, logits, temperature=1.0):
    p, q = torch.sigmoid(target / temperature), torch.sigmoid(logits / temperature)
    yes = p * (torch.log(p) - torch.log(q))
    no = (1 - p) * (torch.log1p(-p) - torch.log1p(-q))
    return (yes + no).mean(-1)


def attention(teacher_stages, student_stages):
    def normed(stage):
        return F.normalize(stage.pow(2).mean(1).flatten(1))

    pairs = zip(teacher_stages, student_stages, strict=True)
    return sum((normed(t) - normed(s)).pow(2).mean(-1) for t, s in pairs)


def train(method, teacher, student, x, y, batch_size, rate, momentum, weights=None, **settings):
    """One epoch, batches in order.

    Args:
        method: "prokt", "kd" or "dml".
        teacher: A `Network`.
        student: A `Network`.
        x: Inputs, float32.
        y: Labels `(examples, labels)`.
        batch_size: Examples of a batch.
        rate: Learning rate of both.
        momentum: Momentum of both.
        weights: Weight of each example.
        settings: `proximal_weight`, `temperature`, `label_weight` and `attention_weight`.
    """
    x, y = torch.tensor(x), torch.tensor(np.asarray(y, "float32"))
    w = torch.ones(len(x)) if weights is None else torch.tensor(np.asarray(weights, "float32"))
    t, gamma = settings.get("temperature", 1.0), settings.get("label_weight", 0.0)
    for start in range(0, len(x), batch_size):
        a, b, c = (v[start : start + batch_size] for v in (x, y, w))
        if method != "kd":
            logits, gap_target = teacher.forward(a)[0], student.forward(a)[0].detach()
            label_loss = mean(cross_entropy(b, logits), c)
            gap = mean(divergence(gap_target, logits), c)
            weight = settings.get("proximal_weight")
            loss = label_loss + gap if weight is None else (1 - weight) * label_loss + weight * gap
            teacher.update(loss, rate, momentum)
        target, target_stages = teacher.forward(a)
        logits, stages = student.forward(a)
        loss = gamma * mean(cross_entropy(b, logits), c)
        loss = loss + t**2 * mean(divergence(target.detach(), logits, t), c)
        if "attention_weight" in settings:
            constants = [stage.detach() for stage in target_stages]
            loss = loss + settings["attention_weight"] * mean(attention(constants, stages), c)
        student.update(loss, rate, momentum)
