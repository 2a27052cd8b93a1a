# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import replace
from typing import Any

from kp2d_ros.ros.diagnosis import (
    NodeFacts,
    Offer,
    PairFacts,
    SecondInput,
    TopicFacts,
    pair_values,
    why_no_output,
    why_no_poses,
    why_poor_input,
)

IMAGE = TopicFacts('/cam/image', 'sensor_msgs/msg/Image', 'reliable, volatile')
INFO = TopicFacts('/cam/camera_info', 'sensor_msgs/msg/CameraInfo', 'best_effort, volatile')
FACTS = NodeFacts('active', IMAGE, INFO)
OFFER = Offer('/driver', 'sensor_msgs/msg/Image', 'best_effort, volatile')


def offering(*offers: Any, **changes: Any) -> Any:
    return replace(FACTS, image=replace(IMAGE, offers=offers), **changes)


def test_says_nothing_while_images_are_processed() -> None:
    assert why_no_output(replace(FACTS, is_processing=True)) == ''


def test_names_the_topic_without_publisher_and_the_nearest_image_topics() -> None:
    sentence = why_no_output(replace(FACTS, image_topics=['/front/image', '/cam/image_raw', '/x', '/y', '/z']))
    assert sentence.startswith('no publisher on /cam/image;')
    assert 'image_raw' in sentence
    assert 'and 2 more' in sentence
    assert '-r image:=/cam/image_raw' in sentence


def test_says_that_there_is_no_image_topic_at_all() -> None:
    assert why_no_output(FACTS) == 'no publisher on /cam/image; there is no image topic at all'


def test_names_both_types_if_they_differ() -> None:
    compressed = replace(OFFER, type_name='sensor_msgs/msg/CompressedImage')
    assert why_no_output(offering(compressed)) == (
        '/cam/image carries sensor_msgs/msg/CompressedImage, expected sensor_msgs/msg/Image'
    )


def test_names_both_sides_of_incompatible_policies() -> None:
    unfit = replace(OFFER, incompatible=('reliability: offered best_effort, requested reliable',))
    sentence = why_no_output(offering(unfit))
    assert 'incompatible QoS on /cam/image' in sentence
    assert '/driver offers best_effort, volatile' in sentence
    assert 'requests reliable, volatile' in sentence


def test_a_publisher_that_fits_beside_one_that_does_not_is_no_qos_problem() -> None:
    unfit = replace(OFFER, incompatible=('reliability',))
    assert 'sends nothing' in why_no_output(offering(unfit, OFFER))


def test_model_comes_before_lifecycle_and_lifecycle_before_topics() -> None:
    without_model = replace(FACTS, state='unconfigured', model_problem='weights.onnx: does not exist')
    assert why_no_output(without_model) == 'no extractor: weights.onnx: does not exist'
    assert 'configure`, then `activate' in why_no_output(replace(FACTS, state='unconfigured'))
    assert why_no_output(replace(FACTS, state='inactive')) == 'the node is inactive: `ros2 lifecycle set NODE activate`'


def test_repeats_why_images_are_refused_and_why_the_worker_does_not_work() -> None:
    arriving = replace(FACTS, is_receiving=True)
    refused = replace(arriving, refusal="encoding: found 'h264'")
    assert why_no_output(refused) == "images arrive on /cam/image, but none can be used: encoding: found 'h264'"
    assert why_no_output(replace(refused, trouble='the worker ended')).endswith('but the worker ended')
    assert 'still being processed' in why_no_output(arriving)


def test_mentions_a_simulated_clock_that_nobody_publishes() -> None:
    assert why_no_output(replace(FACTS, clock_is_missing=True)).endswith('nothing publishes /clock')


def test_says_why_there_are_no_poses() -> None:
    assert why_no_poses(FACTS) == 'no calibration: no publisher on /cam/camera_info'
    assert why_no_poses(replace(FACTS, camera_problem='K[0] == 0')) == 'K[0] == 0'
    assert why_no_poses(replace(FACTS, camera_info=replace(INFO, received=3))) == ''


