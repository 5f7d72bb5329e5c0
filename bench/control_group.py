"""Programs run alone in a memory control group, v1 or v2; needs root."""

import os
import pathlib
import subprocess
import tempfile
import time

# The same things in both versions.  OOM kills are counted in a file of "NAME COUNT" lines.
V1 = {
    "limit": "memory.limit_in_bytes", "peak": "memory.max_usage_in_bytes", "used": "memory.usage_in_bytes",
    "events": "memory.oom_control", "unswapped": "memory.swappiness",
}  # fmt: skip
V2 = {
    "limit": "memory.max", "peak": "memory.peak", "used": "memory.current",
    "events": "memory.events", "unswapped": "memory.swap.max",
}  # fmt: skip


class GroupError(Exception):
    """There are no control groups for us here."""


def _hierarchy():
    """(folder, names) of the memory controller."""
    found = None
    for line in pathlib.Path("/proc/mounts").read_text().splitlines():
        _, point, kind, options, *_ = line.split()
        folder = pathlib.Path(point)
        if kind == "cgroup" and "memory" in options.split(","):
            return folder, V1
        controllers = folder / "cgroup.controllers"
        if kind == "cgroup2" and "memory" in controllers.read_text().split():
            found = folder, V2
    if not found:
        raise GroupError("no control groups with a memory controller are mounted")
    return found


class Group:
    """A group with a limit in bytes (or None), removed at the end of a `with` statement."""

    def __init__(self, limit):
        folder, self.names = _hierarchy()
        self.folder = folder / f"st-{os.getpid()}-{time.monotonic_ns()}"
        try:
            if self.names is V2:
                (folder / "cgroup.subtree_control").write_text("+memory")
            self.folder.mkdir()
        except OSError as error:
            raise GroupError(f"cannot make a control group: {error} (needs root)") from error
        try:
            self._write("unswapped", 0)
            if limit:
                self._write("limit", limit)
            if not (self.folder / self.names["peak"]).exists():
                raise GroupError("the kernel does not tell the peak of a control group")
        except OSError as error:
            raise GroupError(f"cannot limit a control group: {error}") from error

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for _ in range(100):
            try:
                self.folder.rmdir()
                return
            except OSError:  # its last process is not quite gone
                time.sleep(0.02)

    def _write(self, name, value):
        file = self.folder / self.names[name]
        if name != "unswapped" or file.exists():
            file.write_text(str(value))

    def used(self):
        """Bytes, now."""
        return int((self.folder / self.names["used"]).read_text())

    def limit(self, limit):
        """A limit that there is room for."""
        self._write("limit", limit)

    def lower(self, limit):
        """Asks those within for room under a lower limit, and sets it when there is; whether it is set.

        Without asking first, v2 kills at once, and v1 refuses limits below what is in use.
        """
        try:
            if self.names is V2:
                (self.folder / "memory.high").write_text(str(limit))
                if self.used() > limit:
                    return False
            self._write("limit", limit)
            return True
        except OSError:
            try:
                self._write("limit", max(limit, self.used() + (256 << 10)))
            except OSError:  # it has grown meanwhile
                pass
            return False

    def inside(self, command):
        """The command line that runs a command in the group."""
        script = f'echo $$ > "{self.folder}/cgroup.procs" && exec "$@"'
        return ["/bin/sh", "-c", script, "sh", *map(str, command)]

    def run(self, command, stdin="", meanwhile=None):
        """Runs to the end; a Finished. `meanwhile(process, stdout)` is called when it has begun."""
        with (
            tempfile.TemporaryFile() as given,
            tempfile.TemporaryFile() as out,
            tempfile.TemporaryFile() as err,
        ):
            given.write(stdin.encode())
            given.seek(0)
            process = subprocess.Popen(self.inside(command), stdin=given, stdout=out, stderr=err)
            if meanwhile:
                meanwhile(process, out)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            texts = []
            for file in (out, err):
                file.seek(0)
                texts.append(file.read().decode(errors="surrogateescape"))
        events = (self.folder / self.names["events"]).read_text().split()
        return Finished(
            code=process.returncode, stdout=texts[0], stderr=texts[1],
            rss=usage.ru_maxrss * 1024,
            peak=int((self.folder / self.names["peak"]).read_text()),
            kills=int(events[events.index("oom_kill") + 1]),
        )  # fmt: skip


class Finished:
    """How a program ended: code, stdout, stderr; bytes of rss and of the group's peak; OOM kills."""

    def __init__(self, **facts):
        self.__dict__.update(facts)


def drop_from_page_cache(path):
    """So that the next reader finds the file on the disk only."""
    with open(path, "rb") as file:
        os.fdatasync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
