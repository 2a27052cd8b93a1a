# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import itertools
from typing import Any

import pytest

pytest.importorskip('kp2d_ros.msg', reason='needs ROS 2 and the generated messages: make build', exc_type=ImportError)
pytestmark = pytest.mark.ros

from rclpy.duration import Duration  # noqa: E402
from rclpy.qos import (  # noqa: E402
    DurabilityPolicy,
    HistoryPolicy,
    QoSCompatibility,
    QoSProfile,
    ReliabilityPolicy,
    qos_check_compatible,
)

from kp2d_ros.ros.qos import (  # noqa: E402
    camera_info_qos,
    describe_qos,
    image_qos,
    incompatible_policies,
    is_overridden,
    match_offers,
)

RELIABILITIES = (ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT)
DURABILITIES = (DurabilityPolicy.TRANSIENT_LOCAL, DurabilityPolicy.VOLATILE)
OFFERS = [
    QoSProfile(depth=1, reliability=reliability, durability=durability)
    for reliability, durability in itertools.product(RELIABILITIES, DURABILITIES)
]


def fits(offered: Any, requested: Any) -> bool:
    # A warning speaks of what is left to the middleware.
    return qos_check_compatible(offered, requested)[0] != QoSCompatibility.ERROR


@pytest.mark.parametrize('lossless', [False, True])
@pytest.mark.parametrize('latched', [False, True])
@pytest.mark.parametrize('large', [False, True])
def test_whatever_is_offered_fits_what_is_asked_for_then(lossless: bool, latched: bool, large: bool) -> None:
    for count in (1, 2):
        for offers in itertools.product(OFFERS, repeat=count):
            matched = match_offers(image_qos(lossless), offers, latched, large)
            assert all(fits(offer, matched) for offer in offers)
            assert not any(incompatible_policies(offer, matched) for offer in offers)


def test_live_asks_for_the_newest_image_only_and_replay_for_all() -> None:
    live, replay = image_qos(lossless=False), image_qos(lossless=True)
    assert (live.reliability, live.history, live.depth) == (RELIABILITIES[1], HistoryPolicy.KEEP_LAST, 1)
    assert (replay.reliability, replay.history) == (RELIABILITIES[0], HistoryPolicy.KEEP_ALL)


def test_large_messages_are_reliable_where_that_is_offered_and_small_ones_stay() -> None:
    (reliable,) = [o for o in OFFERS if (o.reliability, o.durability) == (RELIABILITIES[0], DURABILITIES[1])]
    assert match_offers(image_qos(False), [reliable], False, large=True).reliability == RELIABILITIES[0]
    assert match_offers(camera_info_qos(False), [reliable], True, large=False).reliability == RELIABILITIES[1]


def test_latched_calibrations_are_asked_for_as_such() -> None:
    (kept,) = [o for o in OFFERS if (o.reliability, o.durability) == (RELIABILITIES[0], DURABILITIES[0])]
    matched = match_offers(camera_info_qos(False), [kept], latched=True, large=False)
    assert (matched.reliability, matched.durability) == (RELIABILITIES[0], DURABILITIES[0])


@pytest.mark.parametrize('offered', OFFERS)
@pytest.mark.parametrize('requested', OFFERS)
def test_judges_as_ros_does_and_names_both_sides(offered: Any, requested: Any) -> None:
    problems = incompatible_policies(offered, requested)
    assert bool(problems) != fits(offered, requested)
    assert all('offered' in problem and 'requested' in problem for problem in problems)


def test_a_deadline_that_nobody_offers_does_not_fit() -> None:
    requested = QoSProfile(depth=1, deadline=Duration(seconds=1))
    assert 'deadline' in incompatible_policies(QoSProfile(depth=1), requested)[0]
    assert not incompatible_policies(QoSProfile(depth=1, deadline=Duration(seconds=1)), requested)


def test_says_policies_as_parameters_are_written() -> None:
    assert describe_qos(image_qos(False)) == 'best_effort, volatile'


def test_overrides_belong_to_one_topic_and_side() -> None:
    names = {'qos_overrides./cam/image.subscription.depth'}
    assert is_overridden('/cam/image', 'subscription', names)
    assert not is_overridden('/cam/image', 'publisher', names)
    assert not is_overridden('/image', 'subscription', names)
