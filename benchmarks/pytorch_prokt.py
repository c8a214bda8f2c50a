"""The peer of `image_step.py`: a ProKT step in plain PyTorch, as a user would write it.

The networks of the CIFAR-100 recipe with `torch.nn` modules, eager mode, channels last.
"""

import torch
from torch import nn
from torch.nn import functional as F


def convolution(inputs, outputs, size=3, stride=1, groups=1, bias=False):
    return nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=bias)


class WideBlock(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.first_norm, self.second_norm = nn.BatchNorm2d(inputs), nn.BatchNorm2d(outputs)
        self.first = convolution(inputs, outputs, stride=stride)
        self.second = convolution(outputs, outputs)
        self.shortcut = None if inputs == outputs else convolution(inputs, outputs, 1, stride)

    def forward(self, x):
        activated = F.relu(self.first_norm(x), inplace=True)
        shortcut = x if self.shortcut is None else self.shortcut(activated)
        out = self.first(activated)
        return shortcut + self.second(F.relu(self.second_norm(out), inplace=True))


class WideResNet(nn.Module):
    def __init__(self, depth, width, classes=100):
        super().__init__()
        channels = [16, 16 * width, 32 * width, 64 * width]
        layers = [convolution(3, 16)]
        for stage in range(3):
            for block in range((depth - 4) // 6):
                inputs = channels[stage] if block == 0 else channels[stage + 1]
                stride = 2 if stage and block == 0 else 1
                layers.append(WideBlock(inputs, channels[stage + 1], stride))
        self.body = nn.Sequential(*layers, nn.BatchNorm2d(channels[-1]), nn.ReLU(inplace=True))
        self.head = nn.Linear(channels[-1], classes)

    def forward(self, x):
        return self.head(self.body(x).mean((2, 3)))


class VGG13(nn.Module):
    def __init__(self, classes=100):
        super().__init__()
        layers, inputs = [], 3
        for block, channels in enumerate((64, 128, 256, 512, 512)):
            if 0 < block < 4:
                layers.append(nn.MaxPool2d(2))
            for _ in range(2):
                layers += [
                    convolution(inputs, channels, bias=True),
                    nn.BatchNorm2d(channels),
                    nn.ReLU(inplace=True),
                ]
                inputs = channels
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(inputs, classes)

    def forward(self, x):
        return self.head(self.body(x).mean((2, 3)))


class InvertedResidual(nn.Module):
    def __init__(self, inputs, outputs, stride, expansion):
        super().__init__()
        hidden = inputs * expansion
        self.is_residual = stride == 1 and inputs == outputs
        self.body = nn.Sequential(
            convolution(inputs, hidden, 1),
            nn.BatchNorm2d(hidden),
            nn.ReLU(inplace=True),
            convolution(hidden, hidden, 3, stride, groups=hidden),
            nn.BatchNorm2d(hidden),
            nn.ReLU(inplace=True),
            convolution(hidden, outputs, 1),
            nn.BatchNorm2d(outputs),
        )

    def forward(self, x):
        return x + self.body(x) if self.is_residual else self.body(x)


class MobileNetV2(nn.Module):
    def __init__(self, classes=100, width=0.5):
        super().__init__()
        inputs = int(32 * width)
        layers = [convolution(3, inputs, stride=2), nn.BatchNorm2d(inputs), nn.ReLU(inplace=True)]
        for expansion, channels, count, stride in (
            (1, 16, 1, 1),
            (6, 24, 2, 1),
            (6, 32, 3, 2),
            (6, 64, 4, 2),
            (6, 96, 3, 1),
            (6, 160, 3, 2),
            (6, 320, 1, 1),
        ):
            outputs = int(channels * width)
            for number in range(count):
                step = stride if number == 0 else 1
                layers.append(InvertedResidual(inputs, outputs, step, expansion))
                inputs = outputs
        layers += [convolution(inputs, 1280, 1), nn.BatchNorm2d(1280), nn.ReLU(inplace=True)]
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(1280, classes)

    def forward(self, x):
        return self.head(self.body(x).mean((2, 3)))


class ShuffleUnit(nn.Module):
    def __init__(self, inputs, outputs, stride, groups):
        super().__init__()
        made = outputs - inputs if stride == 2 else outputs
        middle, self.groups, self.stride = made // 4, 1 if inputs == 24 else groups, stride
        self.first = convolution(inputs, middle, 1, groups=self.groups)
        self.spatial = convolution(middle, middle, 3, stride, groups=middle)
        self.last = convolution(middle, made, 1, groups=groups)
        norms = (nn.BatchNorm2d(c) for c in (middle, middle, made))
        self.first_norm, self.spatial_norm, self.last_norm = norms

    def forward(self, x):
        out = F.relu(self.first_norm(self.first(x)), inplace=True)
        batch, channels, height, width = out.shape
        out = out.view(batch, self.groups, channels // self.groups, height, width)
        out = out.transpose(1, 2).reshape(batch, channels, height, width)
        out = F.relu(self.spatial_norm(self.spatial(out)), inplace=True)
        out = self.last_norm(self.last(out))
        if self.stride == 2:
            return F.relu(torch.cat([out, F.avg_pool2d(x, 3, 2, 1)], 1), inplace=True)
        return F.relu(out + x, inplace=True)


class ShuffleNetV1(nn.Module):
    def __init__(self, classes=100, groups=3):
        super().__init__()
        layers, inputs = [convolution(3, 24, 1), nn.BatchNorm2d(24), nn.ReLU(inplace=True)], 24
        for channels, count in ((240, 4), (480, 8), (960, 4)):
            for number in range(count):
                layers.append(ShuffleUnit(inputs, channels, 2 if number == 0 else 1, groups))
                inputs = channels
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(inputs, classes)

    def forward(self, x):
        return self.head(self.body(x).mean((2, 3)))


NETWORKS = {
    "wrn-16-2": lambda: WideResNet(16, 2),
    "wrn-40-2": lambda: WideResNet(40, 2),
    "vgg13": VGG13,
    "mobilenet-v2": MobileNetV2,
    "shufflenet-v1": ShuffleNetV1,
}


def divergence(target_logits, logits):
    """KL(softmax(target) ‖ softmax(logits)), mean over the batch."""
    target = F.log_softmax(target_logits, -1)
    return F.kl_div(F.log_softmax(logits, -1), target, reduction="batchmean", log_target=True)


class ProKT:
    """Algorithm 1: the teacher's step near the student, then the student's towards the teacher."""

    def __init__(self, teacher, student, proximal_weight=0.3, rates=(0.05, 0.01), device="cpu"):
        self.teacher, self.student = NETWORKS[teacher](), NETWORKS[student]()
        self.weight = proximal_weight
        for model in (self.teacher, self.student):
            model.to(device, memory_format=torch.channels_last).train()
        self.optimizers = [
            torch.optim.SGD(m.parameters(), lr=rate, momentum=0.9, weight_decay=5e-4)
            for m, rate in zip((self.teacher, self.student), rates, strict=True)
        ]

    def step(self, x, y):
        with torch.no_grad():
            self.student.eval()
            q = self.student(x)
            self.student.train()
        logits = self.teacher(x)
        loss = (1 - self.weight) * F.cross_entropy(logits, y) + self.weight * divergence(q, logits)
        self._update(self.optimizers[0], loss)
        with torch.no_grad():
            self.teacher.eval()
            p = self.teacher(x)
            self.teacher.train()
        loss = divergence(p, self.student(x))
        self._update(self.optimizers[1], loss)
        return loss.detach()

    @staticmethod
    def _update(optimizer, loss):
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
