# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
The way of one image: the callback stores the message; the worker's thread takes the newest, makes a frame of it, has it
processed, and hands the result to the outputs. What is wrong with an image is said in one line, and the next one comes.
"""

from __future__ import annotations

import logging
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import PurePath
from time import monotonic, perf_counter

from kp2d_ros.core.errors import BackendError, Kp2dError
from kp2d_ros.core.records import Frame, FrontendResult, TrackingState
from kp2d_ros.inference.extractor import ExtractorInfo
from kp2d_ros.ros.conversions import ns_from_time
from kp2d_ros.ros.engine import Engine
from kp2d_ros.ros.frame_maker import FrameMaker, ImageSet
from kp2d_ros.ros.inbox import Inbox
from kp2d_ros.ros.log_bridge import ThrottledLog
from kp2d_ros.ros.node_config import NodeConfig

_logger = logging.getLogger(__name__)

_LOOK_SECONDS = 0.1  # how often an idle worker looks whether it shall end, and a blocked callback at the worker
_LIVE_SLOTS = 1  # the newest image only
_WINDOW = 50  # images that rate and latency are taken over


@dataclass(frozen=True, slots=True)
class Arrival:
    """
    The messages of one moment as they came in.

    ``seq`` counts the images of this run; ``arrived`` is ``perf_counter()`` and ``clock_ns`` the time of the node's
    clock when it came.
    """

    images: ImageSet
    seq: int
    arrived: float
    clock_ns: int


@dataclass(frozen=True, slots=True)
class Counts:
    """
    Images since the node was activated; those that wait are received only.
    """

    received: int
    processed: int
    dropped: int


@dataclass(frozen=True, slots=True)
class Processed:
    """
    A frame, its result, and what made its keypoints; ``stage_ms`` holds the milliseconds of ``wait``, ``decode`` and
    the frontend's stages.

    ``began_anew``: nothing before this frame counts any more, by request or because time began again.
    """

    frame: Frame
    result: FrontendResult
    extractor: ExtractorInfo
    stage_ms: dict[str, float]
    arrived: float
    began_anew: bool = False


class StampVerdict(Enum):
    """
    What to do with an image by its stamp.
    """

    ACCEPT = 'accept'
    LATE = 'late'  # not newer than the last one: out of order or sent twice
    RESTART = 'restart'  # so far back that time began again: a bag that was restarted, a clock that was set


class StampGate:
    """
    Remembers the newest stamp; one further back than ``jump_ns`` is a restart, one that is less far back is late.
    """

    def __init__(self, jump_ns: int) -> None:
        self._jump_ns = jump_ns
        self.newest_ns: int | None = None  # the last one that was let through; None: accept any

    def check(self, stamp_ns: int) -> StampVerdict:
        """
        Judge a stamp; one that is late changes nothing.
        """
        newest_ns = self.newest_ns
        if newest_ns is not None and 0 <= newest_ns - stamp_ns <= self._jump_ns:
            return StampVerdict.LATE
        self.newest_ns = stamp_ns
        return StampVerdict.ACCEPT if newest_ns is None or stamp_ns > newest_ns else StampVerdict.RESTART


class Worker:
    """
    From activation to deactivation. The executor's thread hands images in and asks; a thread of its own works on them.
    """

    def __init__(
        self,
        config: NodeConfig,
        engine: Engine,
        frames: FrameMaker,
        publish: Callable[[Processed, Counts], float],
        log: ThrottledLog,
    ) -> None:
        """
        :param publish: gives the milliseconds from the arrival of an image to the publication of its results.
        """
        self.config = config
        self._engine = engine
        self._frames = frames
        self._publish = publish
        self._log = log
        self._gate = StampGate(round(config.time_jump_s * 1e9))
        self._inbox: Inbox[Arrival] = Inbox(config.replay_queue if config.lossless else _LIVE_SLOTS, config.lossless)
        # Each is written by one thread only.
        self._arrived = self._missed = self._processed = self._refused = 0
        self._arrived_at = self._processed_at = -float('inf')
        self._finished: tuple[tuple[float, float], ...] = ()  # time, latency in milliseconds
        self._last: FrontendResult | None = None
        self._shrunk: set[tuple[int, ...]] = set()  # sizes that were said to be worked on smaller
        self._busy_since: float | None = None
        self._stop = threading.Event()
        # A daemon: a thread that hangs must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name='kp2d_worker', daemon=True)

    @property
    def tracking(self) -> TrackingState | None:
        """
        The state of the last image; None before the first.
        """
        return None if self._last is None else self._last.state

    @property
    def size(self) -> tuple[int, int] | None:
        """
        Height and width that the last image was worked on at; None before the first.
        """
        return None if self._last is None else self._last.working_size

    def start(self) -> None:
        """
        Begin to work.
        """
        self._thread.start()

    def stop(self, timeout: float) -> bool:
        """
        Take nothing more, and whether the thread has ended within so many seconds.
        """
        self._stop.set()
        self._inbox.close()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def receive(self, images: ImageSet, clock_ns: int, missed: int) -> None:
        """
        Take the messages of one moment: the subscription's callback. In a lossless run it waits for room.

        :param clock_ns: time of the node's clock.
        :param missed: how many images were lost so far, by the middleware or for want of a partner.
        :raises BackendError: see :meth:`end_if_stuck`.
        """
        arrival = Arrival(images, self._arrived + missed, perf_counter(), clock_ns)
        self._arrived, self._missed, self._arrived_at = self._arrived + 1, missed, monotonic()
        while not self._inbox.put(arrival, _LOOK_SECONDS):
            self.end_if_stuck()

    def handle(self, arrival: Arrival) -> None:
        """
        Process one image and publish what came of it; whatever is wrong with it is said. On the thread of the worker.
        """
        try:
            self._engine.make_changes()
            processed = self._process(arrival)
            if self._stop.is_set():
                return
            if processed is None:
                self._refused += 1
            else:
                self._finish(processed)
        except Exception as error:  # noqa: BLE001 - whatever one image does, the next one is worked on
            self._refused += 1
            self._explain(error)

    def restart(self, reason: str) -> None:
        """
        Begin anew with the next image, because time did.
        """
        self._log.complain('restart', reason)
        self._engine.change_later(lambda engine: self._begin_anew(engine.restart))

    def reset(self) -> None:
        """
        Begin anew with the next image, because somebody asked for it.
        """
        self._engine.change_later(lambda engine: self._begin_anew(engine.reset))

    def trouble(self) -> str:
        """
        Why nothing comes out of the worker: it is busy with one image for too long; empty: it is not.
        """
        limit = self.config.watchdog_s
        return f'the worker has been busy with one image for more than {limit:g} s' if self._busy_s() > limit else ''

    def end_if_stuck(self) -> None:
        """
        Call it a few times a second.

        :raises BackendError: if one image takes so long that only the end of the process helps.
        """
        limit = self.config.stuck_exit_s
        if 0 < limit < self._busy_s():
            raise BackendError(
                f'the worker has been busy with one image for more than {limit:g} s (stuck_exit_s): this process ends'
            )

    def counts(self) -> Counts:
        """
        What became of the images so far.
        """
        dropped = self._refused + self._inbox.dropped + self._missed
        return Counts(self._arrived + self._missed, self._processed, dropped)

    def is_receiving(self, seconds: float) -> bool:
        """
        Whether an image came within the last so many seconds.
        """
        return monotonic() - self._arrived_at < seconds

    def is_processing(self, seconds: float) -> bool:
        """
        Whether an image was processed within the last so many seconds.
        """
        return monotonic() - self._processed_at < seconds

    def speed(self) -> tuple[float, float]:
        """
        Images per second and median latency in milliseconds over the last ones; zeros before there are two.
        """
        finished = self._finished
        if len(finished) < 2:
            return 0.0, 0.0
        seconds = max(finished[-1][0] - finished[0][0], 1e-9)
        latencies = sorted(latency for _, latency in finished)
        return (len(finished) - 1) / seconds, latencies[len(latencies) // 2]

    def _busy_s(self) -> float:
        busy_since = self._busy_since
        return 0.0 if busy_since is None else monotonic() - busy_since

    def _run(self) -> None:
        while not self._stop.is_set():
            arrival = self._inbox.take(_LOOK_SECONDS)
            if arrival is not None:
                self._wait_for_calibration()
                self._busy_since = monotonic()
                self.handle(arrival)
                self._busy_since = None

    def _wait_for_calibration(self) -> None:
        deadline = monotonic() + self.config.camera_info_wait_s
        while self.config.lossless and not self._processed and monotonic() < deadline and not self._stop.is_set():
            if self._frames.wait(_LOOK_SECONDS):
                return

    def _process(self, arrival: Arrival) -> Processed | None:
        """
        The result of one image; None if it is late, which was said.

        :raises Kp2dError: if it is no image, or cannot be processed.
        """
        begin = perf_counter()
        made = self._frames.make(arrival.images, arrival.seq, self._stamp_ns(arrival))
        decoded = perf_counter()
        frame = made.frame
        if self._judge(frame.stamp_ns) is StampVerdict.LATE:
            return None
        result = self._engine.process(frame)
        if made.reason and result.pose is not None:
            result = replace(result, pose=replace(result.pose, reason=made.reason))
        stage_ms = {'wait': (begin - arrival.arrived) * 1e3, 'decode': (decoded - begin) * 1e3, **result.stage_ms}
        return Processed(frame, result, self._engine.info, stage_ms, arrival.arrived, self._engine.began_anew)

    def _finish(self, processed: Processed) -> None:
        self._last = processed.result
        size, shape = processed.result.working_size, processed.frame.image.shape[:2]
        if size != shape and shape not in self._shrunk:
            self._shrunk.add(shape)
            _logger.info(
                'images of %dx%d are worked on at %dx%d: max_side_px is %d',
                *(*shape[::-1], *size[::-1], self.config.max_side_px),
            )
        self._processed, self._processed_at = self._processed + 1, monotonic()
        latency_ms = self._publish(processed, self.counts())
        self._finished = (*self._finished[1 - _WINDOW :], (monotonic(), latency_ms))

    def _stamp_ns(self, arrival: Arrival) -> int:
        stamp_ns = ns_from_time(arrival.images.header.stamp)
        if stamp_ns > 0:
            return stamp_ns
        found = f'a negative stamp ({stamp_ns * 1e-9:.3f} s)' if stamp_ns else 'a stamp of zero'
        self._log.complain('stamp', f'image: found {found}, using the time of its arrival')
        return arrival.clock_ns

    def _judge(self, stamp_ns: int) -> StampVerdict:
        newest_ns = self._gate.newest_ns
        verdict = self._gate.check(stamp_ns)
        if verdict is not StampVerdict.ACCEPT and newest_ns is not None:
            back = (newest_ns - stamp_ns) * 1e-9
            if verdict is StampVerdict.LATE:
                self._log.complain('late', f'image dropped: its stamp is not newer than the last ({back:.3f} s back)')
            else:
                self._log.complain('restart', f'time went back by {back:.3f} s: beginning anew')
                self._engine.restart()
        return verdict

    def _begin_anew(self, begin: Callable[[], None]) -> None:
        self._gate.newest_ns = None
        begin()

    def _explain(self, error: Exception) -> None:
        """
        Say why an image was dropped; after an error that nobody foresaw, what the frontend remembers may be half new.
        """
        if isinstance(error, Kp2dError):
            text = ' '.join(str(error).split())
            self._log.complain(text.partition(':')[0], f'image dropped: {text}')
            return
        self._engine.forget()
        name, place = type(error).__name__, traceback.extract_tb(error.__traceback__)[-1]
        where = f'{PurePath(place.filename).name}:{place.lineno}'
        self._log.complain(name, f'image dropped: unexpected {name} at {where}: {" ".join(str(error).split())}')
