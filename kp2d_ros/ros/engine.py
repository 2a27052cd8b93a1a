# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
The running extractor and frontend, and what others want changed about them between two images.
"""

from __future__ import annotations

from collections.abc import Callable
from queue import Empty, SimpleQueue

from kp2d_ros.core.records import Frame, FrontendResult
from kp2d_ros.inference.extractor import Extractor, ExtractorInfo, MatchJudge
from kp2d_ros.inference.pipeline import PipelineConfig, build_frontend


class Engine:
    """
    One extractor and one frontend, owned by the thread that processes images; another one hands its changes over.
    """

    def __init__(self, extractor: Extractor, config: PipelineConfig) -> None:
        self._extractor = extractor
        self._frontend = build_frontend(config, extractor)
        self._changes: SimpleQueue[Callable[[Engine], None]] = SimpleQueue()
        self._begins_anew = False
        self.began_anew = False  # whether the last frame was the first one after restart() or reset()

    @property
    def info(self) -> ExtractorInfo:
        """
        What makes the keypoints.
        """
        return self._extractor.info

    def change_later(self, change: Callable[[Engine], None]) -> None:
        """
        Hand over a change, from any thread: :meth:`make_changes` calls it with this engine.
        """
        self._changes.put(change)

    def make_changes(self) -> None:
        """
        Make the changes that were handed over, in their order.
        """
        while True:
            try:
                change = self._changes.get_nowait()
            except Empty:
                return
            change(self)

    def process(self, frame: Frame) -> FrontendResult:
        """
        The result of one frame.
        """
        result = self._frontend.process(frame)
        self.began_anew, self._begins_anew = self._begins_anew, False
        return result

    def reconfigure(self, config: PipelineConfig) -> None:
        """
        Use other settings; nothing is forgotten, unless descriptors do not compare with those from before.
        """
        self._use(self._extractor, config)

    def exchange(self, extractor: Extractor, config: PipelineConfig) -> None:
        """
        Use another extractor; its descriptors compare with none from before.
        """
        self._use(extractor, config)
        self.forget()

    def forget(self) -> None:
        """
        Let go of what was seen, for instance by a frame that failed half-way; time goes on, and so does odometry.
        """
        self._frontend.restart()

    def restart(self) -> None:
        """
        Begin anew: time did as well. Tracks and segments are numbered on.
        """
        self._frontend.restart()
        self._begins_anew = True

    def reset(self) -> None:
        """
        Begin anew, tracks and segments from 0.
        """
        self._frontend.reset()
        self._begins_anew = True

    def _use(self, extractor: Extractor, config: PipelineConfig) -> None:
        model_id = self.info.model_id
        self._extractor = used = extractor.reconfigured(config.extractor)
        self._frontend.exchange(used.extract, used.judge if isinstance(used, MatchJudge) else None)
        self._frontend.configure(config)
        if used.info.model_id != model_id:
            self.forget()
