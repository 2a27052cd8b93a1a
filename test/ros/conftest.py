# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
A frontend and somebody who talks to it over DDS, in one process, in a domain of their own.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from time import monotonic
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

HEIGHT, WIDTH = 120, 160
STEP_NS = 50_000_000
FIRST_NS = 1_000_000_000
SHIFT_PX = 2  # of the upper plane; the lower one moves twice as far


def pytest_configure() -> None:
    if os.environ.get('ROS_DOMAIN_ID', '0') in ('', '0'):
        os.environ['ROS_DOMAIN_ID'] = str(1 + os.getpid() % 101)
    os.environ.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
    os.environ.setdefault('ROS_LOCALHOST_ONLY', '1' if os.environ.get('ROS_DISTRO') == 'humble' else '0')


class Pattern:
    """
    Views of two textured planes, the upper one farther away, that a camera passes by.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        coarse = rng.integers(0, 256, (30, 300), np.uint8)
        self._plane = cv2.resize(coarse, (2400, HEIGHT), interpolation=cv2.INTER_CUBIC)

    def view(self, number: Any) -> NDArray[Any]:
        view = np.empty((HEIGHT, WIDTH), np.uint8)
        for rows, shift in ((slice(0, HEIGHT // 2), SHIFT_PX), (slice(HEIGHT // 2, HEIGHT), 2 * SHIFT_PX)):
            left = shift * (number % 300)
            view[rows] = self._plane[rows, left : left + WIDTH]
        return view


class ScriptedExtractor:
    """
    ORB that can be held up: it takes an image only while ``gate`` is set.
    """

    def __init__(self, config: Any, log: Any, gate: Any) -> None:
        from kp2d_ros.inference.classical import ClassicalExtractor

        self._orb = ClassicalExtractor(config)
        self._log = log
        self._gate = gate

    @property
    def info(self) -> Any:
        return self._orb.info

    def extract(self, image: NDArray[Any]) -> Any:
        self._log.entered += 1
        self._gate.wait(20.0)
        self._log.finished += 1
        if self._log.surprises:
            raise self._log.surprises.pop()
        return self._orb.extract(image)

    def reconfigured(self, config: Any) -> ScriptedExtractor:
        return ScriptedExtractor(config, self._log, self._gate)


class ExtractorLog:
    """
    What became of the extractors that a node asked for.
    """

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.entered = self.finished = 0
        self.surprises = []  # what extracting raises, the last one first
        self.configs = []
        self.built = []  # weak references to them
        self.failures = {}  # by the name of the extractor, what building one raises

    def build(self, config: Any) -> ScriptedExtractor:
        self.configs.append(config)
        if config.name in self.failures:
            raise self.failures[config.name]
        extractor = ScriptedExtractor(config, self, self.gate)
        self.built.append(weakref.ref(extractor))
        return extractor


class Listening:
    """
    A logger somebody listens to.
    """

    def __init__(self, logger: Any, lines: Any) -> None:
        self._logger, self._lines = logger, lines

    def __getattr__(self, severity: Any) -> Callable[..., None]:
        def say(text: str) -> None:
            self._lines.append(text)
            getattr(self._logger, severity)(text)

        return say


class Rig:
    """
    The node, its neighbour, and the executors that spin them.
    """

    def __init__(self, pattern: Any) -> None:
        import rclpy
        from rclpy.executors import SingleThreadedExecutor

        # One participant each: in the same one, two types on one topic are refused.
        self.contexts = [rclpy.Context(), rclpy.Context()]
        for context in self.contexts:
            rclpy.init(context=context)
        self.executors = [SingleThreadedExecutor(context=context) for context in self.contexts]
        self.neighbour = rclpy.create_node('neighbour', context=self.contexts[0])
        self.executors[0].add_node(self.neighbour)
        self.pattern = pattern
        self.extractors = ExtractorLog()
        self.node: Any = None
        self._clients = {}

    def start(self, begin: bool = True, **parameters: Any) -> Any:
        """
        The node with these parameters (dots as double underscores), ORB unless they say otherwise.
        """
        from rclpy.parameter import Parameter

        from kp2d_ros.ros.frontend_node import FrontendNode

        values = {'extractor.name': 'orb', 'extractor.max_keypoints': 200}
        values |= {name.replace('__', '.'): value for name, value in parameters.items()}
        self.node = FrontendNode(
            build=self.extractors.build,
            context=self.contexts[1],
            parameter_overrides=[Parameter(name, value=value) for name, value in values.items()],
        )
        self.executors[1].add_node(self.node)
        if begin:
            self.node.start()
        return self.node

    def close(self) -> None:
        self.extractors.gate.set()
        if self.node is not None:
            self.node.destroy_node()
        self.neighbour.destroy_node()
        for executor, context in zip(self.executors, self.contexts, strict=True):
            executor.shutdown()
            context.try_shutdown()

    def spin_until(self, is_true: Any, timeout: float = 10.0) -> None:
        deadline = monotonic() + timeout
        while not is_true():
            if monotonic() > deadline:
                raise AssertionError('what was waited for did not happen')
            for executor in self.executors:
                executor.spin_once(timeout_sec=0.005)

    def listen(self, message_class: Any, topic: Any, qos: int = 50) -> list[Any]:
        """
        The list that the messages of a topic will be in.
        """
        messages = []
        self.neighbour.create_subscription(message_class, topic, messages.append, qos)
        return messages

    def publisher(self, message_class: Any, topic: Any, qos: int = 50) -> Any:
        """
        A publisher that the node is subscribed to, with the QoS that it will stay with.
        """
        publisher = self.neighbour.create_publisher(message_class, topic, qos)
        if 'image' in topic:
            # A best-effort message that is sent while the other side changes its subscription is lost.
            subscription = self.node.inputs.image if topic.startswith('image') else self.node.inputs.partner
            self.spin_until(
                lambda: (
                    subscription.qos.reliability == publisher.qos_profile.reliability
                    and subscription.request.message_class is message_class
                    and subscription.publisher_count == 1
                )
            )
        self.spin_until(lambda: publisher.get_subscription_count() >= 1)
        return publisher

    def publish_camera_info(self, is_known: Any, **fields: Any) -> Any:
        """
        Send a calibration until it has arrived, as a camera does.
        """
        publisher = self.publisher(self.camera_info().__class__, 'camera_info')

        def is_known_at_last() -> Any:
            publisher.publish(self.camera_info(**fields))
            return is_known(self.node.inputs.calibrations)

        self.spin_until(is_known_at_last)
        return publisher

    def image(self, number: Any, **fields: Any) -> Any:
        from kp2d_ros.ros.conversions import header_from, image_message

        message = image_message(self.pattern.view(number), header_from(FIRST_NS + number * STEP_NS, 'camera'))
        for name, value in fields.items():
            setattr(message, name, value)
        return message

    def camera_info(self, number: int = 0, **fields: Any) -> Any:
        from kp2d_ros.core.cameras import CameraModel, LensModel
        from kp2d_ros.recordings.camera_yaml import fields_from_camera
        from kp2d_ros.ros.conversions import camera_info_message, header_from

        matrix = np.array([[150.0, 0.0, (WIDTH - 1) / 2], [0.0, 150.0, (HEIGHT - 1) / 2], [0.0, 0.0, 1.0]])
        camera = CameraModel(WIDTH, HEIGHT, matrix, LensModel.PLUMB_BOB, np.zeros(5))
        message = camera_info_message(fields_from_camera(camera), header_from(FIRST_NS + number * STEP_NS, 'camera'))
        for name, value in fields.items():
            setattr(message, name, value)
        return message

    def play(self, publisher: Any, numbers: Any, statuses: Any, camera_info: Any = None) -> None:
        """
        Images one by one, each when the last one was answered.
        """
        for number in numbers:
            if camera_info is not None:
                camera_info.publish(self.camera_info(number))
            before = len(statuses)
            publisher.publish(self.image(number))
            self.spin_until(lambda before=before: len(statuses) > before)

    def collect_warnings(self) -> list[Any]:
        """
        The list that will hold what the node says about images from here on.
        """
        lines = []
        self.node.log.say = lines.append
        logger = self.node.get_logger()
        self.node.get_logger = lambda: Listening(logger, lines)
        return lines

    def call(self, service_class: Any, name: str, request: pytest.FixtureRequest) -> Any:
        if name not in self._clients:
            self._clients[name] = self.neighbour.create_client(service_class, name)
        self.spin_until(self._clients[name].service_is_ready)
        future = self._clients[name].call_async(request)
        self.spin_until(future.done)
        return future.result()

    def set_parameters(self, **values: Any) -> Any:
        """
        Set them together, as a client does; gives the result.
        """
        from rcl_interfaces.srv import SetParametersAtomically
        from rclpy.parameter import Parameter

        parameters = [Parameter(n.replace('__', '.'), value=v).to_parameter_msg() for n, v in values.items()]
        request = SetParametersAtomically.Request(parameters=parameters)
        return self.call(SetParametersAtomically, '/frontend/set_parameters_atomically', request).result


class Process:
    """
    A running executable and what it says.
    """

    def __init__(self, module: Any, *arguments: Any) -> None:
        self.lines = []
        code = ['-c', module] if '\n' in module else ['-m', f'kp2d_ros.ros.{module}']
        self._process = subprocess.Popen(
            [sys.executable, *code, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._said = threading.Condition()
        self._reader.start()

    def _read(self) -> None:
        for line in self._process.stdout:
            with self._said:
                self.lines.append(line)
                self._said.notify_all()
        with self._said:
            self._said.notify_all()

    def wait_for(self, words: Any, timeout: float = 30.0) -> None:
        with self._said:
            assert self._said.wait_for(lambda: any(words in line for line in self.lines), timeout), self.lines

    def send(self, number: Any) -> None:
        self._process.send_signal(number)

    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def status(self, timeout: float = 30.0) -> Any:
        status = self._process.wait(timeout)
        self._reader.join(5.0)
        return status

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join(5.0)
        self._process.stdout.close()


@pytest.fixture
def run() -> Iterator[Callable[..., Any]]:
    processes = []

    def start(*words: Any) -> Any:
        processes.append(Process(*words))
        return processes[-1]

    yield start
    for process in processes:
        process.close()


@pytest.fixture
def pattern(rng: np.random.Generator) -> Pattern:
    return Pattern(rng)


@pytest.fixture
def rig(pattern: Any) -> Iterator[Rig]:
    pytest.importorskip(
        'kp2d_ros.msg', reason='needs ROS 2 and the generated messages: make build', exc_type=ImportError
    )
    rig = Rig(pattern)
    yield rig
    rig.close()
