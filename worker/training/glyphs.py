"""A teacher without photographs: a backbone that learned to read letters on generated textures.

Reading takes edges, corners, curves and strokes of every width and shade told from their ground, which is what
a teacher must see in a part. It makes a far better teacher than random weights, though not as good a one as
weights trained on photographs.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from worker.inference.preprocess import Transforms, preprocess
from worker.training.fit import Progress
from worker.training.framework import F, nn, paddle
from worker.training.network import fresh_student
from worker.training.weights import Weights, draw, fold
from worker.types import Image

LETTERS = "ABCDEFGHJKLMNPRSTUVWXYZ23456789"  # without those that look alike
SIDE = 64
Generator = np.random.Generator


def glyph_teacher(
    transforms: Transforms, seed: int = 0, steps: int = 450, batch_size: int = 32, progress: Progress | None = None
) -> Weights:
    """Folded weights of a backbone fitted to name letters (Adam, one cycle of the learning rate)."""
    random = np.random.default_rng(seed)
    backbone = fresh_student(draw(seed))
    head = nn.Linear(256, len(LETTERS), weight_attr=nn.initializer.Assign(_head(random)))
    rate = paddle.optimizer.lr.OneCycleLR(3e-3, steps, phase_pct=0.3)
    optimiser = paddle.optimizer.Adam(rate, parameters=[*backbone.parameters(), *head.parameters()])
    small = Transforms((SIDE, SIDE), transforms.interpolation, transforms.mean, transforms.std)
    backbone.train()
    for step in range(1, steps + 1):
        letters = random.integers(len(LETTERS), size=batch_size)
        inputs = np.stack([preprocess(draw_glyph(LETTERS[letter], random), small) for letter in letters])
        features = F.adaptive_avg_pool2d(backbone(paddle.to_tensor(inputs))[-1], 1).flatten(1)
        loss = F.cross_entropy(head(features), paddle.to_tensor(letters))
        loss.backward()
        optimiser.step()
        optimiser.clear_grad()
        rate.step()
        if progress is not None:
            progress(step, float(loss))
    return fold(backbone.weights())


def draw_glyph(letter: str, random: Generator) -> Image:
    """One letter of random size, stroke, turn, blur and shades on a textured ground: 64×64×3 RGB uint8."""
    mask = np.zeros((SIDE, SIDE), np.uint8)
    scale, stroke = random.uniform(0.8, 1.7), int(random.integers(1, 5))
    (width, height), _ = cv2.getTextSize(letter, cv2.FONT_HERSHEY_SIMPLEX, scale, stroke)
    x, y = (np.array([SIDE - width, SIDE + height]) / 2 + random.uniform(-8, 8, 2)).astype(int).tolist()
    cv2.putText(mask, letter, (x, y), cv2.FONT_HERSHEY_SIMPLEX, scale, 255, stroke, cv2.LINE_AA)
    turn = cv2.getRotationMatrix2D((SIDE / 2, SIDE / 2), random.uniform(-25, 25), 1.0)
    ink = cv2.warpAffine(mask, turn, (SIDE, SIDE)).astype(np.float32)[:, :, None] / 255
    if random.random() < 0.5:
        ink = cv2.GaussianBlur(ink, (0, 0), random.uniform(0.4, 1.4))[:, :, None]
    ground, front = _two_colours(random)
    picture = ground * (1 - ink) + front * ink + _texture(random)[:, :, None]
    for _ in range(random.integers(0, 3)):
        ends = random.integers(0, SIDE, 4).tolist()
        cv2.line(picture, tuple(ends[:2]), tuple(ends[2:]), _colour(random).tolist(), 1)
    return np.asarray(np.clip(picture, 0, 255), np.uint8)


def _colour(random: Generator) -> npt.NDArray[np.float64]:
    """RGB, 0 to 255: any brightness, a little colour."""
    return random.uniform(20, 235) + random.uniform(-25, 25, 3)


def _two_colours(random: Generator) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    ground, front = _colour(random), _colour(random)
    while abs(ground.mean() - front.mean()) < 35:
        front = _colour(random)
    return ground, front


def _texture(random: Generator) -> npt.NDArray[np.float32]:
    """64×64 around 0: noise smeared along x or y, as brushing or weaving leaves it."""
    grain = random.integers(-128, 128, (SIDE, SIDE)).astype(np.float32)
    reach = (int(random.integers(1, 12)), int(random.integers(1, 4)))
    smeared = cv2.blur(grain, reach if random.random() < 0.5 else reach[::-1])
    return np.asarray(smeared / (smeared.std() + 1e-6) * random.uniform(1, 14), np.float32)


def _head(random: Generator) -> npt.NDArray[np.float32]:
    return random.normal(0, 0.06, (256, len(LETTERS))).astype(np.float32)
