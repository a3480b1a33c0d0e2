"""The benchmark: how much faster, on this machine and with this interpreter.

``python -m lockfree.bench`` puts every structure of the package beside
``threading.Lock``, the standard library and whatever peers are installed. It
needs nothing beyond the standard library.

What is measured stands in ``cells``: a cell is a few lines of data, Python
source to set up a shared object and source of the operation. ``worker`` makes
a loop of it and runs that in threads, ``runner`` decides how long and how
often, ``summary`` has the statistics, ``report`` the tables and the JSON.

Outside the package's promise of stability: cells and formats may change.
"""
