# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Training pairs per second, beside a plain per-sample pipeline with the same recipe, in the same run.

The plain one does what the public recipe says, step by step, for one image at a time: decode, resize and flip with
Pillow, draw a homography with a pseudo-inverse, warp, and go through 8-bit pixels for noise, blur and gray. One JSON
line is printed for each figure. Both take turns, so that a busy machine slows both.

    python benchmarks/training_data.py [--data PATH] [--workers N] [--rounds N]
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from kp2d_ros.pairs.loading import LoaderConfig, epoch_order, pair_batches
from kp2d_ros.pairs.pair_maker import PairBatch, PairConfig, PairMaker
from kp2d_ros.pairs.photos import PhotosConfig, open_photos

HEIGHT, WIDTH = 240, 320
BATCH = 8
GENERATED = 48


def generate_photographs(folder: Path) -> None:
    """
    JPEG files of 640x480 pixels with coarse and fine structure.
    """
    rng = np.random.default_rng(0)
    for i in range(GENERATED):
        layers = [
            cv2.resize(rng.normal(0, 255 / n**0.5, (3 * n, 4 * n, 3)), (640, 480), interpolation=cv2.INTER_CUBIC)
            for n in (1, 4, 16, 64)
        ]
        cv2.imwrite(str(folder / f'{i:03}.jpg'), np.clip(128 + sum(layers) / 3, 0, 255).astype(np.uint8))


def plain_homography(rng: np.random.Generator) -> np.ndarray:
    """
    The public sampler, for one image.
    """
    ratio = HEIGHT / WIDTH
    corners = np.array([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])
    quad = 0.7 * corners * (1, ratio)
    move_x, move_y = (np.clip(rng.normal(0, 0.2, 2), -0.2, 0.2) * s for s in (1, ratio))
    quad[:, 0] += corners[:, 0] * move_x[[1, 0, 1, 0]]
    quad[:, 1] += corners[:, 1] * move_y[[1, 1, 0, 0]]
    scales = np.concatenate([[1.0], np.clip(rng.normal(1, 0.1, 100), 0.9, 1.1)])
    quad = (quad * scales[:, None, None])[rng.integers(100)]
    border = np.array([1.0, ratio])
    quad = quad + rng.uniform(-(quad.min(axis=0) + border), border - quad.max(axis=0))
    angles = np.concatenate([[0.0], np.linspace(-np.pi / 4, np.pi / 4, 100)])
    turns = np.stack([np.cos(angles), -np.sin(angles), np.sin(angles), np.cos(angles)], axis=1).reshape(-1, 2, 2)
    centre = quad.mean(axis=0)
    turned = np.tile(quad - centre, (101, 1, 1)) @ turns + centre
    inside = np.flatnonzero(np.all((turned >= -border) & (turned < border), axis=(1, 2)))
    quad = turned[rng.choice(inside)] / border
    system = []
    for (x, y), (u, v) in zip(corners, quad, strict=True):
        system += [[x, y, 1, 0, 0, 0, -x * u, -y * u], [0, 0, 0, x, y, 1, -x * v, -y * v]]
    return np.append(np.linalg.pinv(np.array(system)) @ quad.ravel(), 1.0).reshape(3, 3)


