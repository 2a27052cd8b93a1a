# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kp2d_ros.core.records import Frame
from kp2d_ros.inference.classical import ClassicalExtractor
from kp2d_ros.inference.extractor import ExtractorConfig
from kp2d_ros.inference.pipeline import PipelineConfig
from kp2d_ros.ros.engine import Engine

if TYPE_CHECKING:
    from test.ros.conftest import Pattern

ORB = PipelineConfig(extractor=ExtractorConfig(name='orb', max_keypoints=200))


@pytest.fixture
def frame(pattern: Pattern) -> Callable[..., Any]:
    return lambda number: Frame(number, (number + 1) * 50_000_000, pattern.view(number))


@pytest.fixture
def engine() -> Engine:
    return Engine(ClassicalExtractor(ORB.extractor), ORB)


def test_changes_wait_for_the_next_frame_and_keep_the_tracks(engine: Any, frame: Any) -> None:
    engine.process(frame(0))
    fewer = replace(ORB, extractor=replace(ORB.extractor, max_keypoints=50))
    engine.change_later(lambda engine: engine.reconfigure(fewer))
    assert len(engine.process(frame(1)).keypoints) > 50
    engine.make_changes()
    result = engine.process(frame(1))
    assert len(result.keypoints) == 50
    assert (result.track_ages > 0).any()
    assert not engine.began_anew


def test_another_extractor_begins_new_tracks_and_another_segment(engine: Any, frame: Any) -> None:
    before = engine.process(frame(0))
    sift = ExtractorConfig(name='sift', max_keypoints=200)
    engine.exchange(ClassicalExtractor(sift), PipelineConfig(extractor=sift))
    after = engine.process(frame(1))
    assert engine.info.model_id == 'rootsift'
    assert after.pose is None
    assert after.track_ids.min() > before.track_ids.max()
    assert after.scale_segment == before.scale_segment + 1
    assert not engine.began_anew  # time goes on, odometry as well
    following = engine.process(frame(2))
    assert following.pose.scale_segment == following.scale_segment == after.scale_segment
    assert (following.track_ages > 0).any()


def test_restart_numbers_on_and_reset_begins_at_zero(engine: Any, frame: Any) -> None:
    first = engine.process(frame(0))
    engine.restart()
    second = engine.process(frame(1))
    assert engine.began_anew
    assert second.track_ids.min() > first.track_ids.max()
    engine.reset()
    third = engine.process(frame(2))
    assert engine.began_anew
    assert third.track_ids.min() == 0
    assert third.scale_segment == 0
    engine.process(frame(3))
    assert not engine.began_anew


def test_settings_that_change_the_descriptors_begin_new_tracks(frame: Any) -> None:
    sift = PipelineConfig(extractor=ExtractorConfig(name='sift', max_keypoints=200))

    class Renamed(ClassicalExtractor):
        def __init__(self, config: Any) -> None:
            super().__init__(config)
            self.info = replace(self.info, model_id=f'sift-{config.border_px:g}')

        def reconfigured(self, config: Any) -> Any:
            return Renamed(config)

    engine = Engine(Renamed(sift.extractor), sift)
    engine.process(frame(0))
    engine.reconfigure(replace(sift, extractor=replace(sift.extractor, border_px=9.0)))
    result = engine.process(frame(1))
    assert result.pose is None
    assert not (result.track_ages > 0).any()


def test_frames_without_keypoints_use_no_numbers(engine: Any, frame: Any) -> None:
    used = engine.process(frame(0)).track_ids.max()
    blank = Frame(1, 100_000_000, np.zeros((120, 160), np.uint8))
    engine.restart()
    assert len(engine.process(blank).keypoints) == 0
    engine.restart()
    assert engine.process(frame(2)).track_ids.min() == used + 1


def test_matches_are_judged_by_the_extractor_in_use(engine: Any, frame: Any) -> None:
    class Judging(ClassicalExtractor):
        def reconfigured(self, config: Any) -> Any:
            return self

        def judge(self, reference: Any, current: Any, matches: Any, size: Any) -> NDArray[Any]:
            assert size == frame(0).image.shape[:2]
            return np.full(len(matches), 0.25, np.float32)

    engine.process(frame(0))
    assert engine.process(frame(1)).inlier_probability is None
    engine.exchange(Judging(ORB.extractor), ORB)
    engine.process(frame(2))
    result = engine.process(frame(3))
    assert result.inlier_probability.tolist() == [0.25] * len(result.matches) != []


def test_changes_are_made_in_their_order(engine: Any, frame: Any) -> None:
    for count in (10, 20, 30):
        config = replace(ORB, extractor=replace(ORB.extractor, max_keypoints=count))
        engine.change_later(lambda engine, config=config: engine.reconfigure(config))
    engine.make_changes()
    assert len(engine.process(frame(0)).keypoints) == 30


def test_an_engine_that_nobody_holds_is_gone_at_once_with_its_extractor() -> None:
    extractor = ClassicalExtractor(ORB.extractor)
    kept = weakref.ref(extractor)
    engine = Engine(extractor, ORB)
    del extractor
    gc.disable()
    try:
        del engine
        assert kept() is None
    finally:
        gc.enable()
