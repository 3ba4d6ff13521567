"""What all tests share. Being here, it puts this folder on the path: `import tiny`."""

import os
import signal

# A shell starts background jobs with Ctrl-C ignored, and every process that a test starts would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The tests run side by side: threads that wait for each other in turns on shared cores can take minutes.
os.environ.setdefault("OMP_NUM_THREADS", "1")
