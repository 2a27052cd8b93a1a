# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
The doctor in the node: what it finds is in the diagnostics, and whatever it does, the frontend goes on.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip('kp2d_ros.msg', reason='needs ROS 2 and the generated messages: make build', exc_type=ImportError)
pytestmark = pytest.mark.ros

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus  # noqa: E402
from sensor_msgs.msg import CameraInfo, Image  # noqa: E402

from kp2d_ros.core.records import Frame  # noqa: E402
from kp2d_ros.doctor.examination import Doctor  # noqa: E402
from kp2d_ros.doctor.findings import Finding  # noqa: E402
from kp2d_ros.msg import FrontendStatus  # noqa: E402
from kp2d_ros.ros.checkup import Checkup  # noqa: E402
from kp2d_ros.ros.log_bridge import ThrottledLog  # noqa: E402
from kp2d_ros.ros.node_config import NodeConfig  # noqa: E402

if TYPE_CHECKING:
    from test.ros.conftest import Pattern, Rig

FOCAL_PX, BASELINE, APART = 150.0, 0.3, 3


def doctor_of(report: Any) -> Any:
    """
    What the doctor says in a report, None if nothing.
    """
    return next((status for status in report.status if status.name.endswith(': doctor')), None)


def play_pairs(rig: Rig, reports: list[Any], swap: bool) -> Any:
    """
    Pairs of a rig until the doctor has judged it; gives what it says.
    """
    statuses = rig.listen(FrontendStatus, 'status', 500)
    images, partners = rig.publisher(Image, 'image'), rig.publisher(Image, 'right/image')
    infos, right_infos = rig.publisher(CameraInfo, 'camera_info'), rig.publisher(CameraInfo, 'right/camera_info')

    def are_known() -> bool:
        right = rig.camera_info()
        right.p[3] = -FOCAL_PX * BASELINE
        infos.publish(rig.camera_info())
        right_infos.publish(right)
        return bool(rig.node.inputs.calibrations.wait(0.0))

    rig.spin_until(are_known)
    for number in range(45):
        near, far = (APART, 0) if swap else (0, APART)
        image = rig.image(number + near, header=rig.image(number).header)
        images.publish(image)
        partners.publish(rig.image(number + far, header=image.header))
        rig.spin_until(lambda number=number: len(statuses) > number)
    seen = len(reports)
    rig.spin_until(lambda: len(reports) > seen and doctor_of(reports[-1]) is not None)
    return doctor_of(reports[-1])


@pytest.mark.parametrize('swap', [False, True])
def test_what_the_doctor_finds_is_in_the_diagnostics_after_the_first_seconds(rig: Rig, swap: bool) -> None:
    rig.start(sensor='stereo')
    reports, lines = rig.listen(DiagnosticArray, '/diagnostics'), rig.collect_warnings()
    status = play_pairs(rig, reports, swap)
    told = {pair.key: pair.value for pair in status.values}
    assert {'baseline', 'order', 'rows', 'delay', 'exposure'} <= set(told)
    assert not {'rate', 'partners'} & set(told)  # a live node leaves frames out
    complaints = [line for line in lines if 'left and right are swapped' in line]
    if swap:
        assert status.level == DiagnosticStatus.ERROR
        assert 'left and right are swapped' in status.message and 'exchange the two topics' in status.message
        assert len(complaints) == 1 and complaints[0].startswith('doctor: ')
    else:
        assert 'left is left' in told['order']
        assert not complaints


def test_a_doctor_that_is_not_wanted_says_nothing(rig: Rig) -> None:
    rig.start(doctor=False)
    reports, statuses = rig.listen(DiagnosticArray, '/diagnostics'), rig.listen(FrontendStatus, 'status')
    rig.play(rig.publisher(Image, 'image'), range(3), statuses)
    seen = len(reports)
    rig.spin_until(lambda: len(reports) > seen)
    assert [status.name for status in reports[-1].status] == ['frontend: frontend']


def frames_of(pattern: Pattern, count: int) -> list[Frame]:
    return [Frame(i, 10**9 + i * 50_000_000, pattern.view(i)) for i in range(count)]


def test_a_close_look_is_taken_once_a_second(pattern: Pattern, monkeypatch: pytest.MonkeyPatch) -> None:
    judged: list[int] = []

    def findings(self: Doctor) -> list[Finding]:
        judged.append(self.frames)
        return []

    monkeypatch.setattr(Doctor, 'findings', findings)
    checkup = Checkup(NodeConfig(), ThrottledLog(lambda text: None, 1.0))
    for frame in frames_of(pattern, 70):
        checkup.show(frame)
    assert judged == [1, 22, 42, 62]  # each when the frame after it is there


def test_a_doctor_that_fails_is_said_once_and_asked_no_more(pattern: Pattern, monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []

    def fail(self: Doctor, frame: Frame) -> bool:
        raise ZeroDivisionError('of a kind that nobody foresaw')

    monkeypatch.setattr(Doctor, 'show', fail)
    checkup = Checkup(NodeConfig(), ThrottledLog(lines.append, 0.0))
    published: list[Any] = []

    def publish_only(processed: Any, counts: Any) -> float:
        published.append(processed)
        return 7.0

    publish = checkup.after(publish_only)
    for frame in frames_of(pattern, 3):
        assert publish(SimpleNamespace(frame=frame), None) == 7.0
    assert len(published) == 3
    assert [line for line in lines if 'doctor' in line] == [
        'the doctor ends: ZeroDivisionError: of a kind that nobody foresaw'
    ]
