"""Calls in threads of their own."""

import threading
from collections.abc import Callable
from concurrent.futures import Future


def begun[T](call: Callable[[], T]) -> Future[T]:
    """Begin a call in a new thread, and return its result to be.

    The call cannot be cancelled. A call that hangs does not keep the process from ending, as one of a pool would.
    """
    result: Future[T] = Future()
    result.set_running_or_notify_cancel()

    def run() -> None:
        try:
            result.set_result(call())
        except BaseException as error:
            # Whatever it is: without a result, the future would be waited for without end.
            result.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return result
