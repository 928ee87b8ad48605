#!/usr/bin/env python3
"""Zhixu's command line. `demo` and `test` install what they need by themselves, then run."""

import sys

from config import bootstrap

if __name__ == "__main__":
    bootstrap.enter_environment(sys.argv)

    from config.entry import main

    main(sys.argv)
