# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
The frontend as a managed node: images in; keypoints, matches and relative poses out.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import replace
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

from kp2d_ros.core.errors import ConfigError, Kp2dError
from kp2d_ros.inference.extractor import ExtractorConfig
from kp2d_ros.inference.pipeline import build_extractor
from kp2d_ros.ros.diagnosis import NodeFacts, TopicFacts
from kp2d_ros.ros.engine import Engine
from kp2d_ros.ros.interruption import ignore_signals, ros_context
from kp2d_ros.ros.log_bridge import RosLogHandler, forward_logging, reported, stop_forwarding
from kp2d_ros.ros.model_swap import BuildExtractor, ModelSwap, load_extractor
from kp2d_ros.ros.monitor import Monitor
from kp2d_ros.ros.outputs import Outputs
from kp2d_ros.ros.parameters import (
    change_config,
    declare_parameters,
    extractor_parameters,
    keep_loaded,
    misspelt_parameters,
    qos_overrides_of,
)
from kp2d_ros.ros.session import Session

NAME = 'frontend'
_LOOK_SECONDS = 0.25
_DIAGNOSTICS_SECONDS = 1.0
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
        self._engine: Engine | None = None
        self._outputs: Outputs | None = None
        self._session: Session | None = None
        self._log_handler: RosLogHandler | None = None
        self._swap = ModelSwap(build)
        super().__init__(NAME, automatically_declare_parameters_from_overrides=True, **arguments)
        self._log_handler = forward_logging(self.get_logger())
        given = list(self.get_parameters_by_prefix(''))
        self.config = declare_parameters(self)
        self._qos_overrides = qos_overrides_of(given)
        for sentence in misspelt_parameters(given):
            self.get_logger().warning(sentence)
        self._build = build
        self._loaded = self.config.extractor
        self._is_reverting = False
        self._model_problem = ''
        self._monitor = Monitor(self)
        self._reset_service = self.create_service(Trigger, '~/reset', self._on_reset)
        self.add_on_set_parameters_callback(self._on_parameters)
        steady = Clock(clock_type=ClockType.STEADY_TIME)  # simulated time may stand still
        self._timers_kept = [
            self.create_timer(_LOOK_SECONDS, self._look_around, clock=steady),
            self.create_timer(_DIAGNOSTICS_SECONDS, self._diagnose, clock=steady),
        ]
        back = Duration(nanoseconds=-max(1, round(self.config.time_jump_s * 1e9)))
        threshold = JumpThreshold(min_forward=None, min_backward=back, on_clock_change=False)
        self._jump_handle = self.get_clock().create_jump_callback(threshold, post_callback=self._on_clock_jump)

    @property
    def session(self) -> Session | None:
        """
        What runs while the node is active.
        """
        return self._session

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
            except Kp2dError as error:
                self._model_problem = ' '.join(str(error).split())
                self.get_logger().error(f'cannot configure: {self._model_problem}')
                return TransitionCallbackReturn.FAILURE
            self._model_problem = ''
            self._loaded = self.config.extractor
            self._engine = Engine(extractor, self.config)
            self._outputs = Outputs(self, self.config, self._qos_overrides)
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """
        Subscribe, and work on what comes.
        """
        if self._engine is None or self._outputs is None:
            return TransitionCallbackReturn.FAILURE
        result = super().on_activate(state)
        self._engine.restart()
        with reported(self.get_logger().error):
            self._session = Session(self, self.config, self._engine, self._outputs, self._rebuild_engine)
            self._session.open(self._qos_overrides)
        info = self._engine.info
        self.get_logger().info(
            f'active: mode {self.config.mode}, {info.model_id} on {info.backend} ({info.device}), '
            f'images from {self.resolve_topic_name("image")}'
        )
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """
        Receive nothing more.
        """
        self._close_session()
        return super().on_deactivate(state)

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
        self.get_logger().error('a transition failed unexpectedly; the node is unconfigured')
        self._release()
        return super().on_error(state)

    def destroy_node(self) -> None:
        """
        End all threads and leave the graph.
        """
        self._close_session()
        self._swap.cancel()
        if self._log_handler is not None:
            stop_forwarding(self._log_handler)
        super().destroy_node()
        # rclpy leaves this to the garbage collector; until then the lifecycle services go on taking requests.
        if hasattr(self, '_state_machine'):
            self._state_machine.destroy_when_not_in_use()

    def _release(self) -> None:
        self._close_session()
        self._swap.cancel()
        if self._outputs is not None:
            self._outputs.close()
        self._engine = self._outputs = None

    def _close_session(self) -> None:
        if self._session is not None:
            self._session.close()
            # A worker that was replaced came with an engine of its own.
            self._engine, self._session = self._session.engine, None

    def _rebuild_engine(self) -> Engine:
        loaded = keep_loaded(self._loaded, self.config)
        return Engine(self._build(loaded.extractor), loaded)

    def _on_reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success = self._session is not None
        if self._session is None:
            response.message = f'the node is {self._state()}: there is nothing to reset'
        else:
            self._session.reset()
            response.message = 'beginning anew with the next image'
        return response

    def _on_clock_jump(self, jump: Any) -> None:
        if self._session is not None:
            self._session.note_clock_jump(-jump.delta.nanoseconds * 1e-9)

    def _on_parameters(self, parameters: list[Parameter[Any]]) -> SetParametersResult:
        try:
            change = change_config(self.config, {p.name: p.value for p in parameters}, self._engine is not None)
        except ConfigError as error:
            return SetParametersResult(successful=False, reason=str(error))
        self.config = change.config
        if self._engine is not None and self._outputs is not None:
            self._engine_in_use().reconfigure(keep_loaded(self._loaded, self.config))
            self._outputs.reconfigure(self.config)
        if self._session is not None:
            self._session.config = self.config
        if change.needs_extractor and not self._is_reverting:
            self._start_swap(self.config.extractor)
        return SetParametersResult(successful=True)

    def _start_swap(self, wanted: ExtractorConfig) -> None:
        size = self._session.tally.size if self._session is not None else None
        self.get_logger().info(f'loading extractor {wanted.name} {wanted.model}'.rstrip())
        self._swap.start(wanted, size or _USUAL_SIZE)

    def _finish_swap(self) -> None:
        result = self._swap.poll()
        if result is None or self._engine is None:
            return
        if result.extractor is None:
            self.get_logger().error(f'keeping the extractor: {result.error}')
            old = replace(self.config, extractor=self._loaded)
            self._is_reverting = True
            self.set_parameters([Parameter(name, value=value) for name, value in extractor_parameters(old).items()])
            self._is_reverting = False
            return
        self._loaded = result.config
        engine = self._engine_in_use()
        engine.exchange(result.extractor)
        engine.reconfigure(keep_loaded(self._loaded, self.config))
        info = result.extractor.info
        self.get_logger().info(f'extractor exchanged: {info.model_id} on {info.backend} ({info.device})')

    def _engine_in_use(self) -> Engine:
        if self._session is not None:
            return self._session.engine
        if self._engine is None:
            raise ConfigError('engine: found none, expected a configured node')
        return self._engine

    def _look_around(self) -> None:
        self._finish_swap()
        if self._session is not None:
            self._session.look_around()

    def _state(self) -> str:
        return str(self._state_machine.current_state[1])

    def _facts(self) -> NodeFacts:
        if self._session is not None:
            return self._session.facts(self._state())
        nothing = TopicFacts(self.resolve_topic_name('image'), '')
        return NodeFacts(self._state(), nothing, nothing, model_problem=self._model_problem)

    def _diagnose(self) -> None:
        self._monitor.look(self._facts(), self._session, self.config.no_output_s)


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run the node until it is interrupted; gives the exit status.

    :param argv: the arguments without the program's name; None takes those of the process.
    """
    arguments = sys.argv[1:] if argv is None else list(argv)
    parser = ArgumentParser(prog='ros2 run kp2d_ros frontend', description=__doc__, epilog=_EPILOG)
    parser.parse_args(remove_ros_args([NAME, *arguments])[1:])
    with ros_context([NAME, *arguments]):
        try:
            node = FrontendNode()
        except ConfigError as error:
            get_logger(NAME).fatal(str(error))
            return 1
        # Not the events executor: it wants the GIL in callbacks of the middleware, which publish() of the worker holds.
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        try:
            node.start()
            executor.spin()
        finally:
            ignore_signals()
            node.destroy_node()
    return 0


if __name__ == '__main__':
    raise SystemExit(main())
