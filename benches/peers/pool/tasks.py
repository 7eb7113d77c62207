"""The tasks, in a module of their own: so what travels of a function is its name."""

import time


def same(given):
    return given


def delay(seconds):
    time.sleep(seconds)
    return seconds
