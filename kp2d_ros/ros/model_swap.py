# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Another extractor while the old one goes on: loaded and warmed on a thread of its own, then handed over.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from kp2d_ros.core.errors import Kp2dError
from kp2d_ros.inference.extractor import Extractor, ExtractorConfig

BuildExtractor = Callable[[ExtractorConfig], Extractor]
Size = tuple[int, int]  # height, width

_WARM_UPS = 2  # the second image meets what the first one compiled


@dataclass(frozen=True, slots=True)
class SwapResult:
    """
    The new extractor and its settings, or why there is none.
    """

    config: ExtractorConfig
    extractor: Extractor | None
    error: str = ''


def load_extractor(build: BuildExtractor, config: ExtractorConfig, size: Size) -> Extractor:
    """
    An extractor that has seen an image of a size before, so that the first real one is not slow.

    :raises Kp2dError: if it cannot be built or does not run.
    """
    extractor = build(config)
    noise = np.random.default_rng(0).integers(0, 256, size, np.uint8)
    for _ in range(_WARM_UPS):
        extractor.extract(noise)
    return extractor


class ModelSwap:
    """
    Loads one extractor at a time; the last one that was asked for counts. Used by the executor's thread.
    """

    def __init__(self, build: BuildExtractor) -> None:
        self._build = build
        self._lock = threading.Lock()
        self._wanted: tuple[ExtractorConfig, Size] | None = None
        self._result: SwapResult | None = None
        self._is_running = False

    def start(self, config: ExtractorConfig, size: Size) -> None:
        """
        Load an extractor and warm it with images of a size; what was being loaded is forgotten.
        """
        with self._lock:
            self._wanted, self._result = (config, size), None
            if not self._is_running:
                self._is_running = True
                threading.Thread(target=self._run, name='kp2d_model_swap', daemon=True).start()

    def cancel(self) -> None:
        """
        Want nothing any more.
        """
        with self._lock:
            self._wanted = self._result = None

    def poll(self) -> SwapResult | None:
        """
        The result of the last request, once; None while there is none.
        """
        with self._lock:
            result, self._result = self._result, None
            return result

    def _run(self) -> None:
        while (wanted := self._next()) is not None:
            config, size = wanted
            result = None
            try:
                result = SwapResult(config, load_extractor(self._build, config, size))
            except Kp2dError as error:
                result = SwapResult(config, None, ' '.join(str(error).split()))
            finally:
                with self._lock:
                    self._is_running = result is not None  # anything else ends this thread
                    if self._wanted is wanted:
                        self._result = result or SwapResult(config, None, 'an unexpected error, see above')
                        self._wanted = None

    def _next(self) -> tuple[ExtractorConfig, Size] | None:
        with self._lock:
            self._is_running = self._wanted is not None
            return self._wanted
