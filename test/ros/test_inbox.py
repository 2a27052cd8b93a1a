# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
import threading

from kp2d_ros.ros.inbox import Inbox


def test_newest_item_wins_and_drops_are_counted():
    inbox = Inbox(1, lossless=False)
    for item in range(5):
        inbox.put(item)
    assert inbox.take(0.0) == 4
    assert inbox.take(0.0) is None
    assert inbox.dropped == 4


def test_lossless_inbox_keeps_order_and_blocks_the_sender_until_there_is_room():
    inbox = Inbox(2, lossless=True)
    full = threading.Event()
    sender = threading.Thread(target=lambda: [inbox.put(item, full.set) for item in range(50)])
    sender.start()
    assert full.wait(5.0)
    assert len(inbox) == 2
    assert [inbox.take(5.0) for _ in range(50)] == list(range(50))
    sender.join(5.0)
    assert not sender.is_alive()
    assert inbox.dropped == 0


def test_closing_wakes_receiver_and_sender():
    inbox = Inbox(1, lossless=True)
    waiting = threading.Event()
    inbox.put(0)
    sender = threading.Thread(target=inbox.put, args=(1, waiting.set))
    sender.start()
    assert waiting.wait(5.0)
    inbox.close()
    sender.join(5.0)
    assert not sender.is_alive()
    assert inbox.take(60.0) is None
    inbox.put(2)
    assert len(inbox) == 0
