# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
``examples/subscriber.py`` beside the node, over real DDS.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

pytest.importorskip('kp2d_ros.msg', reason='needs ROS 2 and the generated messages: make build', exc_type=ImportError)
pytestmark = pytest.mark.ros

from sensor_msgs.msg import Image  # noqa: E402

from kp2d_ros.msg import FrontendStatus, RelativePose  # noqa: E402

EXAMPLE = Path(__file__).parents[2] / 'examples' / 'subscriber.py'


@pytest.fixture
def example() -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location('subscriber_example', EXAMPLE)
    assert spec and spec.loader
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def test_the_three_messages_of_an_image_are_joined_and_used(rig: Any, example: ModuleType) -> None:
    rig.start()
    lines: list[str] = []
    seen: list[Any] = []
    counter = example.TrackCounter(lines.append)

    def use(observation: Any) -> None:
        seen.append(observation)
        counter.use(observation)

    subscriber = example.Subscriber(use, context=rig.contexts[0])
    rig.executors[0].add_node(subscriber)
    statuses, images = rig.listen(FrontendStatus, 'status'), rig.publisher(Image, 'image')
    rig.publish_camera_info(lambda c: c.wait(0.0))
    rig.spin_until(lambda: all(rig.node.outputs.publishers[topic].get_subscription_count() for topic in example.TOPICS))
    rig.play(images, range(6), statuses)
    rig.spin_until(lambda: len(seen) == 5)  # the first image has no reference
    assert [each.seq for each in seen] == [1, 2, 3, 4, 5]
    last = seen[-1]
    assert last.state in (RelativePose.OK, RelativePose.DEGRADED)
    assert last.reference_seq < last.seq
    assert len(last.track_ids) == len(last.xy) == len(last.bearing_xy) > 50
    assert set(last.track_ids.tolist()) & set(seen[-2].track_ids.tolist())
    moved = last.pairs_xy[:, 2:] - last.pairs_xy[:, :2]  # to the left: the camera passes by to its right
    assert len(moved) > 20
    assert np.median(moved[:, 0]) < -1
    assert last.reference_from_current[0] > 0
    assert np.linalg.eigvalsh(last.covariance).min() > 0
    assert len(lines) == 5
    assert lines[-1].startswith('image 5: ')
    subscriber.destroy_node()
