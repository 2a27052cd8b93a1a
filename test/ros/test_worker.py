# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
import threading

import pytest

from kp2d_ros.ros.inbox import Inbox
from kp2d_ros.ros.worker import Worker


def test_hands_every_item_to_the_function_in_order_and_ends():
    inbox, seen, done = Inbox(10, lossless=True), [], threading.Event()

    def handle(item):
        seen.append(item)
        if item == 9:
            done.set()

    worker = Worker(inbox, lambda worker: handle)
    worker.start()
    for item in range(10):
        inbox.put(item)
    assert done.wait(5.0)
    assert worker.trouble(60.0) == ''
    assert worker.stop(5.0)
    assert seen == list(range(10))


def test_worker_that_hangs_is_in_trouble_and_can_be_abandoned():
    inbox, entered, go_on = Inbox(1, lossless=True), threading.Event(), threading.Event()
    after = []

    def make_handler(worker):
        def handle(item):
            entered.set()
            go_on.wait(10.0)
            after.append(worker.is_abandoned)

        return handle

    worker = Worker(inbox, make_handler)
    worker.start()
    inbox.put('image')
    assert entered.wait(5.0)
    assert worker.trouble(60.0) == ''
    assert 'busy with one image' in worker.trouble(0.0)
    worker.abandon()
    go_on.set()
    assert worker.stop(5.0)
    assert after == [True]


@pytest.mark.filterwarnings('ignore::pytest.PytestUnhandledThreadExceptionWarning')
def test_worker_that_died_says_of_what():
    def make_handler(worker):
        raise ZeroDivisionError('no weights')

    worker = Worker(Inbox(1, lossless=True), make_handler)
    worker.start()
    assert worker.stop(5.0)
    assert worker.trouble(60.0) == 'the worker ended: ZeroDivisionError: no weights'
