#!/usr/bin/env python3
"""A model, or what one is made from, that somebody changes while the command reads it: the text and the file of before, or
one line that says so; never another text. ST_TEST_SCALE multiplies the number of trials."""
import ctypes
import os
import random
import re
import shutil
import subprocess
import time

import harness
from harness import PROMPT, check

SCALE = int(os.environ.get("ST_TEST_SCALE", "1"))
SAID = re.compile(
    r"error: \S+: (the file was changed while in use|the file was replaced while it was loaded)$|"
    r"error: .*\S+: .*(file was truncated while in use, at byte \d+|became shorter while in use \(was \d+\))$"
)
libc = ctypes.CDLL(None, use_errno=True)
libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_longlong, ctypes.c_longlong]
PUNCH_HOLE = 1 | 2  # and keep the size


class Victim:
    """A copy of a file, and what may be done to it from byte `first` on."""

    def __init__(self, path, source, first):
        self.path, self.source, self.first = path, source, first
        self.size = source.stat().st_size

    def renew(self):
        self.path.unlink(missing_ok=True)
        shutil.copyfile(self.source, self.path)

    def write(self, data_of):
        with self.path.open("r+b") as file:
            file.seek(self.first)
            data = data_of(file.read(self.size - self.first))
            file.seek(self.first)
            file.write(data)

    def overwrite(self):
        self.write(lambda old: bytes(len(old)))

    def overwrite_and_put_time_back(self):
        before = self.path.stat()
        # Every second block of 34 bytes (Q8_0) changes places: all values stay as good as they were.
        self.write(lambda old: old[34 * 64 :] + old[: 34 * 64])
        os.utime(self.path, ns=(before.st_atime_ns, before.st_mtime_ns))

    def punch(self):
        with self.path.open("r+b") as file:
            if libc.fallocate(file.fileno(), PUNCH_HOLE, self.first, self.size - self.first) != 0:
                self.overwrite()  # a file system without holes

    def truncate(self):
        os.truncate(self.path, self.first + (self.size - self.first) // 2)

    def replace(self):
        other = self.path.with_suffix(".other")
        other.write_bytes(bytes(self.size))
        other.rename(self.path)

    def remove(self):
        self.path.unlink()

    WAYS = overwrite, overwrite_and_put_time_back, punch, truncate, replace, remove


def is_open(process, path):
    """Waits until the process has the file open; False if it has ended instead."""
    folder = f"/proc/{process.pid}/fd"
    while process.poll() is None:
        try:
            if any(os.readlink(f"{folder}/{fd}") == str(path) for fd in os.listdir(folder)):
                return True
        except OSError:
            pass  # it was closed, or the process has gone
    return False


def result_of(process):
    """Its exit code, its stdout, its errors."""
    out, err = process.communicate(timeout=120)
    errors = [line for line in err.decode(errors="replace").splitlines() if line.startswith("error: ")]
    return process.returncode, out, errors


def start(st, arguments):
    return subprocess.Popen([st.binary, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def trial(st, victim, way, delay, arguments):
    """What the command says and returns when the file is changed `delay` seconds after it was opened."""
    victim.renew()
    process = start(st, arguments)
    if is_open(process, victim.path):
        time.sleep(delay)
        way(victim)
    return result_of(process)


def judge(what, seen, want, again):
    """`seen` and `want`: exit code, what was made, errors. A busy machine may take longer than the delay from opening the
    file to the first look at it; then the command saw the changed file alone, and says of it `again` what it said."""
    code, made, errors = seen
    if code == 0:
        check(made == want or seen == again(), f"{what}: exit 0 and another result")
    else:
        good = code == 1 and len(errors) == 1 and (SAID.match(errors[0]) or seen == again())
        check(good, f"{what}: exit {code}, {errors}")
    return code == 1


def running(st, gguf, folder):
    """run, with and without a budget."""
    source = folder / "source.gguf"  # large enough that loading it takes a moment
    made = st("quantize", "--pure", gguf.with_name("f32.gguf"), source, "Q8_0")
    check(made.returncode == 0, made.stderr)
    victim = Victim(folder / "victim.gguf", source, source.stat().st_size // 3)
    common = ["run", "-m", victim.path, "-p", PROMPT, "-n", 60, "--temp", 0, "--ignore-eos", "-c", 256, "--no-progress"]
    refusal = st(*common[:2], source, *common[3:], "--memory", "1MiB").stderr
    smallest = int(re.search(r"(\d+) MiB is the smallest", refusal)[1]) + st.slack
    chance = random.Random(1)
    said = 0
    for memory in ([], ["--memory", f"{smallest}MiB"]):
        victim.renew()
        begin = time.monotonic()
        want = st(*common, *memory)
        span = time.monotonic() - begin
        check(want.returncode == 0, want.stderr)
        for way in Victim.WAYS:
            for number in range(2 * SCALE):
                delay = span * chance.random() * (0.2 if number % 2 else 1)
                seen = trial(st, victim, way, delay, [*common, *memory])
                what = f"{way.__name__} {1000 * delay:.1f} ms after it was opened, {memory}"
                text = want.stdout.encode(errors="surrogateescape")
                said += judge(what, seen, text, lambda: result_of(start(st, [*common, *memory])))
    check(said > 0, "no change of a file was noticed")


def making(st, gguf, folder, models):
    """Commands that make a file of others: no output unless it is the right one."""
    f32 = gguf.with_name("f32.gguf")
    shard = folder / "hf"
    shutil.copytree(models / "model", shard)
    safetensors = models / "model/model.safetensors"
    half = f32.stat().st_size // 3
    out = folder / "out.gguf"
    cases = [
        (Victim(folder / "in.gguf", f32, half), ["quantize", folder / "in.gguf", out, "Q8_0"]),
        (Victim(folder / "in.gguf", f32, half), ["bundle", folder / "in.gguf", "-o", out]),
        (Victim(folder / "in.gguf", f32, half), ["strip", folder / "in.gguf", "-o", out]),
        (Victim(shard / "model.safetensors", safetensors, safetensors.stat().st_size // 3), ["convert", shard, "--outfile", out]),
    ]
    chance = random.Random(2)
    for victim, arguments in cases:
        victim.renew()
        begin = time.monotonic()
        done = st(*arguments, "--no-progress")
        span = time.monotonic() - begin
        check(done.returncode == 0, f"{arguments[0]}: {done.stderr}")
        want = out.read_bytes()
        for way in Victim.WAYS:
            for _ in range(SCALE):
                out.unlink(missing_ok=True)
                delay = span * chance.random() * 0.7
                command = [*arguments, "--no-progress"]
                code, _, errors = trial(st, victim, way, delay, command)
                made = lambda: out.read_bytes() if out.exists() else b""
                seen = code, made(), errors
                what = f"{arguments[0]}: {way.__name__} {1000 * delay:.1f} ms after it was opened"
                check(code == 0 or not out.exists(), f"{what}: an output all the same")

                def again():
                    code, _, errors = result_of(start(st, command))
                    return code, made(), errors

                judge(what, seen, want, again)


def f32_model(st, gguf, models):
    made = st("convert", models / "model", "--outfile", gguf.with_name("f32.gguf"), "--outtype", "f32")
    check(made.returncode == 0, made.stderr)


if __name__ == "__main__":
    harness.main(__doc__.splitlines()[0], f32_model, running, making)
