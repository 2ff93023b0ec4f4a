"""STFPM (Wang et al. 2021, arXiv:2103.04257): a student learns a frozen teacher's features on good parts.

Where the student fails to follow, the part is not like the good ones. Both are ResNet18 from conv1 to
layer3, with torchvision's names for every parameter, so that weights load by name. A teacher, and every
network that is exported, has its BatchNorm folded into the convolutions (`weights.fold`), which is exact once
it is frozen.
"""

from __future__ import annotations

from typing import Any

from worker.training.fitting.recipe import AS_PUBLISHED, LayerWeights
from worker.training.framework import F, nn, paddle
from worker.training.weights import Weights

Tensor = Any
"""paddle.Tensor, N×C×H×W float32 unless said otherwise."""

STAGES = (("layer1", 64, 1), ("layer2", 128, 2), ("layer3", 256, 2))
"""Name, output channels and stride of the stages whose features are learned."""


class Convolution(nn.Conv2D):  # type: ignore[misc]
    """A convolution that computes in its input's type, also where its weight is stored as float16."""

    weight: Any

    def forward(self, x: Tensor) -> Tensor:
        """N×C×H×W to N×C'×H'×W'."""
        weight = self.weight if self.weight.dtype == x.dtype else self.weight.astype(x.dtype)
        return F.conv2d(x, weight, self.bias, self._stride, self._padding)

    def store_half(self) -> None:
        """Keep the weight, not the bias, as float16."""
        value = self.weight.astype("float16")
        self.weight = self.create_parameter(value.shape, dtype="float16")
        self.weight.set_value(value)


class Normalisation(nn.BatchNorm2D):  # type: ignore[misc]
    """Batch normalisation without the warning that paddle's own gives at every step of training."""

    momentum: float = 0.9
    """Share of the running statistics that a batch leaves as they were."""

    def forward(self, x: Tensor) -> Tensor:
        """N×C×H×W to the same."""
        parameters = (self._mean, self._variance, self.weight, self.bias)
        return F.batch_norm(x, *parameters, self.training, self.momentum, self._epsilon)


def _convolution(inputs: int, outputs: int, kernel: int, stride: int, folded: bool) -> Convolution:
    bias = None if folded else False  # None is paddle's word for "with the usual bias"
    return Convolution(inputs, outputs, kernel, stride, padding=kernel // 2, bias_attr=bias)


def _normalisation(channels: int, folded: bool) -> nn.Layer:
    return nn.Identity() if folded else Normalisation(channels)


class BasicBlock(nn.Layer):  # type: ignore[misc]
    """Two 3×3 convolutions beside a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int, folded: bool) -> None:
        super().__init__()
        self.conv1 = _convolution(inputs, outputs, 3, stride, folded)
        self.bn1 = _normalisation(outputs, folded)
        self.conv2 = _convolution(outputs, outputs, 3, 1, folded)
        self.bn2 = _normalisation(outputs, folded)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                _convolution(inputs, outputs, 1, stride, folded), _normalisation(outputs, folded)
            )

    def forward(self, x: Tensor) -> Tensor:
        """N×C×H×W to N×C'×H'×W', rectified."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(x)) + shortcut)


class Backbone(nn.Layer):  # type: ignore[misc]
    """ResNet18 from conv1 to layer3; `folded` has convolutions with a bias in place of BatchNorm."""

    def __init__(self, folded: bool) -> None:
        super().__init__()
        self.conv1 = _convolution(3, 64, 7, 2, folded)
        self.bn1 = _normalisation(64, folded)
        inputs = 64
        for name, outputs, stride in STAGES:
            blocks = (BasicBlock(inputs, outputs, stride, folded), BasicBlock(outputs, outputs, 1, folded))
            setattr(self, name, nn.Sequential(*blocks))
            inputs = outputs

    def forward(self, x: Tensor) -> list[Tensor]:
        """Features of layer1 to layer3: N×64×H/4×W/4, N×128×H/8×W/8, N×256×H/16×W/16."""
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        features = []
        for name, _, _ in STAGES:
            x = getattr(self, name)(x)
            features.append(x)
        return features

    def load(self, weights: Weights) -> Backbone:
        """Take every parameter by its torchvision name; both sides must have the same names and shapes."""
        state = self.state_dict()
        arrays = {_paddle_name(name): value for name, value in weights.items()}
        if set(arrays) != set(state):
            raise ValueError(f"parameters differ: {sorted(set(arrays) ^ set(state))[:4]}")
        self.set_state_dict({name: paddle.to_tensor(value) for name, value in arrays.items()})
        return self

    def weights(self) -> Weights:
        """Every parameter and statistic as float32 numpy, by its torchvision name."""
        return {_torch_name(name): value.numpy() for name, value in self.state_dict().items()}


class Stfpm(nn.Layer):  # type: ignore[misc]
    """Teacher and student side by side: images in, anomaly map out.

    The map is that of `anomaly_map` with these `layer_weights` and this `scale`.
    """

    def __init__(
        self, teacher: Backbone, student: Backbone, layer_weights: LayerWeights = AS_PUBLISHED, scale: float = 1.0
    ) -> None:
        super().__init__()
        self.teacher = teacher
        self.student = student
        self.layer_weights = layer_weights
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        """N×3×H×W, normalised, to the anomaly map N×1×H×W (see `anomaly_map`)."""
        return anomaly_map(self.teacher(x), self.student(x), x.shape[2:], self.layer_weights, self.scale)


def distances(teacher: list[Tensor], student: list[Tensor]) -> list[Tensor]:
    """Per layer the squared distance of the L2-normalised features: N×1×h×w, 0 to 4."""
    return [
        (F.normalize(t, axis=1) - F.normalize(s, axis=1)).square().sum(axis=1, keepdim=True)
        for t, s in zip(teacher, student)  # noqa: B905  (paddle.jit cannot read `strict`)
    ]


def anomaly_map(
    teacher: list[Tensor], student: list[Tensor], size: list[int], weights: LayerWeights, scale: float
) -> Tensor:
    """N×1×H×W: `scale` times the product over layers of the distances to the power of `weights`, bilinear to `size`.

    With weights and a scale of 1 it is PaddleX's. The paper has a factor of 0.5 per layer; PaddleX has none, and its
    threshold of 0.01 depends on that.
    """
    result: Tensor = None
    for distance, weight in zip(distances(teacher, student), weights):  # noqa: B905  (as above)
        if weight > 0:
            powered = distance if weight == 1 else distance**weight
            resized = F.interpolate(powered, size=size, mode="bilinear", align_corners=False)
            result = resized if result is None else result * resized
    return result if scale == 1 else result * scale


def folded_backbone(weights: Weights) -> Backbone:
    """A frozen backbone from folded weights."""
    backbone = Backbone(folded=True).load(weights)
    backbone.eval()
    for parameter in backbone.parameters():
        parameter.stop_gradient = True
    return backbone


def fresh_student(weights: Weights) -> Backbone:
    """A student to train: the given convolutions, BatchNorm as paddle starts it (scale 1, shift 0)."""
    student = Backbone(folded=False)
    return student.load({**student.weights(), **weights})


def _paddle_name(name: str) -> str:
    return name.replace("running_mean", "_mean").replace("running_var", "_variance")


def _torch_name(name: str) -> str:
    return name.replace("._mean", ".running_mean").replace("._variance", ".running_var")
