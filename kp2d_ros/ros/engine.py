# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
The running extractor and frontend, which other threads may change between two frames.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from kp2d_ros.core.records import Float32Array, Frame, FrontendResult, ImageArray, Keypoints, Matches
from kp2d_ros.inference.extractor import Extractor, ExtractorInfo, MatchJudge
from kp2d_ros.inference.pipeline import PipelineConfig
from kp2d_ros.odometry.frontend import Frontend


class Engine:
    """
    One extractor and one frontend. :meth:`process` is called by one thread, everything else by any.
    """

    def __init__(self, extractor: Extractor, config: PipelineConfig) -> None:
        self._extractor = extractor
        self._frontend = Frontend(self._extract, config, self._judge)
        self._changes: list[Callable[[], None]] = []
        self._lock = threading.Lock()
        self._began_anew = False

    @property
    def info(self) -> ExtractorInfo:
        """
        What makes the keypoints.
        """
        return self._extractor.info

    @property
    def extractor(self) -> Extractor:
        """
        What makes the keypoints now.
        """
        return self._extractor

    @property
    def began_anew(self) -> bool:
        """
        Whether the last frame was the first one after :meth:`restart` or :meth:`reset`.
        """
        return self._began_anew

    def reconfigure(self, config: PipelineConfig) -> None:
        """
        Use other settings from the next frame on; nothing is forgotten.
        """
        self._change_later(lambda: self._reconfigure(config))

    def exchange(self, extractor: Extractor) -> None:
        """
        Use another extractor from the next frame on; its descriptors compare with none from before.
        """
        self._change_later(lambda: self._exchange(extractor))

    def restart(self) -> None:
        """
        Begin anew with the next frame: time did as well. Tracks and segments are numbered on.
        """
        self._change_later(self._restart)

    def reset(self) -> None:
        """
        Begin anew with the next frame, tracks and segments from 0.
        """
        self._change_later(self._reset)

    def process(self, frame: Frame) -> FrontendResult:
        """
        The result of one frame, after the changes that were asked for.
        """
        with self._lock:
            changes, self._changes = self._changes, []
        self._began_anew = False
        for change in changes:
            change()
        return self._frontend.process(frame)

    def _change_later(self, change: Callable[[], None]) -> None:
        with self._lock:
            self._changes.append(change)

    def _extract(self, image: ImageArray) -> Keypoints:
        return self._extractor.extract(image)

    def _judge(
        self, reference: Keypoints, current: Keypoints, matches: Matches, size: tuple[int, int]
    ) -> Float32Array | None:
        extractor = self._extractor
        return extractor.judge(reference, current, matches, size) if isinstance(extractor, MatchJudge) else None

    def _reconfigure(self, config: PipelineConfig) -> None:
        model_id = self._extractor.info.model_id
        self._extractor = self._extractor.reconfigured(config.extractor)
        self._frontend.configure(config)
        if self._extractor.info.model_id != model_id:
            self._frontend.restart()

    def _exchange(self, extractor: Extractor) -> None:
        self._extractor = extractor
        self._frontend.restart()

    def _restart(self) -> None:
        self._frontend.restart()
        self._began_anew = True

    def _reset(self) -> None:
        self._frontend.reset()
        self._began_anew = True
