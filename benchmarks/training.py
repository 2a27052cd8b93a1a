# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Time of a training step: the share of the losses, mining beside a sort for each image, and pairs per second.

The losses are timed on outputs that a network gave before, forward and backward, IO-Net included. The baseline of the
mining goes through the images one after the other, sorts all distances and copies numbers to the host, as the public
code does; both give the same loss. All parts take turns. On a CPU the figures are processor time with one thread (by
default), which other work on the machine hardly changes. One JSON line is printed for each figure.

    python benchmarks/training.py [--preset v4] [--batch 2] [--rounds N] [--device cpu] [--precision fp32] [--compile]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from kp2d_ros.core.settings import nest
from kp2d_ros.networks.config import NetworkConfig
from kp2d_ros.networks.network import KeypointMaps
from kp2d_ros.pairs.homography import HOMOGRAPHY_NORMALS, HOMOGRAPHY_UNIFORMS, HomographyConfig, sample_homographies
from kp2d_ros.pairs.pair_maker import PairBatch
from kp2d_ros.training.config import DescriptorLossConfig, TrainConfig, load_train_config
from kp2d_ros.training.losses.descriptor import descriptor_loss
from kp2d_ros.training.objective import Losses, Objective
from kp2d_ros.training.run_state import RunState, build_state

_PRECISIONS = {'fp32': torch.float32, 'bf16': torch.bfloat16, 'fp16': torch.float16}


