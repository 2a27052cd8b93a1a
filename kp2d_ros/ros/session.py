# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
What lives while the node is active: inputs, inbox, worker, counts.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from dataclasses import replace
from time import monotonic, perf_counter
from typing import Any

from rclpy.lifecycle import LifecycleNode

from kp2d_ros.ros.diagnosis import NodeFacts
from kp2d_ros.ros.engine import Engine
from kp2d_ros.ros.frame_processor import Arrival, FrameProcessor
from kp2d_ros.ros.image_input import ImageInput
from kp2d_ros.ros.image_messages import image_decoder
from kp2d_ros.ros.inbox import Inbox
from kp2d_ros.ros.log_bridge import ThrottledLog
from kp2d_ros.ros.node_config import NodeConfig
from kp2d_ros.ros.outputs import Outputs
from kp2d_ros.ros.stamp_gate import StampGate
from kp2d_ros.ros.tally import Counts, Tally
from kp2d_ros.ros.worker import Worker

_logger = logging.getLogger(__name__)

_COMPLAINT_SECONDS = 5.0  # each kind of complaint is said once in so long
_TROUBLE_SECONDS = 5.0  # how long a worker that was replaced is an error in the diagnostics
_REPLACE_SECONDS = 2.0  # a worker that dies again and again is not replaced more often than this
_MOST_DOUBLINGS = 6
_STOP_SECONDS = 1.0
_LIVE_SLOTS = 1  # the newest image only


class Session:
    """
    From activation to deactivation. The executor's thread hands images in, the worker's thread works on them.
    """

    def __init__(
        self, node: LifecycleNode, config: NodeConfig, engine: Engine, outputs: Outputs, rebuild: Callable[[], Engine]
    ) -> None:
        """
        :param rebuild: makes another engine, on the thread of the worker that takes the place of a stuck one.
        """
        self.config = config
        self.engine = engine
        self.log = ThrottledLog(node.get_logger().warning, period=_COMPLAINT_SECONDS)
        self._node = node
        self._outputs = outputs
        self._rebuild = rebuild
        self._gate = StampGate(round(config.time_jump_s * 1e9))
        self._inbox: Inbox[Arrival] = Inbox(config.replay_queue if config.lossless else _LIVE_SLOTS, config.lossless)
        self._tally = Tally()
        self._worker = Worker(self._inbox, lambda worker: self._handler(worker, engine))
        self._replaced_at = -float('inf')
        self._replacements = self._processed_before = 0
        self._trouble = ''
        self._inputs: ImageInput | None = None

    @property
    def tally(self) -> Tally:
        """
        Counts and times of the images.
        """
        return self._tally

    @property
    def trouble(self) -> str:
        """
        Why the worker was replaced a short while ago; empty: it was not.
        """
        return self._trouble if monotonic() - self._replaced_at < _TROUBLE_SECONDS else ''

    def open(self, overrides: Collection[str]) -> None:
        """
        Begin to receive.

        :param overrides: the parameters by which the user overrides QoS policies.
        """
        self._inputs = ImageInput(self._node, self.config, self.receive, overrides)
        self._worker.start()

    def close(self) -> None:
        """
        Receive nothing more and end the worker; one that is stuck is left behind.
        """
        if self._inputs is not None:
            self._inputs.close()
        self._inbox.close()
        if not self._worker.stop(_STOP_SECONDS):
            _logger.warning('the worker is stuck on an image and was left behind')

    def receive(self, message: Any) -> None:
        """
        Take an image message: the subscription's callback.
        """
        clock_ns = self._node.get_clock().now().nanoseconds
        seq = self._tally.note_arrival() + self._missed()
        self._inbox.put(Arrival(message, seq, perf_counter(), clock_ns), self.watch_worker)

    def counts(self) -> Counts:
        """
        What became of the images so far; those that wait are received only.
        """
        missed = self._missed()
        return Counts(
            received=self._tally.arrived + missed,
            processed=self._tally.processed,
            dropped=self._tally.refused + self._inbox.dropped + missed,
        )

    def note_clock_jump(self, seconds: float) -> None:
        """
        Begin anew, because the clock was set back.
        """
        self.log.complain('restart', f'the clock went back by {seconds:.3f} s: beginning anew')
        self._gate.forget()
        self.engine.restart()

    def reset(self) -> None:
        """
        Begin anew with the next image, because somebody asked for it.
        """
        self._gate.forget()
        self.engine.reset()

    def look_around(self) -> None:
        """
        Follow the publishers and watch the worker; call it a few times a second.
        """
        if self._inputs is not None:
            self._inputs.follow_publishers()
        self.watch_worker()

    def watch_worker(self) -> None:
        """
        Put another worker in the place of one that is stuck or died.
        """
        trouble = self._worker.trouble(self._patience())
        if not trouble or monotonic() - self._replaced_at < _REPLACE_SECONDS:
            return
        self._trouble, self._replaced_at = trouble, monotonic()
        self._replacements, self._processed_before = self._replacements + 1, self._tally.processed
        self._node.get_logger().error(f'{trouble}; starting another one')
        self._worker.abandon()
        self._tally.note_refusal()
        self._worker = Worker(self._inbox, self._handler_with_new_engine)
        self._worker.start()

    def facts(self, state: str) -> NodeFacts:
        """
        What is known about the inputs, for the diagnosis.
        """
        if self._inputs is None:
            raise ValueError('Session.facts: found no inputs, expected open() first')
        tally, window = self._tally, self.config.no_output_s
        now = monotonic()
        image = replace(self._inputs.image_facts(), received=int(now - tally.arrived_at < window))
        uses_clock = self._node.get_parameter('use_sim_time').value
        return NodeFacts(
            state=state,
            image=image,
            camera_info=self._inputs.camera_info_facts(),
            processed=int(now - tally.processed_at < window),
            refusal=self.log.latest(window),
            camera_problem=self._inputs.calibrations.problem if self._inputs.calibrations.has_arrived else '',
            image_topics=self._inputs.image_topics(),
            clock_is_missing=bool(uses_clock) and not self._node.count_publishers('/clock'),
            trouble=self.trouble or self._worker.trouble(self._patience()),
        )

    def _patience(self) -> float:
        """
        Seconds that one image may take: twice as many after each replacement that did not help.

        A network that is slow on its first image (compiled, or built for a GPU) shall come to an end some time.
        """
        if self._tally.processed > self._processed_before:
            self._replacements = 0
        return self.config.watchdog_s * float(2 ** min(self._replacements, _MOST_DOUBLINGS))

    def _missed(self) -> int:
        return 0 if self._inputs is None else self._inputs.missed

    def _handler_with_new_engine(self, worker: Worker[Arrival]) -> Callable[[Arrival], None]:
        self.engine = self._rebuild()
        return self._handler(worker, self.engine)

    def _handler(self, worker: Worker[Arrival], engine: Engine) -> Callable[[Arrival], None]:
        if self._inputs is None:
            raise ValueError('Session: found no inputs, expected open() first')
        calibrations = self._inputs.calibrations
        processor = FrameProcessor(engine, image_decoder(), calibrations, self._gate, self.log)

        def handle(arrival: Arrival) -> None:
            if self.config.lossless and not calibrations.has_arrived and not self._tally.processed:
                calibrations.wait(self.config.camera_info_wait_s)
            processed = processor.process(arrival)
            if worker.is_abandoned:
                return
            if processed is None:
                self._tally.note_refusal()
                return
            self._tally.note_result(processed)
            self._tally.note_latency(self._outputs.publish(processed, engine.info, self.counts()))

        return handle
