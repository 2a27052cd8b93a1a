# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
States of the node, and the exchange of its extractor while it runs.
"""

from __future__ import annotations

import gc
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from kp2d_ros.core.errors import BackendError

pytest.importorskip('kp2d_ros.msg', reason='needs ROS 2 and the generated messages: make build', exc_type=ImportError)
pytestmark = pytest.mark.ros

from diagnostic_msgs.msg import DiagnosticArray  # noqa: E402
from lifecycle_msgs.msg import Transition  # noqa: E402
from lifecycle_msgs.srv import ChangeState, GetState  # noqa: E402
from rcl_interfaces.msg import SetParametersResult  # noqa: E402
from rclpy.node import Node  # noqa: E402
from sensor_msgs.msg import Image  # noqa: E402
from std_srvs.srv import Trigger  # noqa: E402

from kp2d_ros.msg import FrontendStatus  # noqa: E402

if TYPE_CHECKING:
    from test.ros.conftest import Rig


def change_state(rig: Any, transition: Any) -> Any:
    request = ChangeState.Request(transition=Transition(id=transition))
    return rig.call(ChangeState, '/frontend/change_state', request).success


def state(rig: Any) -> Any:
    return rig.call(GetState, '/frontend/get_state', GetState.Request()).current_state.label


def answer(rig: Any, publisher: Any, number: Any, statuses: Any) -> Any:
    before = len(statuses)
    publisher.publish(rig.image(number))
    rig.spin_until(lambda: len(statuses) > before)
    return statuses[-1]


def test_starts_by_itself_unless_told_otherwise(rig: Rig) -> None:
    rig.start()
    assert state(rig) == 'active'


def test_goes_through_all_states_and_works_again_afterwards(rig: Rig) -> None:
    node = rig.start(autostart=False)
    statuses = rig.listen(FrontendStatus, 'status')
    assert state(rig) == 'unconfigured'
    assert not rig.call(Trigger, '/frontend/reset', Trigger.Request()).success
    assert change_state(rig, Transition.TRANSITION_CONFIGURE)
    assert state(rig) == 'inactive'
    assert rig.neighbour.count_subscribers('/image') == 0
    for run in (1, 2):
        assert change_state(rig, Transition.TRANSITION_ACTIVATE)
        images = rig.publisher(Image, 'image')
        status = answer(rig, images, run, statuses)
        assert (status.frames_received, status.frames_processed) == (1, 1)
        assert change_state(rig, Transition.TRANSITION_DEACTIVATE)
        assert node.worker is None
        rig.neighbour.destroy_publisher(images)
    assert change_state(rig, Transition.TRANSITION_CLEANUP)
    assert rig.set_parameters(mode='replay').successful
    assert change_state(rig, Transition.TRANSITION_CONFIGURE)
    assert change_state(rig, Transition.TRANSITION_ACTIVATE)
    assert node.worker.config.lossless
    assert change_state(rig, Transition.TRANSITION_ACTIVE_SHUTDOWN)
    assert state(rig) == 'finalized'


def test_stays_unconfigured_without_a_model_and_says_why_until_there_is_one(rig: Rig) -> None:
    node = rig.start(begin=False)
    reports = rig.listen(DiagnosticArray, '/diagnostics')
    rig.extractors.failures['orb'] = BackendError('weights.onnx: does not exist')
    node.start()
    assert state(rig) == 'unconfigured'
    rig.spin_until(
        lambda: any(r.status[0].message == 'no extractor: weights.onnx: does not exist' for r in reports), timeout=15.0
    )
    rig.extractors.failures.clear()
    assert change_state(rig, Transition.TRANSITION_CONFIGURE)
    assert change_state(rig, Transition.TRANSITION_ACTIVATE)


def test_a_new_extractor_is_loaded_beside_the_running_one_and_takes_its_place(rig: Rig) -> None:
    rig.start()
    statuses, images = rig.listen(FrontendStatus, 'status'), rig.publisher(Image, 'image')
    assert answer(rig, images, 0, statuses).model_id == 'orb'
    gate = rig.extractors.gate
    loading = type(gate)()
    rig.extractors.gate = loading  # what is built from here on waits while it is warmed
    assert rig.set_parameters(extractor__name='sift').successful
    rig.spin_until(lambda: len(rig.extractors.configs) == 2)
    assert answer(rig, images, 1, statuses).model_id == 'orb'
    assert rig.set_parameters(extractor__max_keypoints=30).successful
    loading.set()
    rig.spin_until(lambda: answer(rig, images, 10 + len(statuses), statuses).model_id == 'rootsift')
    status = answer(rig, images, 100, statuses)
    assert (status.model_id, status.keypoint_count) == ('rootsift', 30)
    assert status.frames_dropped == 0
    assert answer(rig, images, 101, statuses).match_count > 0


def test_keeps_the_running_extractor_and_its_parameters_if_the_new_one_cannot_be_loaded(rig: Rig) -> None:
    node = rig.start()
    statuses, images = rig.listen(FrontendStatus, 'status'), rig.publisher(Image, 'image')
    rig.extractors.failures['kp2d'] = BackendError('extractor.model: found none')
    assert rig.set_parameters(extractor__name='kp2d', extractor__max_keypoints=25).successful
    rig.spin_until(lambda: len(rig.extractors.configs) == 2 and node.get_parameter('extractor.name').value == 'orb')
    assert node.config.extractor.name == 'orb'
    status = answer(rig, images, 0, statuses)
    assert (status.model_id, status.keypoint_count) == ('orb', 25)


def test_settings_and_models_that_arrive_while_an_image_is_processed_all_count(rig: Rig) -> None:
    node = rig.start()
    statuses, images = rig.listen(FrontendStatus, 'status'), rig.publisher(Image, 'image')
    gate = rig.extractors.gate
    gate.clear()
    images.publish(rig.image(0))
    entered = rig.extractors.entered
    rig.spin_until(lambda: rig.extractors.entered > entered)
    rig.extractors.gate = type(gate)()  # of the extractor that is loaded meanwhile
    rig.extractors.gate.set()
    assert rig.set_parameters(extractor__name='sift').successful
    rig.spin_until(lambda: len(rig.extractors.configs) == 2)
    assert rig.set_parameters(extractor__max_keypoints=30, matching__ratio=0.5).successful
    gate.set()
    rig.spin_until(lambda: answer(rig, images, 1 + len(statuses), statuses).model_id == 'rootsift')
    assert answer(rig, images, 1 + len(statuses), statuses).keypoint_count == 30
    assert node.config.matching.ratio == 0.5


def test_a_model_that_is_no_longer_wanted_is_not_taken(rig: Rig) -> None:
    rig.start()
    statuses, images = rig.listen(FrontendStatus, 'status'), rig.publisher(Image, 'image')
    gate = rig.extractors.gate
    loading = rig.extractors.gate = type(gate)()
    assert rig.set_parameters(extractor__name='sift').successful
    rig.spin_until(lambda: len(rig.extractors.configs) == 2)
    assert rig.set_parameters(extractor__name='orb').successful
    loading.set()
    for number in range(5):
        assert answer(rig, images, number, statuses).model_id == 'orb'


def test_parameters_are_checked_first_and_used_only_when_they_are_set(rig: Rig) -> None:
    node = rig.start()
    refused = node.add_on_set_parameters_callback
    refused(lambda parameters: SetParametersResult(successful=False, reason='somebody else says no'))
    assert not rig.set_parameters(matching__ratio=0.5).successful
    assert node.config.matching.ratio == 0.85


def test_where_nothing_follows_a_change_of_parameters_the_check_uses_them(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(Node, 'add_post_set_parameters_callback')  # as on Humble
    node = rig.start()
    assert rig.set_parameters(matching__ratio=0.5).successful
    assert node.config.matching.ratio == 0.5
    assert not rig.set_parameters(matching__ratio=7.0).successful
    assert node.config.matching.ratio == 0.5


def test_a_node_with_a_stuck_worker_can_be_configured_anew(rig: Rig) -> None:
    rig.start()
    images = rig.publisher(Image, 'image')
    stuck = rig.extractors.gate
    stuck.clear()
    entered = rig.extractors.entered
    images.publish(rig.image(0))
    rig.spin_until(lambda: rig.extractors.entered > entered)
    assert not change_state(rig, Transition.TRANSITION_DEACTIVATE)
    assert state(rig) == 'unconfigured'
    rig.extractors.gate = type(stuck)()
    rig.extractors.gate.set()
    assert change_state(rig, Transition.TRANSITION_CONFIGURE)
    assert change_state(rig, Transition.TRANSITION_ACTIVATE)
    statuses = rig.listen(FrontendStatus, 'status')
    rig.neighbour.destroy_publisher(images)
    answer(rig, rig.publisher(Image, 'image'), 1, statuses)
    stuck.set()


def test_nothing_of_a_configuration_outlives_its_cleanup(rig: Rig) -> None:
    node = rig.start(autostart=False)
    statuses = rig.listen(FrontendStatus, 'status')
    gc.collect()
    gc.disable()  # what only the collector of cycles finds is a network that stays in memory for long
    try:
        for run in range(2):
            assert change_state(rig, Transition.TRANSITION_CONFIGURE)
            assert change_state(rig, Transition.TRANSITION_ACTIVATE)
            images = rig.publisher(Image, 'image')
            answer(rig, images, run, statuses)
            kept = [weakref.ref(each) for each in (node.engine, node.worker, node.outputs, node.inputs)]
            kept += rig.extractors.built
            assert change_state(rig, Transition.TRANSITION_DEACTIVATE)
            assert change_state(rig, Transition.TRANSITION_CLEANUP)
            rig.neighbour.destroy_publisher(images)
            assert [ref() for ref in kept] == [None] * len(kept)
    finally:
        gc.enable()


def test_nothing_of_an_extractor_outlives_its_exchange(rig: Rig) -> None:
    rig.start()
    statuses, images = rig.listen(FrontendStatus, 'status'), rig.publisher(Image, 'image')
    gc.collect()
    gc.disable()
    try:
        answer(rig, images, 0, statuses)
        kept = list(rig.extractors.built)
        assert rig.set_parameters(extractor__name='sift').successful
        rig.spin_until(lambda: answer(rig, images, 1 + len(statuses), statuses).model_id == 'rootsift')
        assert [ref for ref in kept if ref() is not None] == []
    finally:
        gc.enable()