def plain_affine(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """
    Flips and a small affine map, nearest neighbour, black outside.
    """
    for flip in (Image.Transpose.FLIP_TOP_BOTTOM, Image.Transpose.FLIP_LEFT_RIGHT):
        if rng.random() < 0.5:
            image = image.transpose(flip)
    angle, scale = np.deg2rad(rng.uniform(-15, 15)), rng.uniform(0.9, 1.1)
    shift = rng.uniform(-0.1, 0.1, 2) * (WIDTH, HEIGHT)
    a, b = np.cos(angle) / scale, np.sin(angle) / scale
    centre = np.array([WIDTH / 2, HEIGHT / 2])
    offset = centre - np.array([[a, b], [-b, a]]) @ (centre + shift)
    return image.transform((WIDTH, HEIGHT), Image.Transform.AFFINE, (a, b, offset[0], -b, a, offset[1]))


def plain_view(view: torch.Tensor, order: list[int], gray: bool, rng: np.random.Generator) -> torch.Tensor:
    """
    Noise, blur and gray of one view by way of 8-bit pixels.
    """
    pixels = np.array(Image.fromarray((view.permute(1, 2, 0).numpy() * 255).astype(np.uint8)))[:, :, order]
    if rng.random() > 0.5:
        pixels = np.clip(pixels.astype(float) + rng.normal(0, 0.05, pixels.shape) * 255, 0, 255).astype(np.uint8)
    size = int(rng.choice([0, 1, 3, 5]))
    if size:
        pixels = cv2.GaussianBlur(pixels, (size, size), 0)
    if gray:
        pixels = cv2.cvtColor(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    pixels = np.array(Image.fromarray(pixels))
    return torch.from_numpy(pixels).permute(2, 0, 1).float() / 255


def plain_pair(content: bytes, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """
    View S, view T and the homography of one encoded image.
    """
    image = Image.open(io.BytesIO(content)).convert('RGB').resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)
    target = torch.from_numpy(np.array(plain_affine(image, rng))).permute(2, 0, 1).float() / 255
    matrix = torch.from_numpy(plain_homography(rng)).float()
    y, x = torch.meshgrid(torch.linspace(-1, 1, HEIGHT), torch.linspace(-1, 1, WIDTH), indexing='ij')
    points = torch.stack([x, y, torch.ones_like(x)], dim=-1).view(-1, 3) @ matrix.T
    grid = (points[:, :2] / points[:, 2:]).view(1, HEIGHT, WIDTH, 2)
    source = F.grid_sample(target[None], grid, align_corners=True)[0]
    order = rng.permutation(3).tolist() if rng.random() > 0.5 else [0, 1, 2]
    gray = bool(rng.random() > 0.5)
    return plain_view(source, order, gray, rng), plain_view(target, order, gray, rng), matrix


class PlainPairs(torch.utils.data.Dataset[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]):
    """
    The plain pipeline as a data set of torch, one image at a time.
    """

    def __init__(self, contents: list[bytes], count: int) -> None:
        self.contents, self.count = contents, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        return plain_pair(self.contents[index % len(self.contents)], np.random.default_rng(index))


def plain_batches(contents: list[bytes], pairs: int, workers: int) -> Iterator[tuple[torch.Tensor, ...]]:
    """
    Batches of the plain pipeline, by that many processes.
    """
    return iter(torch.utils.data.DataLoader(PlainPairs(contents, pairs), BATCH, num_workers=workers))


def our_batches(maker: PairMaker, pairs: int, workers: int) -> Iterator[PairBatch]:
    """
    Batches of this package, by that many threads.
    """
    order = np.resize(epoch_order(maker.photos, 0, 0), pairs)
    return pair_batches(maker, order, 0, LoaderConfig(batch_size=BATCH, workers=workers))


def time_batches(start: Callable[[], Iterator[object]]) -> float:
    """
    Pairs per second once the first batch is there.
    """
    batches = start()
    next(batches)
    begin = time.perf_counter()
    count = sum(1 for _ in batches)
    return count * BATCH / (time.perf_counter() - begin)


def report(name: str, values: list[float], unit: str, **more: object) -> None:
    """
    One figure as a line of JSON: its best and its median over the rounds.
    """
    figure = {'benchmark': 'training_data', 'figure': name, 'best': round(max(values), 2)}
    print(json.dumps({**figure, 'median': round(statistics.median(values), 2), 'unit': unit, **more}), flush=True)


def measure(paths: list[Path], contents: list[bytes], args: argparse.Namespace) -> None:
    """
    Time all pipelines in turns and report them.
    """
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    in_memory = PairConfig(height=HEIGHT, width=WIDTH)
    on_demand = replace(in_memory, photos=PhotosConfig(memory_limit_mb=1))
    makers = [PairMaker(open_photos(paths, c.photos, HEIGHT, WIDTH), c, 0) for c in (in_memory, on_demand)]
    runs: dict[str, Callable[[], Iterator[object]]] = {
        'plain': lambda: plain_batches(contents, args.pairs, args.workers),
        'in memory': lambda: our_batches(makers[0], args.pairs, args.workers),
        'decoded every time': lambda: our_batches(makers[1], args.pairs, args.workers),
    }
    rates: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(args.rounds):
        for name, start in runs.items():
            rates[name].append(time_batches(start))
    more = {'workers': args.workers, 'size': f'{WIDTH}x{HEIGHT}', 'machine': f'{os.cpu_count()} {platform.machine()}'}
    for name, values in rates.items():
        report(name, values, 'pairs/s', **more)
    for name in ('in memory', 'decoded every time'):
        ratios = [ours / plain for ours, plain in zip(rates[name], rates['plain'], strict=True)]
        report(f'{name} over plain', ratios, 'ratio', **more)


def main() -> None:
    """
    Parse, make or read the photographs, measure.
    """
    parser = argparse.ArgumentParser(description=(__doc__ or '').splitlines()[1])
    parser.add_argument('--data', type=Path, help='folder of JPEG files (default: generated ones)')
    parser.add_argument('--workers', type=int, default=0, help='threads, or processes of the plain pipeline')
    parser.add_argument('--pairs', type=int, default=72, help='pairs in each round, of each pipeline')
    parser.add_argument('--rounds', type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if args.data is None:
            generate_photographs(Path(folder))
        data = args.data or Path(folder)
        files = sorted(f for f in data.rglob('*') if f.suffix.lower() in {'.jpg', '.jpeg', '.png', '.webp'})
        measure([data], [f.read_bytes() for f in files], args)


if __name__ == '__main__':
    main()
