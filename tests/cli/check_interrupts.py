#!/usr/bin/env python3
"""Ctrl-C, SIGTERM and SIGHUP at any moment of any command: exit code 130, soon, and nothing left behind. Pipes that
nobody reads, files that may grow no further, and processes that are killed leave nothing behind either.

ST_INTERRUPTS: how often each command is interrupted (2); ST_SEED: at other moments (1)."""
import fcntl
import os
import pathlib
import random
import re
import resource
import signal
import subprocess
import sys
import termios
import time

from harness import PROMPT, check, main

ROUNDS = int(os.environ.get("ST_INTERRUPTS", "2"))
RANDOM = random.Random(int(os.environ.get("ST_SEED", "1")))
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
slowest = (0.0, "")


def start(st, arguments, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=None, **more):
    """A process that has come so far as to expect signals: before that the system ends it."""
    process = subprocess.Popen([st.binary, *map(str, arguments)], stdin=stdin, stdout=stdout,
                               stderr=subprocess.PIPE, env={**os.environ, **(env or {})}, **more)
    bit = 1 << (signal.SIGTERM - 1)
    deadline = time.monotonic() + 30
    while process.poll() is None and time.monotonic() < deadline:
        caught = re.search(r"SigCgt:\s*(\w+)", pathlib.Path(f"/proc/{process.pid}/status").read_text())
        if caught and int(caught[1], 16) & bit:
            break
        time.sleep(0.001)
    return process


def ends(process, limit):
    """Seconds until it has ended, killed after the limit and some, and what it wrote to standard error."""
    started = time.monotonic()
    try:
        _, stderr = process.communicate(timeout=limit + 5)
    except subprocess.TimeoutExpired:
        process.kill()
        _, stderr = process.communicate()
    return time.monotonic() - started, stderr.decode(errors="replace")


def interrupted(what, process, limit, wait):
    global slowest
    time.sleep(wait)
    before = process.poll()
    which = RANDOM.choice(SIGNALS)
    process.send_signal(which)
    seconds, stderr = ends(process, limit)
    if before is None and process.returncode == 0:
        before = 0  # it was about to end
    if before is not None:
        check(before == 0, f"{what}: ended by itself with {before}: {stderr[-300:]}")
        return
    slowest = max(slowest, (seconds, what))
    check(process.returncode == 130 and seconds <= limit,
          f"{what}: {which.name} after {wait:.3f} s: exit {process.returncode}, {seconds:.2f} s, {stderr[-300:]}")
    check("error: " not in stderr, f"{what}: {which.name}: {stderr[-300:]}")


def temporaries(folder):
    return sorted(path.name for path in folder.glob("*.tmp"))