RIGHT = TopicFacts('/right/image', 'sensor_msgs/msg/Image', 'reliable, volatile', (OFFER,))
PAIRS = PairFacts(counts=(100, 100), rates=(20.0, 20.0), pairs=100, offset_s=0.0, tolerance_s=0.0)
SECOND = SecondInput(RIGHT, PAIRS, replace(INFO, topic='/right/camera_info', received=1))


def paired(**changes: Any) -> NodeFacts:
    second = replace(SECOND, pairs=replace(PAIRS, **changes))
    return replace(FACTS, image=replace(IMAGE, offers=(OFFER,)), second=second)


def test_nothing_is_said_of_topics_that_pair() -> None:
    assert why_poor_input(paired()) == why_poor_input(FACTS) == ''
    assert why_poor_input(paired(pairs=0)) == ''  # nothing comes out: that is said elsewhere


def test_a_silent_topic_is_named_with_the_one_that_arrives() -> None:
    silent = '/cam/image arrives, but of what belongs to it nothing: /right/image has a publisher (/driver)'
    assert why_no_output(paired(counts=(100, 0), pairs=0)).startswith(silent)
    assert why_no_output(paired(counts=(0, 7), pairs=0)).startswith('/right/image arrives, but of what belongs to it')
    assert why_no_output(paired(counts=(0, 0), pairs=0)).startswith('/cam/image has a publisher')


def test_the_offset_of_stamps_is_told_in_its_direction_and_with_its_limit() -> None:
    late = why_no_output(paired(pairs=0, offset_s=0.030))
    assert 'the stamps of the second are 30.0 ms later (median), but must be equal' in late
    assert late.endswith('approx_sync:=approximate with sync_tolerance_s above 0.030 pairs them')
    slight = why_no_output(paired(pairs=0, offset_s=2.5e-6))
    assert 'are 2.5 us later (median), but must be equal' in slight
    assert slight.endswith('or approx_sync:=approximate pairs them')
    assert why_no_output(paired(pairs=0)).endswith('after the other; set sync_queue higher')
    early = why_no_output(paired(pairs=0, offset_s=-5.25, tolerance_s=0.02))
    assert '5.25 s earlier (median), more than sync_tolerance_s (0.02 s)' in early


def test_the_slower_topic_is_told_with_both_rates() -> None:
    facts = paired(counts=(99, 33), rates=(30.0, 10.0), pairs=33)
    assert why_poor_input(facts) == (
        '67% of the messages have no partner: /cam/image comes at 30.0 Hz, /right/image at 10.0 Hz'
    )
    assert why_poor_input(paired(counts=(4, 2), pairs=2)) == ''  # too few to tell


def test_the_rig_comes_before_rates_and_offsets() -> None:
    facts = replace(paired(offset_s=0.03), second=replace(SECOND, warning='the baseline is 120 m'))
    assert why_poor_input(facts) == 'the baseline is 120 m'
    assert '30.0 ms later than those of /cam/image' in why_poor_input(paired(offset_s=0.03, tolerance_s=0.05))


def test_a_missing_right_calibration_is_named() -> None:
    known = replace(INFO, received=1)
    second = replace(SECOND, camera_info=TopicFacts('/right/camera_info', 'sensor_msgs/msg/CameraInfo'))
    assert why_no_poses(replace(FACTS, camera_info=known, second=second)) == (
        'no calibration: no publisher on /right/camera_info'
    )
    assert why_no_poses(replace(FACTS, camera_info=known, second=SECOND)) == ''


def test_diagnostics_list_both_topics() -> None:
    assert pair_values(None) == {}
    assert pair_values(SECOND) == {
        'second topic': '/right/image (sensor_msgs/msg/Image)',
        'rates of both (Hz)': '20.0, 20.0',
        'paired (last seconds)': '100 of 100 and 100',
        'offset of stamps (ms)': '0.0',
    }
