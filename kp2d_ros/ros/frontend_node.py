# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
The frontend as a managed node: images in; keypoints, matches and relative poses out.
"""

from __future__ import annotations

import faulthandler
import os
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from typing import Any

from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType, JumpThreshold  # type: ignore[attr-defined]
from rclpy.duration import Duration
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.logging import get_logger
from rclpy.parameter import Parameter
from rclpy.utilities import remove_ros_args
from std_srvs.srv import Trigger

from kp2d_ros.core.errors import BackendError, ConfigError, Kp2dError
from kp2d_ros.inference.pipeline import build_extractor
from kp2d_ros.ros.checkup import Checkup
from kp2d_ros.ros.diagnosis import NodeFacts, TopicFacts, pair_values, why_no_poses
from kp2d_ros.ros.engine import Engine
from kp2d_ros.ros.frame_maker import ImageSet
from kp2d_ros.ros.image_input import ImageInput
from kp2d_ros.ros.interruption import ignore_signals, ros_context
from kp2d_ros.ros.log_bridge import RosLogHandler, ThrottledLog, forward_logging, reported, stop_forwarding
from kp2d_ros.ros.model_swap import BuildExtractor, ModelSwap, load_extractor
from kp2d_ros.ros.monitor import Monitor
from kp2d_ros.ros.outputs import Outputs
from kp2d_ros.ros.parameters import (
    ConfigChange,
    change_config,
    declare_parameters,
    extractor_parameters,
    keep_loaded,
    misspelt_parameters,
    qos_overrides_of,
)
from kp2d_ros.ros.worker import Worker

NAME = 'frontend'
_LOOK_SECONDS = 0.25
_DIAGNOSTICS_SECONDS = 1.0
_COMPLAINT_SECONDS = 5.0  # each kind of complaint is said once in so long
_STOP_SECONDS = 1.0
_EXIT_SECONDS = 5  # for the end of a process whose worker is stuck: what it is stuck in may hang at exit as well
_USUAL_SIZE = (480, 640)  # height and width to warm an extractor with before the first image
_EPILOG = 'Parameters, remappings and namespaces are given as for any ROS node: --ros-args -p NAME:=VALUE -r OLD:=NEW'


class FrontendNode(LifecycleNode):
    """
    Receives images while it is active. Everything here runs on the executor's thread.
    """

    def __init__(self, build: BuildExtractor = build_extractor, **arguments: Any) -> None:
        """
        :param build: makes extractors of their settings.
        :param arguments: as for ``rclpy.node.Node``.
        :raises ConfigError: if a parameter has a wrong type or is out of range.
        """
        # First, because rclpy destroys a node that is only half made as well.
        self.engine: Engine | None = None
        self.outputs: Outputs | None = None
        self.inputs: ImageInput | None = None
        self.worker: Worker | None = None
        self.checkup: Checkup | None = None
        self._log_handler: RosLogHandler | None = None
        self._swap = ModelSwap(build)
        super().__init__(NAME, automatically_declare_parameters_from_overrides=True, **arguments)
        self._log_handler = forward_logging(self.get_logger())
        self.log = ThrottledLog(self.get_logger().warning, period=_COMPLAINT_SECONDS)
        given = list(self.get_parameters_by_prefix(''))
        self.config = declare_parameters(self)
        self._qos_overrides = qos_overrides_of(given)
        for sentence in misspelt_parameters(given):
            self.get_logger().warning(sentence)
        self._build = build
        self._loaded = self.config.extractor
        self._model_problem = ''
        self._monitor = Monitor(self)
        self._reset_service = self.create_service(Trigger, '~/reset', self._on_reset)
        self._follow_parameters()
        steady = Clock(clock_type=ClockType.STEADY_TIME)  # simulated time may stand still
        self._timers_kept = [
            self.create_timer(_LOOK_SECONDS, self._look_around, clock=steady),
            self.create_timer(_DIAGNOSTICS_SECONDS, self._diagnose, clock=steady),
        ]
        back = Duration(nanoseconds=-max(1, round(self.config.time_jump_s * 1e9)))
        threshold = JumpThreshold(min_forward=None, min_backward=back, on_clock_change=False)
        self._jump_handle = self.get_clock().create_jump_callback(threshold, post_callback=self._on_clock_jump)

    def start(self) -> None:
        """
        Configure and activate, if the parameters say so.
        """
        if self.config.autostart and self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            self.trigger_activate()

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """
        Load the extractor, make the publishers.
        """
        with reported(self.get_logger().error):
            try:
                extractor = load_extractor(self._build, self.config.extractor, _USUAL_SIZE)
                engine = Engine(extractor, self.config)
            except Kp2dError as error:
                self._model_problem = ' '.join(str(error).split())
                self.get_logger().error(f'cannot configure: {self._model_problem}')
                return TransitionCallbackReturn.FAILURE
            self._model_problem = ''
            self._loaded = self.config.extractor
            self.engine = engine
            self.outputs = Outputs(self, self.config, self._qos_overrides)
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """
        Subscribe, and work on what comes.
        """
        if self.engine is None or self.outputs is None:
            return TransitionCallbackReturn.FAILURE
        result = super().on_activate(state)
        with reported(self.get_logger().error):
            self.engine.change_later(Engine.restart)
            self.inputs = ImageInput(self, self.config, self._on_images, self.log, self._qos_overrides)
            self.checkup = Checkup(self.config, self.log)
            publish = self.checkup.after(self.outputs.publish)
            self.worker = Worker(self.config, self.engine, self.inputs.frames, publish, self.log)
            self.worker.start()
        info = self.engine.info
        self.get_logger().info(
            f'active: mode {self.config.mode}, {info.model_id} on {info.backend} ({info.device}), '
            f'images from {" and ".join(self.inputs.topics())}'
        )
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """
        Receive nothing more; a worker that is stuck cannot be used again, so the node is unconfigured then.
        """
        if self._stop_working():
            return super().on_deactivate(state)
        self.get_logger().error('the worker is stuck on an image and is left behind')
        return TransitionCallbackReturn.ERROR

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """
        Forget the extractor, destroy the publishers.
        """
        self._release()
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """
        As cleaning up, from any state.
        """
        self._release()
        return super().on_shutdown(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """
        After an error in a transition: back to unconfigured.
        """
        self.get_logger().error('a transition failed; the node is unconfigured')
        self._release()
        return super().on_error(state)

    def destroy_node(self) -> None:
        """
        End all threads and leave the graph.
        """
        self._stop_working()
        self._swap.cancel()
        if self._log_handler is not None:
            stop_forwarding(self._log_handler)
        super().destroy_node()
        # rclpy leaves this to the garbage collector; until then the lifecycle services go on taking requests.
        if hasattr(self, '_state_machine'):
            self._state_machine.destroy_when_not_in_use()

    def _release(self) -> None:
        self._stop_working()
        self._swap.cancel()
        if self.outputs is not None:
            self.outputs.close()
        self.engine = self.outputs = None

    def _stop_working(self) -> bool:
        """
        Receive nothing more and end the worker, and whether it ended; one that is stuck is left behind.
        """
        inputs, worker = self.inputs, self.worker
        self.inputs = self.worker = self.checkup = None
        if inputs is not None:
            inputs.close()
        return worker is None or worker.stop(_STOP_SECONDS)

    def _on_images(self, images: ImageSet, missed: int) -> None:
        if self.worker is not None:
            self.worker.receive(images, self.get_clock().now().nanoseconds, missed)

    def _on_reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success = self.worker is not None
        if self.worker is None:
            response.message = f'the node is {self._state()}: there is nothing to reset'
        else:
            self.worker.reset()
            response.message = 'beginning anew with the next image'
        return response

    def _on_clock_jump(self, jump: Any) -> None:
        if self.worker is not None:
            self.worker.restart(f'the clock went back by {-jump.delta.nanoseconds * 1e-9:.3f} s: beginning anew')

    def _follow_parameters(self) -> None:
        if hasattr(self, 'add_post_set_parameters_callback'):
            self.add_on_set_parameters_callback(self._check_parameters)
            self.add_post_set_parameters_callback(self._use_parameters)
        else:  # Humble: there is no other check that could still refuse them
            self.add_on_set_parameters_callback(self._check_and_use_parameters)

    def _check_parameters(self, parameters: list[Parameter[Any]]) -> SetParametersResult:
        try:
            self._change(parameters)
        except ConfigError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _check_and_use_parameters(self, parameters: list[Parameter[Any]]) -> SetParametersResult:
        result = self._check_parameters(parameters)
        if result.successful:
            self._use_parameters(parameters)
        return result

    def _use_parameters(self, parameters: list[Parameter[Any]]) -> None:
        change = self._change(parameters)
        if change.config == self.config:  # parameters of ROS itself are set as well
            return
        self.config = change.config
        if self.engine is None or self.outputs is None:
            return
        usable = keep_loaded(self._loaded, self.config)
        self.engine.change_later(lambda engine: engine.reconfigure(usable))
        self.outputs.reconfigure(self.config)
        if self.worker is not None:
            self.worker.config = self.config
        if usable == self.config:
            self._swap.cancel()  # what is wanted runs already
        elif change.needs_extractor:
            size = None if self.worker is None else self.worker.size
            wanted = self.config.extractor
            self.get_logger().info(f'loading extractor {wanted.name} {wanted.model}'.rstrip())
            self._swap.start(wanted, size or _USUAL_SIZE)

    def _change(self, parameters: list[Parameter[Any]]) -> ConfigChange:
        return change_config(self.config, {p.name: p.value for p in parameters}, self.engine is not None)

    def _finish_swap(self) -> None:
        result = self._swap.poll()
        if result is None or self.engine is None:
            return
        if result.extractor is None:
            self.get_logger().error(f'keeping the extractor: {result.error}')
            self.config = keep_loaded(self._loaded, self.config)
            kept = extractor_parameters(self.config)
            self.set_parameters([Parameter(name, value=value) for name, value in kept.items()])
            return
        self._loaded, extractor = result.config, result.extractor
        usable = keep_loaded(self._loaded, self.config)
        self.engine.change_later(lambda engine: engine.exchange(extractor, usable))
        info = extractor.info
        self.get_logger().info(f'extractor exchanged: {info.model_id} on {info.backend} ({info.device})')

    def _look_around(self) -> None:
        self._finish_swap()
        if self.inputs is not None and self.worker is not None:
            self.inputs.follow_publishers()
            self.worker.end_if_stuck()

    def _state(self) -> str:
        return str(self._state_machine.current_state[1])

    def _facts(self) -> NodeFacts:
        if self.inputs is None or self.worker is None:
            nothing = TopicFacts(self.resolve_topic_name('image'), '')
            return NodeFacts(self._state(), nothing, nothing, model_problem=self._model_problem)
        window = self.config.no_output_s
        is_simulated = bool(self.get_parameter('use_sim_time').value)
        return NodeFacts(
            state=self._state(),
            image=self.inputs.image.facts(),
            camera_info=self.inputs.camera_info.facts(),
            is_receiving=self.worker.is_receiving(window),
            is_processing=self.worker.is_processing(window),
            refusal=self.log.latest(window),
            camera_problem=self.inputs.calibrations.problem,
            image_topics=self.inputs.image_topics(),
            clock_is_missing=is_simulated and not self.count_publishers('/clock'),
            trouble=self.worker.trouble(),
            tracking=self.worker.tracking,
            second=self.inputs.second(),
        )

    def _diagnose(self) -> None:
        facts = self._facts()
        findings = () if self.checkup is None else self.checkup.findings
        self._monitor.look(facts, self._values(facts), self.config.no_output_s, findings)

    def _values(self, facts: NodeFacts) -> dict[str, str]:
        """
        What the diagnostics list.
        """
        if self.engine is None or self.worker is None:
            return {}
        counts, (rate, latency_ms) = self.worker.counts(), self.worker.speed()
        info, size = self.engine.info, self.worker.size
        return {
            'images received': str(counts.received),
            'images processed': str(counts.processed),
            'images dropped': str(counts.dropped),
            'rate (Hz)': f'{rate:.1f}',
            'median latency (ms)': f'{latency_ms:.1f}',
            'working size': 'none yet' if size is None else f'{size[1]}x{size[0]}',
            'extractor': f'{info.model_id} on {info.backend} ({info.device})',
            'image topic': f'{facts.image.topic} ({facts.image.wanted_type})',
            'requested QoS': facts.image.requested,
            'calibration': why_no_poses(facts) or 'ok',
            **pair_values(facts.second),
        }


def run(node: FrontendNode) -> int:
    """
    Work until somebody ends it; gives the exit status, 1 where the worker is stuck.
    """
    # Not the events executor: it wants the GIL in callbacks of the middleware, which publish() of the worker holds.
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        node.start()
        executor.spin()
    except BackendError as error:
        node.get_logger().fatal(str(error))
        faulthandler.dump_traceback_later(_EXIT_SECONDS, exit=True, file=os.open(os.devnull, os.O_WRONLY))
        return 1
    finally:
        ignore_signals()
        node.destroy_node()
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run the node until it is interrupted; gives the exit status.

    :param argv: the arguments without the program's name; None takes those of the process.
    """
    arguments = sys.argv[1:] if argv is None else list(argv)
    parser = ArgumentParser(prog='ros2 run kp2d_ros frontend', description=__doc__, epilog=_EPILOG)
    parser.parse_args(remove_ros_args([NAME, *arguments])[1:])
    status = 0  # also where a signal ends it
    with ros_context([NAME, *arguments]):
        try:
            status = run(FrontendNode())
        except ConfigError as error:
            get_logger(NAME).fatal(str(error))
            return 1
    return status


if __name__ == '__main__':
    raise SystemExit(main())