def make_batch(config: TrainConfig, count: int, device: torch.device) -> PairBatch:
    """
    Pairs of random smooth pictures and homographies of the public sampler.
    """
    rng, (height, width) = np.random.default_rng(0), (config.pairs.height, config.pairs.width)
    coarse = torch.from_numpy(rng.random((count, 3, height // 8, width // 8), np.float32))
    target = nn.functional.interpolate(coarse, size=(height, width), mode='bicubic').clamp(0, 1)
    draws = rng.random((count, HOMOGRAPHY_UNIFORMS)), rng.standard_normal((count, HOMOGRAPHY_NORMALS))
    matrices = torch.from_numpy(sample_homographies(HomographyConfig(), height / width, *draws).astype(np.float32))
    y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing='ij')
    points = torch.stack([x, y, torch.ones_like(x)], dim=-1).reshape(-1, 3) @ matrices.transpose(1, 2)
    grid = (points[..., :2] / points[..., 2:]).reshape(count, height, width, 2)
    source = nn.functional.grid_sample(target, grid, align_corners=True)
    shown = torch.ones(count, 1, height, width, dtype=torch.bool)
    batch = PairBatch(source, target, matrices, shown, shown, torch.arange(count))
    return PairBatch(*(part.to(device) for part in batch))


class PreparedNetwork(nn.Module):
    """
    Gives the outputs that another network gave before: of the source, of the target, and so on.
    """

    def __init__(self, config: NetworkConfig, maps: list[KeypointMaps]) -> None:
        super().__init__()
        self.config = config
        self.maps = [KeypointMaps(*(part.detach().requires_grad_() for part in view)) for view in maps]
        self.calls = 0

    def forward(self, image: Tensor) -> KeypointMaps:
        """
        The next of the two views; the image is not looked at.
        """
        self.calls += 1
        return self.maps[(self.calls - 1) % 2]


def sorted_triplet_loss(anchor: Tensor, positive: Tensor, xy: Tensor, visible: Tensor, margin: float) -> Tensor:
    """
    The triplet loss of one image after the other, its negatives found by sorting all distances.
    """
    loss, recalls = anchor.new_zeros(()), []
    for a, p, place, seen in zip(anchor, positive, xy, visible, strict=True):
        a, p, place = a[seen], p[seen], place[seen]
        distances = (2 - 2 * (a @ p.T).clamp(-1, 1)).sqrt().detach()
        order = distances.sort(dim=1).indices
        near = (place[order] - place[:, None]).abs() <= 4
        distances = distances.gather(1, order).masked_fill(near.all(dim=-1), 2.0)
        negative = p[order.gather(1, distances.argmin(dim=1, keepdim=True))[:, 0]]
        recalls.append((order[:, 0] == torch.arange(len(a), device=a.device)).float().mean().item())
        loss = loss + nn.functional.triplet_margin_loss(a, p, negative, margin=margin)
    return loss / len(anchor)


def make_points(count: int, cells: int, dim: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """
    Unit descriptors whose partners resemble them, positions, and which points count.
    """
    torch.manual_seed(0)
    anchor = nn.functional.normalize(torch.randn(count, cells, dim), dim=-1)
    positive = nn.functional.normalize(anchor + 0.1 * torch.randn_like(anchor), dim=-1)
    xy, visible = torch.rand(count, cells, 2) * torch.tensor([320.0, 240.0]), torch.rand(count, cells) < 0.7
    parts = [part.to(device) for part in (anchor, positive, xy, visible)]
    return parts[0].requires_grad_(), parts[1].requires_grad_(), parts[2], parts[3]


def full_step(state: RunState, batch: PairBatch, precision: torch.dtype) -> None:
    """
    Forward, losses, backward, optimiser.
    """
    with torch.autocast(batch.source.device.type, dtype=precision, enabled=precision is not torch.float32):
        losses: Losses = state.objective(batch)
    losses.total.backward()  # type: ignore[no-untyped-call]
    state.optimiser.step()
    state.optimiser.zero_grad(set_to_none=True)


def with_gradient(loss: Callable[[], Tensor]) -> Callable[[], None]:
    """
    A call that computes a loss and its gradient.
    """
    return lambda: loss().backward()  # type: ignore[no-untyped-call]


def parts_to_time(config: TrainConfig, args: argparse.Namespace) -> Iterator[tuple[str, Callable[[], None]]]:
    """
    The names and the functions of everything that is timed.
    """
    device, precision = torch.device(args.device), _PRECISIONS[args.precision]
    state, batch = build_state(config, device), make_batch(config, args.batch, device)
    state.objective.train()
    yield 'step', lambda: full_step(state, batch, precision)
    with torch.no_grad():
        maps = [state.objective.keypoint_net(view) for view in (batch.source, batch.target)]
    prepared = PreparedNetwork(config.network, maps)
    losses = Objective(prepared, state.objective.inlier_net, config.loss)  # type: ignore[arg-type]
    yield 'losses', with_gradient(lambda: losses(batch).total)
    cells = maps[0].score[0].numel()
    points = make_points(args.batch, cells, config.network.descriptor_dim, device)
    ours = DescriptorLossConfig()
    yield 'masked mining', with_gradient(lambda: descriptor_loss(*points, ours).loss)
    yield 'sorted mining', with_gradient(lambda: sorted_triplet_loss(*points, ours.margin))
    same = torch.isclose(descriptor_loss(*points, ours).loss, sorted_triplet_loss(*points, ours.margin), rtol=1e-4)
    if not bool(same):
        raise SystemExit('the two ways of mining do not give the same loss')


def seconds(call: Callable[[], None], device: str) -> float:
    """
    Time of one call until the device is done; on a CPU the processor time.
    """
    on_cuda = device.startswith('cuda')
    clock = time.perf_counter if on_cuda else time.process_time
    begin = clock()
    call()
    if on_cuda:
        torch.cuda.synchronize()
    return clock() - begin


def report(figure: str, values: list[float], unit: str, more: dict[str, object]) -> None:
    """
    One figure as a line of JSON: its median, smallest and largest value over the rounds.
    """
    line = {'benchmark': 'training', 'figure': figure, 'median': statistics.median(values), 'unit': unit}
    numbers = {**line, 'min': min(values), 'max': max(values)}
    print(json.dumps({k: round(v, 4) if isinstance(v, float) else v for k, v in numbers.items()} | more), flush=True)


def measure(config: TrainConfig, args: argparse.Namespace) -> None:
    """
    Time all parts in turns and report them.
    """
    parts = dict(parts_to_time(config, args))
    times: dict[str, list[float]] = {name: [] for name in parts}
    for round_number in range(args.rounds + args.warm_up):
        for name, call in parts.items():
            taken = seconds(call, args.device)
            if round_number >= args.warm_up:
                times[name].append(taken)
    machine = torch.cuda.get_device_name() if args.device.startswith('cuda') else f'{os.cpu_count()} CPU cores'
    size = f'{config.pairs.width}x{config.pairs.height}'
    more = {'preset': args.preset, 'batch': args.batch, 'size': size, 'precision': args.precision}
    more |= {'compile': args.compile, 'threads': args.threads, 'torch': torch.__version__}
    more['machine'] = f'{machine} {platform.machine()}'
    for name, values in times.items():
        report(name, [1e3 * value for value in values], 'ms', more)
    steps, losses = times['step'], times['losses']
    report('pairs per second', [args.batch / value for value in steps], 'pairs/s', more)
    report('losses over step', [100 * part / whole for part, whole in zip(losses, steps, strict=True)], '%', more)
    both = zip(times['sorted mining'], times['masked mining'], strict=True)
    report('sorted over masked mining', [slow / fast for slow, fast in both], 'ratio', more)


def main() -> None:
    """
    Parse and measure.
    """
    parser = argparse.ArgumentParser(description=(__doc__ or '').splitlines()[1])
    parser.add_argument('--preset', default='v4')
    parser.add_argument('--batch', type=int, default=2)
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--warm-up', type=int, default=1)
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--precision', choices=list(_PRECISIONS), default='fp32')
    parser.add_argument('--compile', action='store_true')
    parser.add_argument('--threads', type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    measure(load_train_config(args.preset, nest({'training.compile': args.compile})), args)


if __name__ == '__main__':
    main()
