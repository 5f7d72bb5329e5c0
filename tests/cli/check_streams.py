#!/usr/bin/env python3
"""Standard output and standard error that are closed, full, or pipes that nobody reads: no command ends differently
because of what became of its messages, none writes them into a file, and lost output is an error."""
import os
import subprocess

from harness import PROMPT, check, main

LOST = "error: cannot write to standard output: "


def commands(st, gguf, models, folder):
    """Each command with its exit code, quick; {out} is a file it writes."""
    floats = folder / "floats.gguf"
    if not floats.exists():
        st("convert", models / "variants/micro-4b-style", "--outfile", floats, "--outtype", "f32")
    return [
        (["help"], 0), (["version"], 0), (["nonsense"], 2), (["run"], 2), (["inspect", folder / "none"], 1),
        (["run", "-m", gguf, "-p", PROMPT, "-n", 3, "--temp", 0, "-v"], 0),
        (["run", "-m", gguf, "-p", PROMPT, "-n", 3, "--temp", 0, "--record-routing", "{out}"], 0),
        (["run", "-m", gguf, "-p", PROMPT, "-c", 2], 1),
        (["convert", models / "variants/micro-4b-style", "--outfile", "{out}", "--outtype", "f32"], 0),
        (["quantize", floats, "{out}", "F16"], 0),
        (["bundle", gguf, "-o", "{out}"], 0),
        (["strip", gguf, "-o", "{out}"], 0),
        (["synth", "tiny", "-o", "{out}"], 0),
        (["tokenize", "-m", gguf, "-p", PROMPT], 0),
        (["detokenize", "-m", gguf, 1, 2, 3], 0),
        (["perplexity", "-m", gguf, "-f", models / "valid.txt", "-c", 32, "--chunks", 2], 0),
        (["imatrix", "-m", gguf, "-f", models / "valid.txt", "-c", 32, "--chunks", 2, "-o", "{out}"], 0),
        (["logits", "-m", gguf, "-p", PROMPT, "-o", "{out}"], 0),
        (["inspect", gguf], 0), (["inspect", "--system"], 0),
        (["verify", "-m", gguf, "-p", 3, "-t", 1, "-ub", 2], 0),
        (["cache-sim", "--made-up", "uniform", "--tokens", 10, "--memory", "30%", "--save-hot-set", "{out}"], 0),
    ]


def shell(st, redirection, arguments):
    return subprocess.run(["sh", "-c", f'exec "$@" {redirection}', "sh", st.binary, *map(str, arguments)],
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=120)


def messages_that_get_lost(st, gguf, models, folder):
    for command, code in commands(st, gguf, models, folder):
        results = []
        for number, redirection in enumerate(["", "2>/dev/full", "2>&-", "<&- >&- 2>&-"]):
            out = folder / f"out-{number}"
            result = shell(st, redirection, [str(a).format(out=out) if a == "{out}" else a for a in command])
            name = f"{command[0]} {redirection}"
            check(result.returncode == code, f"{name}: exit {result.returncode}, want {code}: {result}")
            if ">&- 2" not in redirection:
                results.append(result.stdout)
            check(out.exists() == ("{out}" in command), f"{name}: the output file")
            if "{out}" in command:
                check(out.exists() and out.read_bytes() == (folder / "out-0").read_bytes(), f"{name}: another file")
        check(len(set(results)) == 1 or command[:2] == ["inspect", "--system"], f"{command}: another standard output")
        for out in folder.glob("out-*"):
            out.unlink()
    bench = ["bench", "-m", gguf, "--no-probe", "-p", 4, "-n", 1, "-r", 1]
    for redirection in "2>/dev/full", "2>&-", "<&- >&- 2>&-":
        result = shell(st, redirection, bench)
        check(result.returncode == 0, f"bench {redirection}: {result}")


def pipes_that_nobody_reads(st, gguf, models, folder):
    def unread(which, command):
        reader, writer = os.pipe()
        os.close(reader)
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, which: writer}
        process = subprocess.Popen([st.binary, *map(str, command)], stdin=subprocess.DEVNULL, restore_signals=False,
                                   **streams)  # which leaves SIGPIPE ignored
        os.close(writer)
        stdout, stderr = process.communicate(timeout=120)
        return process.returncode, stdout, stderr

    quantize = ["quantize", folder / "floats.gguf", folder / "quantized", "F16"]
    code, _, _ = unread("stderr", quantize)
    check(code == 0 and (folder / "quantized").exists(), f"quantize 2>&1 | head -1: exit {code}")
    (folder / "quantized").unlink()
    for command, code in commands(st, gguf, models, folder):
        if "{out}" in command or code != 0:
            continue
        result = unread("stderr", command)
        check(result[0] == 0, f"{command}, standard error unread: {result}")
        if command[0] != "perplexity":  # which prints its figures at the end of its lines of progress
            result = unread("stdout", command)
            check(result[0] == 1 and result[2].decode().splitlines()[-1] == f"{LOST}Broken pipe",
                  f"{command}, standard output unread: {result}")
    result = unread("stdout", ["convert", models / "variants/micro-4b-style", "--dry-run"])
    check(result[0] == 1 and result[2].decode().endswith(f"{LOST}Broken pipe\n"), f"convert --dry-run: {result}")


def output_that_gets_lost(st, gguf, models, folder):
    for command, code in commands(st, gguf, models, folder):
        result = shell(st, "", command) if code == 0 and "{out}" not in command else None
        if result is None or not result.stdout:
            continue
        full = shell(st, ">/dev/full", command)
        check(full.returncode == 1 and full.stderr.decode().splitlines()[-1] == f"{LOST}No space left on device",
              f"{command} > /dev/full: {full}")


if __name__ == "__main__":
    main(__doc__, messages_that_get_lost, pipes_that_nobody_reads, output_that_gets_lost)
