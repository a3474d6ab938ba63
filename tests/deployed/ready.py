"""Waits until the emulator answers. Usage: ready.py ENDPOINT"""

import sys
import time
import urllib.request

for _ in range(120):
    try:
        urllib.request.urlopen(sys.argv[1] + "/_ministack/health", timeout=2)
        sys.exit()
    except OSError:
        time.sleep(0.5)
sys.exit("the emulator did not start within a minute")
