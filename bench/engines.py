"""The two engines of bench/compare as child processes."""

import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "tests/oracle/llama_cpp"  # pins llama.cpp
LIBRARY = "node_modules/@node-llama-cpp/linux-x64/bins/linux-x64"


class BenchError(Exception):
    """One of the two did not do what it was told to."""


def install(work):
    """llama.cpp's library from npm in `work`; nothing is done if it is there already."""
    work.mkdir(parents=True, exist_ok=True)
    lock = (PACKAGE / "package-lock.json").read_bytes()
    done = work / "installed-lock.json"
    if not done.exists() or done.read_bytes() != lock:
        for name in ("package.json", "package-lock.json", ".npmrc"):
            shutil.copy(PACKAGE / name, work)
        options = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        subprocess.run(["npm", "ci", "--prefix", work, *options], check=True, stdout=sys.stderr)
        done.write_bytes(lock)
    return work / LIBRARY


def finish(process, errors):
    """Wait for a child; its peak memory (VmHWM) in MiB."""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        errors.seek(0)
        message = errors.read().decode(errors="replace").strip()
        raise BenchError(f"{process.args[0]} ended with {process.returncode}: {message[-2000:]}")
    return usage.ru_maxrss / 1024


class Llama:
    """llama_child.py with a model loaded.  Use in a `with` statement."""

    def __init__(self, library, model):
        child = pathlib.Path(__file__).with_name("llama_child.py")
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            [sys.executable, child, "--library", library, model],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True,
        )  # fmt: skip
        self.setting, self.peak = None, 0
        self.about = self._answer()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()

    def _answer(self):
        line = self.process.stdout.readline()
        if not line:
            self.close()
            raise BenchError("llama.cpp ended too early")
        return json.loads(line)

    def kill(self):
        """End it in any case."""
        if self.process.returncode is None:
            self.process.kill()
            self.process.wait()

    def ask(self, *words):
        """One command of llama_child.py's protocol."""
        with contextlib.suppress(BrokenPipeError):  # then the answer is missing
            print(*words, file=self.process.stdin, flush=True)
        return self._answer()

    def run(self, setting, kind, count, depth):
        """Tokens per second, in a context of this (threads, flash, tokens)."""
        if setting != self.setting:
            self.ask("context", *setting)
            self.setting = setting
        return count / self.ask(kind, count, depth)

    def close(self):
        """End it and note its peak memory."""
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.peak = finish(self.process, self.errors)


def run_ours(binary, *options):
    """(JSON, peak memory in MiB) of `smallthinker bench`."""
    with tempfile.TemporaryFile() as errors:
        command = [binary, "bench", *map(str, options), "-o", "json"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors)
        output = process.stdout.read()
        peak = finish(process, errors)
    return json.loads(output), peak
