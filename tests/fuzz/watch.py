"""What a worker process watches in itself: time, memory, files that are written, programs that are started."""

import faulthandler
import os
import re
import resource
import sys
from pathlib import Path

SECONDS = 120  # of one case; the slowest takes some, on a busy machine
MEMORY = 2 * 2**30  # bytes that a worker may grow by
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
# Events of `sys.addaudithook` and which of their arguments are paths that change.
CHANGES = {
    "os.mkdir": (0,),
    "os.rename": (0, 1),
    "os.remove": (0,),
    "os.rmdir": (0,),
    "os.link": (1,),
    "os.symlink": (1,),
    "os.truncate": (0,),
    "os.chmod": (0,),
}
HABANA = "pip list | grep habana-torch-plugin"  # which accelerate asks when it is imported
STARTS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "socket.connect", "pty.spawn")


def limit_memory() -> None:
    """Let an allocation fail that makes this process larger than it is by `MEMORY`."""
    status = Path("/proc/self/status")
    if status.exists():
        used = int(re.search(r"VmData:\s+(\d+) kB", status.read_text())[1]) * 1024
        resource.setrlimit(resource.RLIMIT_DATA, (used + MEMORY, resource.RLIM_INFINITY))


def limit_time(log) -> None:
    """End this process with its stacks in `log` after `SECONDS` more, whatever it is doing then."""
    faulthandler.dump_traceback_later(SECONDS, exit=True, file=log)


class Doings:
    """Files that this process changes where it must not, and what it starts, from now on; never to be undone."""

    def __init__(self, allowed: list[Path]):
        self.allowed = [str(path) for path in allowed]
        self.found: list[str] = []
        self.output: str | None = None  # the one folder of a case that may be written
        sys.addaudithook(self.look)

    def look(self, event: str, arguments: tuple) -> None:
        if self.output is None:
            return
        if event == "open":
            path, _, flags = arguments
            if isinstance(flags, int) and flags & WRITING and not isinstance(path, int):
                self.note(event, path)
        elif event in CHANGES:
            for place in CHANGES[event]:
                self.note(event, arguments[place], arguments[-1])
        elif event in STARTS and HABANA not in str(arguments):
            self.found.append(f"{event} {arguments!r:.200}")

    def note(self, event: str, path: object, folder: object = None) -> None:
        """folder: descriptor of that which a relative path is of, where there is one."""
        if path is None or isinstance(path, int):
            return
        of = os.readlink(f"/proc/self/fd/{folder}") if isinstance(folder, int) and folder >= 0 else ""
        whole = os.path.abspath(os.path.join(of, os.fsdecode(path)))
        if not any(whole == place or whole.startswith(place + os.sep) for place in (*self.allowed, self.output)):
            self.found.append(f"{event} {whole}")


def content_of(folder: Path) -> dict[str, tuple]:
    """What tells whether anything below a folder changed."""
    return {str(path): (path.lstat().st_size, path.lstat().st_mtime_ns) for path in sorted(folder.rglob("*"))}
