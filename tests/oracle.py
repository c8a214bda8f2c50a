"""Algorithm 1 in plain NumPy, double precision, gradients by hand: written from the equations.

Networks are `dense, ReLU, dense` to logits; the optimizers are SGD with momentum and Adam by
Keras's published update rules. Nothing here is imported from keras_prokt.
"""

from dataclasses import dataclass, field

import numpy as np


def softmax(logits):
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


@dataclass
class Network:
    """Two dense layers; `weights` is [kernel, bias, kernel, bias], `l2` penalises both kernels."""

    weights: list
    l2: float = 0.0

    def logits(self, x):
        first, first_bias, second, second_bias = self.weights
        return np.maximum(x @ first + first_bias, 0) @ second + second_bias

    def gradients(self, x, of_logits):
        """Gradients of the weights for a given gradient of the logits, penalty included."""
        first, first_bias, second, _ = self.weights
        before = x @ first + first_bias
        hidden = np.maximum(before, 0)
        of_hidden = (of_logits @ second.T) * (before > 0)
        return [
            x.T @ of_hidden + 2 * self.l2 * first,
            of_hidden.sum(0),
            hidden.T @ of_logits + 2 * self.l2 * second,
            of_logits.sum(0),
        ]

    def penalty(self):
        return self.l2 * (np.sum(self.weights[0] ** 2) + np.sum(self.weights[2] ** 2))


@dataclass
class SGD:
    learning_rate: float
    momentum: float = 0.0
    velocities: list = field(default_factory=list)

    def update(self, weights, gradients):
        if not self.velocities:
            self.velocities = [np.zeros_like(w) for w in weights]
        for i, (weight, gradient) in enumerate(zip(weights, gradients, strict=True)):
            self.velocities[i] = self.momentum * self.velocities[i] - self.learning_rate * gradient
            weight += self.velocities[i]


@dataclass
class Adam:
    learning_rate: float
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7
    step: int = 0
    first: list = field(default_factory=list)
    second: list = field(default_factory=list)

    def update(self, weights, gradients):
        if not self.first:
            self.first = [np.zeros_like(w) for w in weights]
            self.second = [np.zeros_like(w) for w in weights]
        self.step += 1
        # Keras takes 1 - beta^t in single precision; that alone shortens its steps by 1e-5.
        one, beta_1, beta_2 = np.float32(1), np.float32(self.beta_1), np.float32(self.beta_2)
        steps = np.float32(self.step)
        rate = self.learning_rate * np.sqrt(one - beta_2**steps) / (one - beta_1**steps)
        rate = float(rate)
        for i, (weight, gradient) in enumerate(zip(weights, gradients, strict=True)):
            self.first[i] += (1 - self.beta_1) * (gradient - self.first[i])
            self.second[i] += (1 - self.beta_2) * (gradient**2 - self.second[i])
            weight -= rate * self.first[i] / (np.sqrt(self.second[i]) + self.epsilon)


@dataclass
class Algorithm1:
    """ProKT: `step` is one iteration of Algorithm 1 and returns what can be reported."""

    teacher: Network
    student: Network
    teacher_optimizer: object
    student_optimizer: object
    proximal_weight: float = 0.3
    proximal_bound: float | None = None
    dual_step_size: float = 1e-3
    beta: float = 1.0
    temperature: float = 1.0
    student_loss_weight: float = 0.0
    label_smoothing: float = 0.0

    def step(self, teacher_x, student_x, labels, sample_weight=None):
        count = len(labels)
        weight = np.ones(count) if sample_weight is None else np.asarray(sample_weight, float)
        mean_weight = (weight / count)[:, None]

        teacher_logits = self.teacher.logits(teacher_x)
        p, q = softmax(teacher_logits), softmax(self.student.logits(student_x))
        s, classes = self.label_smoothing, p.shape[1]
        y = (1 - s) * np.eye(classes)[labels] + s / classes
        cross_entropy = np.sum(weight * -np.sum(y * np.log(p), -1)) / count
        gap = np.sum(weight * np.sum(q * (np.log(q) - np.log(p)), -1)) / count
        # d CE(y, p) / d logits = p - y;  d KL(q || p) / d logits = p - q with q constant.
        if self.proximal_bound is None:
            a, b = 1 - self.proximal_weight, self.proximal_weight
            teacher_loss = a * cross_entropy + b * gap
        else:
            a, b = 1.0, self.beta
            teacher_loss = cross_entropy + b * (gap - self.proximal_bound)
            self.beta = max(0.0, self.beta + self.dual_step_size * (gap - self.proximal_bound))
        of_logits = mean_weight * (a * (p - y) + b * (p - q))
        self.teacher_optimizer.update(
            self.teacher.weights, self.teacher.gradients(teacher_x, of_logits)
        )

        t = self.temperature
        target = softmax(self.teacher.logits(teacher_x) / t)
        student_logits = self.student.logits(student_x)
        soft = softmax(student_logits / t)
        hard = softmax(student_logits)
        divergence = np.sum(target * (np.log(target) - np.log(soft)), -1)
        student_loss = t**2 * np.sum(weight * divergence) / count
        # d T^2 KL(target || soft) / d logits = T (soft - target).
        w = self.student_loss_weight
        of_logits = mean_weight * ((1 - w) * t * (soft - target) + w * (hard - y))
        student_accuracy = np.mean(student_logits.argmax(-1) == labels)
        hard_loss = np.sum(weight * -np.sum(y * np.log(hard), -1)) / count
        loss = (1 - w) * student_loss + w * hard_loss + self.student.penalty()
        self.student_optimizer.update(
            self.student.weights, self.student.gradients(student_x, of_logits)
        )
        return {
            "teacher_loss": teacher_loss,
            "gap": gap,
            "student_loss": student_loss,
            "loss": loss,
            "teacher_accuracy": np.mean(teacher_logits.argmax(-1) == labels),
            "student_accuracy": student_accuracy,
        }
