# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
The errors of this package; each message names the thing, what was found and what was expected.

Too few matches or lost tracking is a state in a result, never one of these.
"""


class Kp2dError(Exception):
    """
    Everything that this package raises on purpose.
    """


class ConfigError(Kp2dError):
    """
    A setting that is unknown, of the wrong type or out of range.
    """


class ShapeError(Kp2dError):
    """
    An array or tensor whose shape or type does not fit.
    """


class DataError(Kp2dError):
    """
    A file, folder, bag or message that cannot be read as what it should be.
    """


class BackendError(Kp2dError):
    """
    A network runtime, device or checkpoint that cannot be used.
    """
