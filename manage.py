#!/usr/bin/env python3
"""Zhixu's command line. `demo` and `test` install what they need by themselves, then run."""

import sys

if sys.version_info < (3, 11):  # here, in words an old Python can read: the rest of the code it cannot
    sys.exit("zhixu: Python 3.11 or newer is needed, this is %d.%d. Run: python3.11 manage.py" % sys.version_info[:2])

from config import bootstrap

if __name__ == "__main__":
    bootstrap.enter_environment(sys.argv)

    from config.entry import main

    main(sys.argv)
