"""Textures that are many shapes on a ground: lattices, dead leaves, strokes, glyphs, cells, fractals."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from worker.training.pretraining.field import Draw, Field, Random


def lattice(random: Random) -> Draw:
    """One shape at the points of a grid, more or less regular."""
    step, jitter, shift = random.uniform(6, 30), random.choice([0, random.uniform(0, 0.4)]), random.choice([0, 0.5])
    radius, stamp, angle = step * random.uniform(0.12, 0.5), _stamp(random), random.uniform(0, np.pi)
    spread, missing = random.uniform(0, 0.5), random.choice([0, 0, 0.3])
    aspect = 2 ** random.uniform(-0.6, 0.6)

    def draw(r: Random, side: int) -> Field:
        canvas = np.zeros((side, side), np.float32)
        patch = stamp(max(1.2, radius))
        count = int(side / step) + 4
        offset = r.uniform(-step, step, 2)
        for row in range(-count, count):
            for column in range(-count, count):
                if missing and r.random() < missing:
                    continue
                u = (column + shift * (row % 2)) * step + r.normal(0, jitter * step + 1e-9)
                v = row * step * aspect + r.normal(0, jitter * step + 1e-9)
                x = u * np.cos(angle) - v * np.sin(angle) + side / 2 + offset[0]
                y = u * np.sin(angle) + v * np.cos(angle) + side / 2 + offset[1]
                if -radius * 2 < x < side + radius * 2 and -radius * 2 < y < side + radius * 2:
                    _put(canvas, patch, int(x), int(y), 1 + spread * r.standard_normal(), False)
        return canvas

    return draw


def leaves(random: Random) -> Draw:
    """Shapes of many sizes that cover each other (Lee, Mumford & Huang 2001)."""
    least, most = sorted(2 ** random.uniform(1, 5, 2))
    most = max(most, least * 1.3)
    stamp, shades, outline = _stamp(random), int(random.integers(2, 12)), random.random() < 0.3
    palette = random.standard_normal(shades)
    cover = random.uniform(0.7, 3)

    def draw(r: Random, side: int) -> Field:
        canvas = np.full((side, side), float(r.choice(palette)), np.float32)
        area, limit = 0.0, cover * side * side
        sizes = {radius: stamp(radius) for radius in 2 ** np.linspace(np.log2(least), np.log2(most), 5)}
        names = list(sizes)
        weights = np.array([1 / name**2 for name in names])
        weights /= weights.sum()
        picks = r.choice(len(names), 900, p=weights)
        places = r.integers(-8, side + 8, (900, 2))
        tones = r.choice(palette, 900)
        for pick, (x, y), tone in zip(picks, places, tones, strict=True):
            radius = names[pick]
            _put(canvas, sizes[radius], int(x), int(y), float(tone), False)
            if outline:
                cv2.circle(canvas, (int(x), int(y)), int(radius), float(-tone), 1, cv2.LINE_AA)
            area += 3 * radius * radius
            if area > limit:
                break
        return canvas

    return draw


def strokes(random: Random) -> Draw:
    """Lines, parallel or every way, straight or curled."""
    angle, spread = random.uniform(0, np.pi), random.choice([0.05, 0.3, 3.0])
    length, thick, count = random.uniform(8, 120), int(random.integers(1, 5)), int(2 ** random.uniform(3, 7.5))
    curl, shades = random.choice([0, 0, random.uniform(0.05, 0.6)]), random.standard_normal(int(random.integers(1, 6)))
    soft = random.choice([0, 0, random.uniform(0.5, 2)])

    def draw(r: Random, side: int) -> Field:
        canvas = np.zeros((side, side), np.float32)
        for _ in range(count):
            way = angle + r.normal(0, spread)
            point = r.uniform(-10, side + 10, 2)
            turn = r.normal(0, curl) if curl else 0.0
            points = [point]
            pieces = 6 if curl else 1
            for _ in range(pieces):
                point = point + length / pieces * np.array([np.cos(way), np.sin(way)])
                points.append(point)
                way += turn
            line = (np.array(points) * 16).astype(np.int32)
            cv2.polylines(canvas, [line], False, float(r.choice(shades)), thick, cv2.LINE_AA, 4)
        return cv2.GaussianBlur(canvas, (0, 0), soft) if soft else canvas

    return draw


def glyphs(random: Random) -> Draw:
    """A few signs, written again and again."""
    shapes = [random.uniform(-1, 1, (int(random.integers(3, 7)), 2)) for _ in range(int(random.integers(1, 4)))]
    size, thick, count = random.uniform(5, 24), int(random.integers(1, 4)), int(2 ** random.uniform(3, 6.5))
    turn, filled, shades = random.choice([0, 0.15, 3]), random.random() < 0.3, random.standard_normal(3)

    def draw(r: Random, side: int) -> Field:
        canvas = np.zeros((side, side), np.float32)
        for _ in range(count):
            shape, way = shapes[int(r.integers(len(shapes)))], r.normal(0, turn + 1e-9)
            matrix = np.array([[np.cos(way), np.sin(way)], [-np.sin(way), np.cos(way)]]) * size * 2 ** r.normal(0, 0.1)
            line = ((shape @ matrix + r.uniform(0, side, 2)) * 16).astype(np.int32)
            tone = float(r.choice(shades))
            if filled:
                cv2.fillPoly(canvas, [line], tone, cv2.LINE_AA, 4)
            else:
                cv2.polylines(canvas, [line], False, tone, thick, cv2.LINE_AA, 4)
        return canvas

    return draw


def cells(random: Random) -> Draw:
    """Voronoi's cells: their shades, their depth, or the cracks between them."""
    spacing, kind, sharp = 2 ** random.uniform(2.3, 5), int(random.integers(4)), random.uniform(0.3, 3)
    stretch = 2 ** random.uniform(-1, 1)
    regular = random.random() < 0.4

    def draw(r: Random, side: int) -> Field:
        wide = side + 32
        seeds = np.full((wide, wide), 255, np.uint8)
        if regular:
            axis_x, axis_y = np.arange(0, wide, spacing * stretch), np.arange(0, wide, spacing / stretch)
            grid = np.stack(np.meshgrid(axis_x, axis_y), -1).reshape(-1, 2)
            points = grid + r.normal(0, spacing * 0.15, grid.shape)
        else:
            points = r.uniform(0, wide, (int((wide / spacing) ** 2) + 2, 2))
        points = np.clip(points, 0, wide - 1).astype(int)
        seeds[points[:, 1], points[:, 0]] = 0
        distance, labels = cv2.distanceTransformWithLabels(seeds, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
        labels, distance = labels[16:-16, 16:-16], distance[16:-16, 16:-16]
        if kind == 0:
            return r.standard_normal(int(labels.max()) + 1).astype(np.float32)[labels]
        if kind == 1:
            return distance**sharp if sharp < 1.5 else distance
        rows = np.diff(labels, axis=0, append=labels[-1:]) != 0
        columns = np.diff(labels, axis=1, append=labels[:, -1:]) != 0
        edges = cv2.GaussianBlur((rows | columns).astype(np.float32), (0, 0), sharp)
        if kind == 2:
            return edges
        return r.standard_normal(int(labels.max()) + 1).astype(np.float32)[labels] * 0.5 - 3 * edges

    return draw


def fractal(random: Random) -> Draw:
    """The attractor of a few random affine maps (Barnsley & Demko 1985)."""
    maps = []
    for _ in range(int(random.integers(2, 6))):
        left, right = (np.linalg.qr(random.standard_normal((2, 2)))[0] for _ in range(2))
        maps.append((left @ np.diag(random.uniform(0.2, 0.85, 2)) @ right, random.uniform(-1, 1, 2)))
    weights = np.array([abs(np.linalg.det(matrix)) + 0.05 for matrix, _ in maps])
    weights /= weights.sum()
    soft, logarithmic = random.uniform(0.4, 1.5), random.random() < 0.7

    def draw(r: Random, side: int) -> Field:
        points = r.uniform(-1, 1, (3000, 2))
        hits = []
        for step in range(14):
            pick = r.choice(len(maps), len(points), p=weights)
            moved = np.empty_like(points)
            for number, (matrix, shift) in enumerate(maps):
                mine = pick == number
                moved[mine] = points[mine] @ matrix.T + shift
            points = moved
            if step >= 6:
                hits.append(points)
        cloud = np.concatenate(hits)
        low, high = np.percentile(cloud, [2, 98], axis=0)
        scale = side / (np.max(high - low) + 1e-6) * r.uniform(0.8, 2.0)
        way = r.normal(0, 0.1)
        turn = np.array([[np.cos(way), -np.sin(way)], [np.sin(way), np.cos(way)]])
        centre = cloud[int(r.integers(len(cloud)))]
        xy = (((cloud - centre) @ turn) * scale + side / 2).astype(int)
        xy %= side  # tiled, so that no part of a crop is empty
        canvas = np.bincount(xy[:, 1] * side + xy[:, 0], minlength=side * side).reshape(side, side).astype(np.float32)
        canvas = np.log1p(canvas) if logarithmic else np.minimum(canvas, 3)
        return cv2.GaussianBlur(canvas, (0, 0), soft)

    return draw


def _stamp(random: Random) -> Callable[[float], Field]:
    """A small shape to be put many times: disc, ring, square, bar, cross, triangle."""
    kind, inner, turn = int(random.integers(6)), random.uniform(0.3, 0.8), random.uniform(0, np.pi)

    def stamp(radius: float) -> Field:
        reach = max(2, int(np.ceil(radius * 1.5)))
        y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(np.float32) / radius
        u, v = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
        edge = radius
        distance = {
            0: np.hypot(u, v) - 1,
            1: np.abs(np.hypot(u, v) - inner) - 0.2,
            2: np.maximum(np.abs(u), np.abs(v)) - 0.85,
            3: np.maximum(np.abs(u), np.abs(v) / (0.35 * inner)) - 1,
            4: np.minimum(np.maximum(np.abs(u), np.abs(v) * 4), np.maximum(np.abs(v), np.abs(u) * 4)) - 1,
            5: np.maximum(np.abs(u) * 1.7 + v, -v) - 0.8,
        }[kind]
        return np.clip(0.5 - distance * edge, 0, 1)

    return stamp


def _put(canvas: Field, patch: Field, x: int, y: int, value: float, add: bool) -> None:
    side = len(canvas)
    half = len(patch) // 2
    left, top, right, bottom = max(0, x - half), max(0, y - half), min(side, x + half + 1), min(side, y + half + 1)
    if left >= right or top >= bottom:
        return
    part = patch[top - y + half : bottom - y + half, left - x + half : right - x + half]
    target = canvas[top:bottom, left:right]
    target += part * (value if add else value - target)
