# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import threading

from kp2d_ros.ros.inbox import Inbox


def test_newest_item_wins_and_drops_are_counted() -> None:
    inbox = Inbox(1, lossless=False)
    for item in range(5):
        assert inbox.put(item, 0.0)
    assert inbox.take(0.0) == 4
    assert inbox.take(0.0) is None
    assert inbox.dropped == 4


def test_lossless_inbox_keeps_order_and_the_sender_waits_until_there_is_room() -> None:
    inbox = Inbox(2, lossless=True)
    assert inbox.put(0, 0.0)
    assert inbox.put(1, 0.0)
    assert not inbox.put(2, 0.0)
    assert len(inbox) == 2
    sender = threading.Thread(target=lambda: [inbox.put(item, 60.0) for item in range(2, 50)])
    sender.start()
    assert [inbox.take(5.0) for _ in range(50)] == list(range(50))
    sender.join(5.0)
    assert not sender.is_alive()
    assert inbox.dropped == 0


def test_closing_wakes_receiver_and_sender() -> None:
    inbox = Inbox(1, lossless=True)
    inbox.put(0, 0.0)
    sender = threading.Thread(target=inbox.put, args=(1, 60.0))
    sender.start()
    inbox.close()
    sender.join(5.0)
    assert not sender.is_alive()
    assert inbox.take(60.0) is None
    assert inbox.put(2, 60.0)
    assert len(inbox) == 0
