"""Textures that are functions of the place: noise of a band, and gratings."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from worker.training.pretraining.field import Draw, Field, Random, standard


def noise(random: Random) -> Draw:
    """Band-passed noise, plain, folded, squeezed or cut."""
    plain = band(random)
    kind, sharp = int(random.integers(6)), random.uniform(1, 6)
    level = random.uniform(-1, 1)

    def draw(r: Random, side: int) -> Field:
        field = plain(r, side)
        if kind == 1:
            return np.tanh(field * sharp)
        if kind == 2:
            return np.abs(field - level)
        if kind == 3:
            return np.sin(field * sharp)
        if kind == 4:
            return np.tanh((field - level) * sharp * 3)
        if kind == 5:
            return np.exp(field * sharp / 5)
        return field

    return draw


def band(random: Random) -> Callable[[Random, int], Field]:
    """Noise of one octave or several, smeared along a direction."""
    centre, width = 2 ** random.uniform(-6.5, -1.5), random.uniform(0.25, 1.4)
    angle, stretch = random.uniform(0, np.pi), 2 ** random.uniform(0, 3.0) if random.random() < 0.6 else 1.0

    def draw(r: Random, side: int) -> Field:
        fy, fx = np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None, :]
        along, across = fx * np.cos(angle) + fy * np.sin(angle), fy * np.cos(angle) - fx * np.sin(angle)
        radius = np.sqrt((along * stretch) ** 2 + across**2) + 1e-6
        gain = np.exp(-(((np.log2(radius / centre)) / width) ** 2))
        gain[0, 0] = 0
        white = r.standard_normal((side, side), np.float32)
        return standard(np.fft.irfft2(np.fft.rfft2(white) * gain, (side, side)).astype(np.float32))

    return draw


def grating(random: Random) -> Draw:
    """Lines of some profile, straight or bent, single or crossed."""
    period, angle, wave = 2 ** random.uniform(1.6, 5.2), random.uniform(0, np.pi), _wave(random)
    warp, bend = band(random), random.choice([0, 0, random.uniform(0.02, 0.5)])
    crossed = int(random.integers(5))
    second = (period * 2 ** random.uniform(-1, 1), angle + random.uniform(0.5, np.pi - 0.5), _wave(random))

    def lines(r: Random, side: int, period: float, angle: float, wave: Callable[[Field], Field]) -> Field:
        y, x = np.mgrid[:side, :side].astype(np.float32)
        turned = angle + r.normal(0, 0.03)
        phase = (x * np.cos(turned) + y * np.sin(turned)) / (period * 2 ** r.normal(0, 0.05)) + r.random()
        if bend:
            phase = phase + bend * warp(r, side)
        return wave(phase.astype(np.float32))

    def draw(r: Random, side: int) -> Field:
        first = lines(r, side, period, angle, wave)
        if crossed <= 1:
            return first
        other = lines(r, side, *second)
        return [first * other, np.maximum(first, other), first + other][crossed - 2]

    return draw


def _wave(random: Random) -> Callable[[Field], Field]:
    kind, duty = int(random.integers(5)), random.uniform(0.15, 0.85)
    soft = random.uniform(2, 20)

    def wave(phase: Field) -> Field:
        turn = phase - np.floor(phase)
        if kind == 0:
            return np.sin(2 * np.pi * phase)
        if kind == 1:
            return turn
        if kind == 2:
            return np.tanh(soft * (np.sin(2 * np.pi * phase) - np.cos(np.pi * duty)))
        if kind == 3:
            return np.abs(turn - 0.5)
        return np.exp(-(((turn - 0.5) / (0.3 * duty)) ** 2))

    return wave
