#!/usr/bin/env python3
"""Fewer threads than asked for: a limit on them gives a note, or one line, and never a crash."""
import os
import resource
import shutil
import subprocess

from harness import PROMPT, check, main

NOBODY = 54321  # a user without processes, so that the limit counts ours alone
HINT = "; ask for fewer threads with -t, or raise their limit (ulimit -u, pids.max, TasksMax)"


class Limited:
    """Runs a copy of the command as a user who may have so many threads."""

    def __init__(self, st, gguf, folder):
        self.folder = folder / "limited"
        self.folder.mkdir()
        folder.chmod(0o755)
        os.chown(self.folder, NOBODY, NOBODY)
        self.binary = shutil.copy(st.binary, self.folder / "smallthinker")
        self.gguf = shutil.copy(gguf, self.folder / "tiny.gguf")
        os.chmod(self.gguf, 0o644)

    def __call__(self, threads, *arguments):
        def limit():
            os.setgroups([])
            os.setgid(NOBODY)
            resource.setrlimit(resource.RLIMIT_NPROC, (threads, threads))
            os.setuid(NOBODY)

        # A search for leaks starts a thread of its own at the end.
        env = {**os.environ, "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"}
        return subprocess.run([self.binary, *map(str, arguments)], capture_output=True, text=True, timeout=120,
                              cwd=self.folder, preexec_fn=limit, env=env)


def run(limited, *arguments):
    return ["run", "-m", limited.gguf, "-p", PROMPT, "-n", 8, "--temp", 0, *arguments]


def fewer_threads(st, gguf, models, folder):
    if os.geteuid() != 0:
        print("limits on threads are not tested: only root may run the command as another user")
        return
    limited = Limited(st, gguf, folder)
    want = limited(1, *run(limited, "-t", 1))
    check(want.returncode == 0 and want.stdout.startswith(PROMPT), f"one thread: {want.stderr}")
    for threads in (1, 2, 3):
        result = limited(threads, *run(limited, "-t", 8))
        note = (f"note: cannot start thread {threads + 1} of 8: Resource temporarily unavailable; "
                f"running with {threads}\n")
        check(result.returncode == 0 and result.stdout == want.stdout and result.stderr.startswith(note),
              f"{threads} threads: {result.returncode} {result.stderr}")
    result = limited(2, "quantize", floats(st, models, limited), "q.gguf", "Q8_0", 3)
    check(result.returncode == 0 and
          "note: cannot start thread 3 of 3: Resource temporarily unavailable; running with 2\n" in result.stderr,
          f"quantize: {result.returncode} {result.stderr}")
    result = limited(1, "bench", "--probe", "-t", 2)
    check(result.returncode == 0 and "note: cannot start thread 2 of 2: Resource temporarily unavailable; running with 1\n"
          in result.stderr, f"bench --probe: {result.returncode} {result.stderr}")
    # A budget needs a thread that reads.
    result = limited(1, *run(limited, "-t", 1, "--memory", "1GiB"))
    lines = [line for line in result.stderr.splitlines() if not line.startswith("note: ")]
    check(result.returncode == 1 and result.stdout == "" and len(lines) == 1 and
          lines[0].startswith("error: ") and "cannot start the thread that " in lines[0] and
          lines[0].endswith(": Resource temporarily unavailable" + HINT), f"no thread: {result.returncode} {result.stderr}")


def floats(st, models, limited):
    path = limited.folder / "f16.gguf"
    result = st("convert", models / "variants/micro-4b-style", "--outfile", path)
    check(result.returncode == 0, f"convert: {result.stderr}")
    os.chmod(path, 0o644)
    return path


if __name__ == "__main__":
    main(__doc__, fewer_threads)