def commands(st, gguf, models, folder):
    """Of each command: its arguments, and seconds that are within its work."""
    floats, trace, long_text = folder / "floats.gguf", folder / "trace", folder / "long.txt"
    st("convert", models / "model", "--outfile", floats, "--outtype", "f32")
    st("run", "-m", gguf, "-p", PROMPT, "-n", 20, "--ignore-eos", "--record-routing", trace)
    text = (models / "valid.txt").read_text()
    long_text.write_text(text * (8_000_000 // len(text)))
    out, budget = folder / "out", ["--memory", "1GiB"]
    for memory in [], budget:
        yield ["run", "-m", gguf, "-p", PROMPT, "--ignore-eos", "-n", 1900, "--record-routing", out, *memory], 0.8
        yield ["run", "-m", gguf, "-c", 2048, "-p", PROMPT * 400, *memory], 0.8
        yield ["chat", "-m", gguf, "-p", PROMPT, "--ignore-eos", *memory], 0.8
        yield ["perplexity", "-m", gguf, "-f", models / "valid.txt", *memory], 0.8
        yield ["imatrix", "-m", gguf, "-f", models / "valid.txt", "-o", out, *memory], 0.8
        yield ["logits", "-m", gguf, "-c", 2048, "-p", PROMPT * 400, "--all", "-o", out, *memory], 0.8
        yield ["bench", "-m", gguf, "-r", 1000, *memory], 1.2
    yield ["verify", "-m", gguf, "-p", 300, "--memory", "1GiB"], 1.2
    yield ["convert", models / "model", "--outfile", out, "--outtype", "q4_0"], 0.6
    yield ["quantize", floats, out, "Q4_0"], 0.4
    yield ["bundle", floats, "-o", out], 0.3
    yield ["strip", floats, "-o", out], 0.1
    yield ["synth", "4b", "-o", out], 1.0
    yield ["tokenize", "-m", gguf, "-f", long_text], 1.0
    yield ["perplexity", "-m", gguf, "-f", long_text, "-c", 2048], 1.0
    yield ["perplexity", "-m", gguf, "-f", models / "valid.txt", "-c", 64, "--kl-divergence-base", out], 1.0
    yield ["cache-sim", trace, "--memory", "10%,20%,30%,40%,50%,60%,70%", "--save-hot-set", out], 0.3
    yield ["cache-sim", "--made-up", "published", "--tokens", 20000, "--memory", "30%"], 1.0
    yield ["inspect", "--plan", gguf, "--memory", "1GiB"], 1.0
    yield ["inspect", gguf, "--json"], 0.1


def at_any_moment(st, gguf, models, folder):
    limit = 3.0 if st.sanitized else 0.5
    for arguments, most in commands(st, gguf, models, folder):
        what = " ".join(map(str, [arguments[0], *(a for a in arguments if a == "--memory")]))
        for _ in range(ROUNDS):
            interrupted(what, start(st, arguments), limit, RANDOM.uniform(0, most))
            check(not temporaries(folder), f"{what}: left {temporaries(folder)}")
            (folder / "out").unlink(missing_ok=True)
    print(f"the slowest to end: {slowest[1]}, {slowest[0]:.2f} s")


def while_reading_standard_input(st, gguf):
    for arguments in ["run", "-m", gguf], ["tokenize", "-m", gguf], ["detokenize", "-m", gguf]:
        process = start(st, arguments, stdin=subprocess.PIPE)
        interrupted(f"{arguments[0]}, standard input", process, 3.0 if st.sanitized else 0.5, 0.3)


def a_device_that_does_not_answer(st, gguf, models, folder, dead_disk):
    """Two seconds, wherever it stops answering."""
    dead, out = folder / "dead", folder / "out"
    env = {"LD_PRELOAD": str(dead_disk), "ST_DEAD_DISK": str(dead),
           "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"}
    memory = ["-c", 2048, "--memory", smallest_memory(st, gguf)]
    cases = [
        (["run", "-m", gguf, "-p", PROMPT, "--ignore-eos", "-n", 1900, *memory, "--record-routing", out], 0.5),
        (["run", "-m", gguf, "-p", PROMPT, *memory], 0),  # while it is loaded
        (["run", "-m", gguf, "-p", PROMPT], 0),
        (["perplexity", "-m", gguf, "-f", models / "valid.txt", *memory], 0.5),
        (["logits", "-m", gguf, "-p", PROMPT * 400, "--all", "-o", out, *memory], 0.5),
        (["bench", "-m", gguf, "-r", 1000, "--no-probe", "--memory", "1GiB"], 0),
        (["verify", "-m", gguf, "-p", 300, "--memory", "1GiB"], 0),
        (["convert", models / "model", "--outfile", out], 0),
        (["quantize", folder / "floats.gguf", out, "Q4_0"], 0),
        (["bundle", gguf, "-o", out], 0),
    ]
    for arguments, alive in cases:
        dead.unlink(missing_ok=True)
        process = start(st, arguments, env=env)
        time.sleep(alive)
        dead.touch()
        interrupted(f"{arguments[0]} and a dead disk", process, 5.0 if st.sanitized else 2.0, 0.7)
        check(not temporaries(folder), f"{arguments[0]} and a dead disk: left {temporaries(folder)}")
        out.unlink(missing_ok=True)
    dead.unlink()


def waiting(reader):
    return int.from_bytes(fcntl.ioctl(reader, termios.FIONREAD, bytes(4)), sys.byteorder)


def a_reader_that_does_not_read(st, gguf, folder):
    """Standard output is a full pipe; the first signal waits for nobody for long, the second not at all."""
    for twice, limit in (False, 2.0), (True, 0.5):
        reader, writer = os.pipe()
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
        process = start(st, ["run", "-m", gguf, "-c", 4096, "-p", PROMPT * 400, "--record-routing", folder / "out"],
                        stdout=writer)
        os.close(writer)
        deadline = time.monotonic() + 30
        while waiting(reader) < 4096 and time.monotonic() < deadline:
            time.sleep(0.01)
        if twice:
            process.send_signal(signal.SIGINT)
            time.sleep(0.3)
        interrupted(f"{1 + twice} signals and a reader that does not read", process, limit, 0)
        check(process.returncode == 130 and not temporaries(folder), f"a full pipe: left {temporaries(folder)}")
        check(not (folder / "out").exists(), "a full pipe: a recording of half a run")
        os.close(reader)


def smallest_memory(st, gguf):
    refusal = st("run", "-m", gguf, "-c", 2048, "-p", PROMPT, "--memory", "1MiB").stderr
    return f"{int(re.search(r': ([0-9]+) MiB is the smallest', refusal)[1]) + st.slack}MiB"


def writers(gguf, models, folder):
    """Commands that write a file larger than 64 KiB."""
    out = folder / "out"
    return [["convert", models / "variants/micro-4b-style", "--outfile", out, "--outtype", "f32"],
            ["quantize", folder / "floats.gguf", out, "Q4_0"],
            ["bundle", gguf, "-o", out],
            ["strip", gguf, "-o", out],
            ["synth", "tiny", "-o", out],
            ["logits", "-m", gguf, "-p", PROMPT * 20, "--all", "-o", out],
            ["run", "-m", gguf, "-p", PROMPT, "--ignore-eos", "-n", 1900, "--record-routing", out]]


def files_that_may_not_grow(st, gguf, models, folder):
    """With the signals as a shell has them."""
    limit = 64 << 10
    for arguments in writers(gguf, models, folder):
        result = subprocess.run([st.binary, *map(str, arguments)], capture_output=True, text=True, restore_signals=True,
                                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
        last = result.stderr.splitlines()[-1:]
        check(result.returncode == 1 and len(last) == 1 and
              re.fullmatch(f"error: (.*: )?{folder}/out: cannot write: File too large", last[0]),
              f"{arguments[0]}, RLIMIT_FSIZE: exit {result.returncode}, {result.stderr[-300:]}")
        check(not temporaries(folder) and not (folder / "out").exists(), f"{arguments[0]}, RLIMIT_FSIZE: files are left")


def pipes_that_nobody_reads(st, gguf, models, folder):
    """command 2>&1 | head -1: it goes on, or fails in its own words."""
    for arguments in writers(gguf, models, folder):
        reader, writer = os.pipe()
        process = subprocess.Popen([st.binary, *map(str, arguments)], stdout=writer, stderr=writer, restore_signals=True)
        os.close(writer)
        os.close(reader)
        process.wait(timeout=120)
        printed = arguments[0] == "run"  # to standard output, which is what it is for
        check(process.returncode == (1 if printed else 0), f"{arguments[0]}, a closed pipe: exit {process.returncode}")
        check(not temporaries(folder) and (folder / "out").exists() != printed,
              f"{arguments[0]}, a closed pipe: {sorted(p.name for p in folder.iterdir())}")
        (folder / "out").unlink(missing_ok=True)


def without_a_hang_up(st, gguf, models):
    """nohup has SIGHUP ignored, and it stays so."""
    process = start(st, ["perplexity", "-m", gguf, "-f", models / "valid.txt", "-c", 64, "--chunks", 20],
                    preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    process.send_signal(signal.SIGHUP)
    _, stderr = ends(process, 60)
    check(process.returncode == 0, f"nohup: exit {process.returncode}, {stderr[-300:]}")


def killed(st, gguf, folder):
    """kill -9 leaves one file at most, which the next run with the same output removes."""
    out = folder / "out"
    for _ in range(2):
        old = temporaries(folder)
        process = start(st, ["synth", "4b", "-o", out])
        end = time.monotonic() + 30
        while temporaries(folder) in (old, []) and time.monotonic() < end:
            time.sleep(0.01)
        process.kill()
        process.communicate()
        check(len(temporaries(folder)) == 1 and not out.exists(), f"kill -9 left {temporaries(folder)}")
    other = folder / "out.1.tmp"  # somebody else's
    other.touch()
    result = st("bundle", gguf, "-o", out)
    check(result.returncode == 0 and temporaries(folder) == [other.name], f"after kill -9: {temporaries(folder)}, {result}")
    out.unlink()
    other.unlink()


if __name__ == "__main__":
    main(__doc__, at_any_moment, while_reading_standard_input, a_device_that_does_not_answer, a_reader_that_does_not_read,
         files_that_may_not_grow, pipes_that_nobody_reads, without_a_hang_up, killed)
