# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
The order of an epoch, and its batches made ahead by threads: the same batches however many threads there are.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from kp2d_ros.core.errors import ConfigError, DataError
from kp2d_ros.core.records import Float64Array
from kp2d_ros.core.settings import Settings, setting
from kp2d_ros.pairs.pair_maker import PairBatch, PairMaker
from kp2d_ros.pairs.photos import IndexArray, Photos

_ORDER_STREAM = 2**64 - 1  # a counter that no pair begins at: the order is independent of what the pairs look like


@dataclass(frozen=True, slots=True)
class LoaderConfig(Settings):
    """
    How pairs become batches.
    """

    batch_size: int = setting(8, 'pairs in a batch, on each device', minimum=1)
    workers: int = setting(1, 'threads that make batches ahead; 0: none, made when asked for', minimum=0, maximum=256)
    prefetch: int = setting(2, 'batches made ahead by each worker', minimum=1, maximum=64)
    drop_last: bool = setting(True, 'leave out a last batch with fewer pairs (public code: false)')


@dataclass(frozen=True, slots=True)
class Rank:
    """
    One of ``world`` processes that share an epoch.
    """

    number: int = 0
    world: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.number < self.world:
            raise ConfigError(f'rank: found {self.number} of {self.world}, expected 0 to {self.world - 1}')


def epoch_order(photos: Photos, seed: int, epoch: int, rank: Rank = Rank()) -> IndexArray:
    """
    The indices that a process makes pairs from in an epoch, in order: a function of the arguments alone.

    An epoch has as many pairs as there are photographs. Without weights each is seen once. With weights each data path
    has its share of the pairs: its photographs are all seen k times before one is seen k + 1 times, and every look has
    an index of its own, so no two pairs are the same. Ranks get disjoint parts of one length; what is left over by the
    division waits for another epoch.
    """
    stream = np.random.Generator(np.random.Philox(key=(seed << 64) | epoch, counter=_ORDER_STREAM << 64))
    if photos.weights is None:
        order = stream.permutation(len(photos))
    else:
        quotas = _share_out(len(photos), photos.weights, photos.source)
        parts = [_draw(stream, np.flatnonzero(photos.source == s), int(q), len(photos)) for s, q in enumerate(quotas)]
        order = stream.permutation(np.concatenate(parts))
    length = len(order) // rank.world
    return np.asarray(order[rank.number : length * rank.world : rank.world], np.int64)


def count_batches(pairs: int, config: LoaderConfig) -> int:
    """
    How many batches that many pairs make.
    """
    return pairs // config.batch_size if config.drop_last else -(-pairs // config.batch_size)


def pair_batches(
    maker: PairMaker, order: IndexArray, epoch: int, config: LoaderConfig, start_batch: int = 0
) -> Iterator[PairBatch]:
    """
    The batches of an epoch, from ``start_batch`` on; closing the iterator stops the work ahead.

    :param order: what :func:`epoch_order` gave.
    """
    size = config.batch_size
    numbers = range(start_batch, count_batches(len(order), config))
    groups = [order[n * size : (n + 1) * size] for n in numbers]
    if config.workers == 0:
        for group in groups:
            yield maker.make(group, epoch)
        return
    ahead: deque[Future[PairBatch]] = deque()
    pool = ThreadPoolExecutor(config.workers, thread_name_prefix='pairs')
    try:
        for group in groups:
            ahead.append(pool.submit(maker.make, group, epoch))
            if len(ahead) > config.workers * config.prefetch:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _share_out(total: int, weights: Float64Array, source: IndexArray) -> IndexArray:
    """
    Whole numbers in proportion to weights that add up to the total (largest remainders); empty paths get none.
    """
    present = np.bincount(source, minlength=len(weights)) > 0
    if not np.any(weights * present):
        raise DataError(f'weights: found {weights.tolist()}, expected more than 0 for a path with photographs left')
    exact = total * weights * present / np.sum(weights * present)
    shares = np.floor(exact).astype(np.int64)
    shares[np.argsort(shares - exact, kind='stable')[: total - shares.sum()]] += 1
    return shares


def _draw(stream: np.random.Generator, photos: IndexArray, count: int, step: int) -> IndexArray:
    """
    ``count`` looks at some photographs; the k-th other look at one adds k ``step`` to its index.
    """
    if count == 0:
        return np.empty(0, np.int64)
    rounds = -(-count // len(photos))
    looks = [stream.permutation(photos) + step * k for k in range(rounds)]
    return np.concatenate(looks)[:count]
