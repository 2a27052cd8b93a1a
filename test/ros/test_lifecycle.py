# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
States of the node, and the exchange of its extractor while it runs.
"""

import pytest

from kp2d_ros.core.errors import BackendError

pytest.importorskip('kp2d_ros.msg', reason='needs ROS 2 and the generated messages: make build', exc_type=ImportError)
pytestmark = pytest.mark.ros

from diagnostic_msgs.msg import DiagnosticArray  # noqa: E402
from lifecycle_msgs.msg import Transition  # noqa: E402
from lifecycle_msgs.srv import ChangeState, GetState  # noqa: E402
from sensor_msgs.msg import Image  # noqa: E402
from std_srvs.srv import Trigger  # noqa: E402

from kp2d_ros.msg import FrontendStatus  # noqa: E402


def change_state(rig, transition):
    request = ChangeState.Request(transition=Transition(id=transition))
    return rig.call(ChangeState, '/frontend/change_state', request).success


def state(rig):
    return rig.call(GetState, '/frontend/get_state', GetState.Request()).current_state.label


def answer(rig, publisher, number, statuses):
    before = len(statuses)
    publisher.publish(rig.image(number))
    rig.spin_until(lambda: len(statuses) > before)
    return statuses[-1]


def test_starts_by_itself_unless_told_otherwise(rig):
    rig.start()
    assert state(rig) == 'active'


def test_goes_through_all_states_and_works_again_afterwards(rig):
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
        assert node.session is None
        rig.neighbour.destroy_publisher(images)
    assert change_state(rig, Transition.TRANSITION_CLEANUP)
    assert rig.set_parameters(mode='replay').successful
    assert change_state(rig, Transition.TRANSITION_CONFIGURE)
    assert change_state(rig, Transition.TRANSITION_ACTIVATE)
    assert node.session.config.lossless
    assert change_state(rig, Transition.TRANSITION_ACTIVE_SHUTDOWN)
    assert state(rig) == 'finalized'


def test_stays_unconfigured_without_a_model_and_says_why_until_there_is_one(rig):
    node = rig.start(begin=False)
    reports = rig.listen(DiagnosticArray, '/diagnostics')
    working = node._build

    def fail(config):
        raise BackendError('weights.onnx: does not exist')

    node._build = fail
    node.start()
    assert state(rig) == 'unconfigured'
    rig.spin_until(
        lambda: any(r.status[0].message == 'no extractor: weights.onnx: does not exist' for r in reports), timeout=15.0
    )
    node._build = working
    assert change_state(rig, Transition.TRANSITION_CONFIGURE)
    assert change_state(rig, Transition.TRANSITION_ACTIVATE)


def test_a_new_extractor_is_loaded_beside_the_running_one_and_takes_its_place(rig):
    node = rig.start()
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
    rig.spin_until(lambda: node._loaded.name == 'sift')
    status = answer(rig, images, 2, statuses)
    assert (status.model_id, status.keypoint_count) == ('rootsift', 30)
    assert status.frames_dropped == 0
    assert answer(rig, images, 3, statuses).match_count > 0


def test_keeps_the_running_extractor_and_its_parameters_if_the_new_one_cannot_be_loaded(rig):
    node = rig.start()
    statuses, images = rig.listen(FrontendStatus, 'status'), rig.publisher(Image, 'image')
    working, failures = node._swap._build, []

    def fail(config):
        if config.name == 'kp2d':
            failures.append(config)
            raise BackendError('extractor.model: found none')
        return working(config)

    node._swap._build = fail
    assert rig.set_parameters(extractor__name='kp2d', extractor__max_keypoints=25).successful
    rig.spin_until(lambda: failures and node.get_parameter('extractor.name').value == 'orb')
    assert node.config.extractor.name == 'orb'
    status = answer(rig, images, 0, statuses)
    assert (status.model_id, status.keypoint_count) == ('orb', 25)
