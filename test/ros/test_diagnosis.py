# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import replace
from typing import Any

from kp2d_ros.ros.diagnosis import NodeFacts, Offer, TopicFacts, why_no_output, why_no_poses

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
