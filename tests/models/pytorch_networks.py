"""The CIFAR-100 networks in plain PyTorch functions, an oracle for `keras_prokt.models`.

Written from the definitions of the CRD codebase, with weights of `shaped_weights`.
"""

import numpy as np
import torch
import torch.nn.functional as F
from models.shaped_weights import weight


class Network:
    """Runs a network on images `(batch, 3, height, width)` and keeps its stages' outputs."""

    def __init__(self) -> None:
        self.stages: list[torch.Tensor] = []

    def stage(self, x):
        self.stages.append(x)
        return x

    def conv(self, x, channels, size=3, stride=1, groups=1, bias=False):
        kernel = weight("kernel", size, size, x.shape[1] // groups, channels)
        kernel = torch.from_numpy(kernel.transpose(3, 2, 0, 1).copy())
        bias = torch.from_numpy(weight("bias", channels)) if bias else None
        return F.conv2d(x, kernel, bias, stride, size // 2, 1, groups)

    def norm(self, x):
        names = ("moving_mean", "moving_variance", "gamma", "beta")
        vectors = [torch.from_numpy(weight(name, x.shape[1])) for name in names]
        return F.batch_norm(x, *vectors, training=False, eps=1e-5)

    def conv_norm_relu(self, x, *arguments, **options):
        return F.relu(self.norm(self.conv(x, *arguments, **options)))

    def head(self, x, classes=100):
        x = x.mean((2, 3))
        kernel, bias = weight("kernel", x.shape[1], classes), weight("bias", classes)
        return x @ torch.from_numpy(kernel) + torch.from_numpy(bias)

    def vgg(self, x, convolutions):
        for block, channels in enumerate((64, 128, 256, 512, 512)):
            for _ in range(convolutions):
                x = self.conv_norm_relu(x, channels, bias=True)
            if block:
                self.stage(x)
            if block < 3:
                x = F.max_pool2d(x, 2)
        return self.head(x)

    def resnet(self, x, stem, stages, bottleneck):
        x = self.conv_norm_relu(x, stem)
        for stage, (blocks, channels) in enumerate(stages):
            for block in range(blocks):
                stride = 2 if stage and block == 0 else 1
                if bottleneck:
                    y = self.conv_norm_relu(x, channels, 1)
                    y = self.conv_norm_relu(y, channels, 3, stride)
                    y = self.norm(self.conv(y, 4 * channels, 1))
                else:
                    y = self.conv_norm_relu(x, channels, 3, stride)
                    y = self.norm(self.conv(y, channels))
                if block == 0:
                    x = self.norm(self.conv(x, y.shape[1], 1, stride))
                x = F.relu(x + y)
            self.stage(x)
        return self.head(x)

    def wide_resnet(self, x, blocks):
        x = self.conv(x, 16)
        for stage, channels in enumerate((32, 64, 128)):
            for block in range(blocks):
                stride = 2 if stage and block == 0 else 1
                activated = F.relu(self.norm(x))
                if stage and block == 0:
                    self.stage(activated)
                y = self.conv(activated, channels, 3, stride)
                y = self.conv(F.relu(self.norm(y)), channels)
                x = y + (self.conv(activated, channels, 1, stride) if block == 0 else x)
        return self.head(self.stage(F.relu(self.norm(x))))

    def mobilenet_v2(self, x):
        x = self.conv_norm_relu(x, 16, 3, 2)
        settings = [(1, 8, 1, 1), (6, 12, 2, 1), (6, 16, 3, 2), (6, 32, 4, 2)]
        settings += [(6, 48, 3, 1), (6, 80, 3, 2), (6, 160, 1, 1)]
        for group, (expansion, channels, blocks, first_stride) in enumerate(settings):
            for block in range(blocks):
                stride = first_stride if block == 0 else 1
                inner = expansion * x.shape[1]
                y = self.conv_norm_relu(x, inner, 1)
                y = self.conv_norm_relu(y, inner, 3, stride, inner)
                y = self.norm(self.conv(y, channels, 1))
                x = x + y if stride == 1 and x.shape[1] == channels else y
            if group in (1, 2, 4, 6):
                self.stage(x)
        return self.head(self.conv_norm_relu(x, 1280, 1))

    def shufflenet_v1(self, x):
        x = self.conv_norm_relu(x, 24, 1)
        for channels, units in ((240, 4), (480, 8), (960, 4)):
            for unit in range(units):
                own = channels if unit else channels - x.shape[1]
                groups = 1 if x.shape[1] == 24 else 3
                y = F.channel_shuffle(self.conv_norm_relu(x, own // 4, 1, 1, groups), groups)
                y = self.conv_norm_relu(y, own // 4, 3, 1 if unit else 2, own // 4)
                y = self.norm(self.conv(y, own, 1, 1, 3))
                x = F.relu(x + y if unit else torch.cat([y, F.avg_pool2d(x, 3, 2, 1)], 1))
            self.stage(x)
        return self.head(x)

    def shufflenet_v2(self, x):
        x = self.conv_norm_relu(x, 24, 1)
        for channels, units in ((116, 4), (232, 8), (464, 4)):
            half = channels // 2
            for unit in range(units):
                if unit:
                    stride, (left, right) = 1, x.split(half, 1)
                else:
                    stride, right = 2, x
                    left = self.norm(self.conv(x, x.shape[1], 3, 2, x.shape[1]))
                    left = self.conv_norm_relu(left, half, 1)
                right = self.conv_norm_relu(right, half, 1)
                right = self.norm(self.conv(right, half, 3, stride, half))
                right = self.conv_norm_relu(right, half, 1)
                x = F.channel_shuffle(torch.cat([left, right], 1), 2)
            self.stage(x)
        return self.head(self.conv_norm_relu(x, 1024, 1))


def run(name: str, images: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """Logits and stages, channels last, of a network in inference mode."""
    network = Network()
    runs = {
        "vgg8": lambda x: network.vgg(x, 1),
        "vgg13": lambda x: network.vgg(x, 2),
        "resnet8x4": lambda x: network.resnet(x, 32, [(1, c) for c in (64, 128, 256)], False),
        "resnet32x4": lambda x: network.resnet(x, 32, [(5, c) for c in (64, 128, 256)], False),
        "resnet50": lambda x: network.resnet(x, 64, [(3, 64), (4, 128), (6, 256), (3, 512)], True),
        "wrn-16-2": lambda x: network.wide_resnet(x, 2),
        "wrn-40-2": lambda x: network.wide_resnet(x, 6),
        "mobilenet-v2": network.mobilenet_v2,
        "shufflenet-v1": network.shufflenet_v1,
        "shufflenet-v2": network.shufflenet_v2,
    }
    with torch.no_grad():
        logits = runs[name](torch.from_numpy(images.transpose(0, 3, 1, 2).copy()))
    return logits.numpy(), [stage.numpy().transpose(0, 2, 3, 1) for stage in network.stages]
