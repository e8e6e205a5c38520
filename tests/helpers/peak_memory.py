"""The peak memory of a process that a test starts.

`ru_maxrss` would not do: on Linux, a process inherits it from the one that started it, which may be a large test run.
"""

# Source of a function for the started process: the most bytes that it has held in memory so far.
PEAK_MEMORY = """
def peak_memory():
    with open("/proc/self/status") as status:
        return int(status.read().split("VmHWM:")[1].split()[0]) * 1024
"""
