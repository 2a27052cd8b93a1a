# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import threading
from time import monotonic, sleep
from typing import Any

import pytest
from numpy.typing import NDArray

from kp2d_ros.core.errors import BackendError
from kp2d_ros.inference.extractor import ExtractorConfig
from kp2d_ros.ros.model_swap import ModelSwap

SIZE = (48, 64)


class Loader:
    """
    Builds extractors that note what they are warmed with; one called ``bad`` cannot be built.
    """

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.loading = threading.Event()
        self.seen = []

    def __call__(self, config: Any) -> Any:
        self.loading.set()
        self.gate.wait(10.0)
        if config.model == 'bad':
            raise BackendError('bad: cannot\nbe loaded')
        loader = self

        class Extractor:
            def extract(self, image: NDArray[Any]) -> None:
                loader.seen.append((config.model, image.shape))

        return Extractor()


def result_of(swap: Any) -> Any:
    deadline = monotonic() + 10.0
    while (result := swap.poll()) is None:
        assert monotonic() < deadline
        sleep(0.001)
    return result


def test_loads_and_warms_on_another_thread() -> None:
    loader = Loader()
    swap = ModelSwap(loader)
    assert swap.poll() is None
    swap.start(ExtractorConfig(model='a'), SIZE)
    result = result_of(swap)
    assert result.extractor is not None
    assert set(loader.seen) == {('a', SIZE)}
    assert swap.poll() is None


def test_says_in_one_line_why_it_could_not_be_loaded() -> None:
    swap = ModelSwap(Loader())
    swap.start(ExtractorConfig(model='bad'), SIZE)
    result = result_of(swap)
    assert result.extractor is None
    assert result.error == 'bad: cannot be loaded'


def test_the_last_request_counts() -> None:
    loader = Loader()
    swap = ModelSwap(loader)
    loader.gate.clear()
    swap.start(ExtractorConfig(model='a'), SIZE)
    assert loader.loading.wait(5.0)
    swap.start(ExtractorConfig(model='b'), SIZE)
    swap.start(ExtractorConfig(model='c'), SIZE)
    loader.gate.set()
    assert result_of(swap).config.model == 'c'
    assert swap.poll() is None
    assert 'b' not in {model for model, _ in loader.seen}


def test_nothing_comes_after_cancelling() -> None:
    loader = Loader()
    swap = ModelSwap(loader)
    loader.gate.clear()
    swap.start(ExtractorConfig(model='a'), SIZE)
    assert loader.loading.wait(5.0)
    swap.cancel()
    loader.gate.set()
    loader.loading.clear()
    swap.start(ExtractorConfig(model='b'), SIZE)
    assert result_of(swap).config.model == 'b'
    assert swap.poll() is None


@pytest.mark.filterwarnings('ignore::pytest.PytestUnhandledThreadExceptionWarning')
def test_goes_on_after_an_error_that_nobody_foresaw() -> None:
    def build(config: Any) -> Any:
        if config.model == 'odd':
            raise ZeroDivisionError
        return Loader()(config)

    swap = ModelSwap(build)
    swap.start(ExtractorConfig(model='odd'), SIZE)
    assert result_of(swap).extractor is None
    for thread in threading.enumerate():  # its error is reported as it ends: within this test, not in the next one
        if thread.name == 'kp2d_model_swap':
            thread.join()
    swap.start(ExtractorConfig(model='a'), SIZE)
    assert result_of(swap).extractor is not None
