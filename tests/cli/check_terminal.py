#!/usr/bin/env python3
"""On a terminal: what a model or a file says cannot command it, a missing text is asked for, and an error begins on a
line of its own."""
import os
import pty
import re
import subprocess

from harness import PROMPT, check, main

EVIL = "\x1b]0;title\x07\x1b[2J\x7f\x9b1m \ta\nb"  # \x9b, U+009B, is the C1 control that begins a sequence too
SHOWN = r"\x1b]0;title\x07\x1b[2J\x7f\xc2\x9b1m" + " \ta\nb"


def on_terminal(st, *arguments, stdin=None, typed=b"", stderr=None):
    """Exit code, and what a terminal got on standard output; `stdin` "terminal": what is typed comes from it."""
    screen, theirs = pty.openpty()
    keys = subprocess.DEVNULL if stdin is None else theirs
    process = subprocess.Popen([st.binary, *map(str, arguments)], stdin=keys, stdout=theirs,
                               stderr=theirs if stderr is None else stderr, start_new_session=True)
    if typed:
        os.write(screen, typed)
    os.close(theirs)
    got = b""
    while True:
        try:
            piece = os.read(screen, 1 << 16)
        except OSError:  # all that had it open are gone
            break
        got += piece
    os.close(screen)
    return process.wait(timeout=60), got.replace(b"\r\n", b"\n").decode(errors="surrogateescape")


def control_bytes(st, gguf, folder):
    text = folder / "evil"
    text.write_text(EVIL)
    ids = st("tokenize", "-m", gguf, "--ids", "-f", text).stdout.strip("[]\n").split(", ")
    quiet = {"stderr": subprocess.DEVNULL}
    check(on_terminal(st, "detokenize", "-m", gguf, *ids, **quiet) == (0, SHOWN), "detokenize")
    check(on_terminal(st, "detokenize", "-m", gguf, "--raw", *ids, **quiet) == (0, EVIL), "detokenize --raw")
    check(st("detokenize", "-m", gguf, *ids).stdout == EVIL, "detokenize to a pipe")
    run = ["run", "-m", gguf, "-f", text, "-n", 0]
    check(on_terminal(st, *run, **quiet) == (0, SHOWN + "\n"), "run")
    check(on_terminal(st, *run, "--raw", **quiet) == (0, EVIL + "\n"), "run --raw")
    check(st(*run).stdout == EVIL + "\n", "run to a pipe")
    # What lists a file is no way to a terminal either.
    bad = folder / "m.gguf"
    name = b"general.name"
    data = gguf.read_bytes()
    at = data.index(name) + len(name) + 4  # behind the key, the type of its value: a text and its length
    length = int.from_bytes(data[at:at + 8], "little")
    evil = "\x1b[2J\x9b\x7f".encode()
    check(length >= len(evil), "the name is long enough")
    bad.write_bytes(data[:at + 8] + evil + b"x" * (length - len(evil)) + data[at + 8 + length:])
    for arguments in ["inspect", bad], ["inspect", bad, "--json"], ["inspect", bad, "--json", "--tensors"]:
        code, got = on_terminal(st, *arguments, **quiet)
        check(code == 0 and not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f]", got) and "[2J" in got, f"{arguments}")
    code, got = on_terminal(st, "tokenize", "-m", gguf, "-f", text, **quiet)
    check(code == 0 and not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f]", got), "tokenize")
    code, got = on_terminal(st, "run", "-m", folder / "\x1b[2J", "-p", "x")
    check(code == 1 and "\x1b" not in got and r"\x1b[2J: cannot open" in got, f"a path in an error: {got!r}")


def texts_from_a_terminal(st, gguf):
    note = ("note: reading the text from the terminal, Ctrl-D on a line of its own ends it; -p TEXT or -f FILE gives "
            "it at once\n")
    want = st("tokenize", "-m", gguf, "--ids", "-p", PROMPT).stdout
    code, got = on_terminal(st, "tokenize", "-m", gguf, "--ids", stdin="terminal", typed=PROMPT.encode() + b"\n\x04")
    check(code == 0 and note in got and got.endswith(want), f"tokenize: {got!r}")
    code, got = on_terminal(st, "run", "-m", gguf, "-no-cnv", "-n", 2, "--temp", 0, stdin="terminal",
                            typed=PROMPT.encode() + b"\n\x04")
    check(code == 0 and note in got and f"{PROMPT}," in got, f"run: {got!r}")
    code, got = on_terminal(st, "detokenize", "-m", gguf, stdin="terminal", typed=b"4078\n\x04")
    check(code == 0 and note in got and got.endswith("<|im_start|>"), f"detokenize: {got!r}")
    for given in ["-p", "x"], ["-f", "/dev/null"]:
        code, got = on_terminal(st, "tokenize", "-m", gguf, *given, stdin="terminal")
        check(code == 0 and "note" not in got, f"tokenize {given}: {got!r}")


def errors_begin_a_line(st, gguf, folder):
    # A budget too small in the middle of a text is refused before the text begins.
    ask = ["run", "-m", gguf, "-p", PROMPT, "-n", 9, "--temp", 0]
    smallest = re.search(r"(\d+) MiB is the smallest", st(*ask, "--memory", "1MiB").stderr)
    check(smallest, "a budget that is too small")
    result = st(*ask, "--memory", "1GiB", "--memory-change", "2:1MiB")
    check(result.returncode == 2 and not result.stdout and result.stderr.startswith("error: ") and
          "MiB is the smallest that works" in result.stderr and len(result.stderr.splitlines()) == 1,
          f"--memory-change 2:1MiB: {result}")
    result = st(*ask, "--memory", "1GiB", "--memory-change", "2:900MiB", "--memory-change", "4:800MiB")
    check(result.returncode == 0 and "800.0 MiB  budget" in result.stderr, f"--memory-change: {result}")
    # A file that is cut while experts are read from it, the text and the error to one place.
    victim = folder / "victim.gguf"
    victim.write_bytes(gguf.read_bytes())
    memory = f"{int(smallest[1]) + st.slack + 1}MiB" if smallest else "1GiB"
    process = subprocess.Popen([st.binary, "run", "-m", str(victim), "-p", PROMPT, "--ignore-eos", "-n", "1500", "-c", "2048",
                                "--memory", memory, "--temp", "0"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    begin = process.stdout.read(40)
    os.truncate(victim, gguf.stat().st_size // 2)
    got = (begin + process.stdout.read()).decode()
    check(process.wait(timeout=60) == 1 and got.splitlines()[-1].startswith("error: ") and
          len(re.findall("error: ", got)) == 1, f"an error in a text: {got[-300:]!r}")


if __name__ == "__main__":
    main(__doc__, control_bytes, texts_from_a_terminal, errors_begin_a_line)
