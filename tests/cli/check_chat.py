#!/usr/bin/env python3
"""Chat through pipes: one message or a message a line, answers alone on standard output, and one clear line where
something is missing. What the model is given is compared with `run`, whose prompt has the turns written out."""
import os
import re
import signal
import subprocess

from harness import check, main

GREEDY = ["--temp", "0"]
STORY = "Tell me a story about a fox."


def written_out(*messages, system=None):
    """The prompt that the tiny model's template makes of messages, a user's and an assistant's in turn."""
    turns = [("system", system)] if system else []
    turns += [(("user", "assistant")[i % 2], text) for i, text in enumerate(messages)]
    return "".join(f"<|im_start|>{role}\n{text}<|im_end|>\n" for role, text in turns) + "<|im_start|>assistant\n"


def continued(st, gguf, *messages, system=None):
    return st("run", "-m", gguf, *GREEDY, "--no-display-prompt", "--no-escape", "-n", 200, "-p",
              written_out(*messages, system=system)).stdout


def one_message(st, gguf, folder):
    want = continued(st, gguf, STORY)
    check(len(want) > 200, f"a story: {want!r}")
    chat = ["chat", "-m", gguf, *GREEDY, "-n", 200]
    for what, arguments, stdin in (("-p", ["-p", STORY], "not read"), ("a pipe", [], STORY),
                                   ("a pipe with a line feed", [], STORY + "\n")):
        result = st(*chat, *arguments, stdin=stdin)
        check(result.returncode == 0 and result.stdout == want, f"{what}: {result}")
        check(re.fullmatch(r"\[\d+ tokens, [\d.]+ tok/s(, spec \d+ of \d+ drafts)?; prompt 16 new of 16 tokens, [\d.]+ tok/s\]\n", result.stderr),
              f"{what}: {result.stderr!r}")
    check(max(map(len, want.splitlines())) > 80, "no line is broken")
    lines = "Once upon a time\n\nthere was a fox.\n  And a hen."
    check(st(*chat, stdin=lines).stdout == continued(st, gguf, lines), "all of a pipe is one message")
    system = "You tell very short stories."
    want = continued(st, gguf, STORY, system=system)
    for name in "--system", "-sys", "--system-prompt":
        check(st(*chat, name, system, "-p", STORY).stdout == want, name)
    (folder / "system").write_text(system + "\n")
    check(st(*chat, "--system-file", folder / "system", "-p", STORY).stdout == want, "--system-file")
    names = "The names <|im_end|> and <|im_start|> are text."  # of a message, and never tokens
    a, b = (st(*chat, "-p", names).stdout, continued(st, gguf, names))
    check(a != b, "special tokens in a message are text")


def drafts(st, gguf):
    """--spec changes no text, and off says so by saying nothing of drafts."""
    text = "Leo the fox found a red ball in the den and gave it to the little hen. " * 6
    for command in (["run", "--no-display-prompt"], ["chat"]):
        off, auto = (st(*command, "-m", gguf, *GREEDY, "-n", 120, "-p", text, "--spec", mode) for mode in ("off", "auto"))
        check(off.returncode == 0 and len(off.stdout) > 20, f"--spec off: {off}")
        check(auto.stdout == off.stdout, f"--spec changes the text: {off.stdout!r}, {auto.stdout!r}")
        check("draft" not in off.stderr and "tok/s" in off.stderr, f"--spec off: {off.stderr!r}")
    st.refuses("--spec maybe", "run", "-m", gguf, "--spec", "maybe", "-p", "x", code=2,
               contains="--spec: 'maybe': want auto or off")


def documented(st, models):
    """The commands at a terminal, in the help and in the documentation."""
    listed = re.findall(r"^  (/[a-z]+)", st("chat", "--help").stdout, re.MULTILINE)
    page = (models.parent.parent / "docs/usage.md").read_text()
    documented = re.findall(r"^\| `(/[a-z]+)", page, re.MULTILINE)
    check(len(listed) > 10 and listed == documented, f"commands: {listed}, documented {documented}")


def turns(st, gguf):
    chat = ["chat", "-m", gguf, *GREEDY, "-n", 60, "--turns"]
    said = ["Hello", "What is the capital of France?", "Thank you"]
    talk = []
    for message in said:
        talk.append(message)
        talk.append(continued(st, gguf, *talk).removesuffix("\n"))
    answers = talk[1::2]
    for what, stdin, more, end in (("lines", "\n".join(said) + "\n", [], "\n"), ("no last line feed", "\n".join(said), [], "\n"),
                                   ("NUL", "\0".join(said) + "\0", ["-0"], "\0")):
        result = st(*chat, *more, stdin=stdin)
        check(result.returncode == 0 and result.stdout == "".join(answer + end for answer in answers), f"{what}: {result}")
    check("prompt" in result.stderr and len(result.stderr.splitlines()) == 3, f"timings: {result.stderr!r}")
    # What was said before is not evaluated again.
    kept = [int(new) for new in re.findall(r"prompt (\d+) new", result.stderr)]
    check(all(new < 25 for new in kept), f"only what is new is evaluated: {kept}")
    # A message is answered before the next one comes.
    process = subprocess.Popen([st.binary, *map(str, chat)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL)
    got = []
    for message in said:
        process.stdin.write(message.encode() + b"\n")
        process.stdin.flush()
        got.append(process.stdout.readline().decode().removesuffix("\n"))
    process.stdin.close()
    check(process.wait(timeout=20) == 0 and got == answers, f"one after the other: {got}")
    empty = st(*chat, "-0", "-n", 0, stdin="one\0two")
    check((empty.returncode, empty.stdout) == (0, "\0\0"), f"empty answers have an end: {empty}")
    lines = "one\ntwo\0three"
    first = st(*chat, "-0", stdin=lines).stdout.split("\0")[0]
    check(first == continued(st, gguf, "one\ntwo").removesuffix("\n")[:len(first)], "a message of two lines")


def files(st, gguf, folder):
    chat = ["chat", "-m", gguf, *GREEDY, "-n", 40]
    a, b = folder / "a.txt", folder / "b.txt"
    a.write_text("Ben has a red kite.\n")
    b.write_text("Anna has a blue kite.")
    text = "a.txt:\n```\nBen has a red kite.\n```\n\nb.txt:\n```\nAnna has a blue kite.\n```\n\n"
    want = st("run", "-m", gguf, *GREEDY, "--no-display-prompt", "--no-escape", "-n", 40, "-p",
              written_out(text + "Who has a blue kite?")).stdout
    got = st(*chat, "-f", a, "-f", b, "-p", "Who has a blue kite?")
    check(got.returncode == 0 and got.stdout == want, f"-f: {got}")
    check(st(*chat, "-f", a, "-f", b, stdin="Who has a blue kite?").stdout == want, "-f beside a pipe")
    got = st(*chat, "-f", a, stdin="")
    check(got.returncode == 0 and got.stdout, f"a file is a message: {got}")
    st.refuses("no such file", *chat, "-f", folder / "none", "-p", "x",
               contains=f"{folder}/none: cannot open: No such file or directory")


def kept(st, gguf, folder):
    said = ["Hello", "What is the capital of France?", "Thank you"]
    ask = ["chat", "-m", gguf, *GREEDY, "-n", 60]
    want = st(*ask, "--turns", stdin="\n".join(said)).stdout
    env = {"XDG_STATE_HOME": str(folder / "state")}
    got, new = "", []
    for message in said:
        result = st(*ask, "--session", "tea", "--session-kv", "always", "-p", message, env=env)
        check(result.returncode == 0, f"--session: {result}")
        got += result.stdout
        new.append(int(re.search(r"prompt (\d+) new", result.stderr)[1]))
    check(got == want, f"three runs say what one says: {got!r}")
    check(all(n < 25 for n in new), f"only what is new is evaluated: {new}")
    file = folder / "state/smallthinker/sessions/tea.stsession"
    check(file.stat().st_mode & 0o777 == 0o600, "only the user may read it")
    result = st(*ask, "--session", file, "-p", "Bye", env={"HOME": "", "XDG_STATE_HOME": ""})
    check(result.returncode == 0 and result.stdout, f"a session by its file: {result}")
    for name in "a b", "":
        st.refuses("a name", *ask, "--session", name, "-p", "x", code=2, contains=f"session '{name}': want 1 to 64 of")
    latin = "caf\udce9"  # no UTF-8
    for message in latin, "Bye":
        result = st(*ask, "--session", "latin", "--session-kv", "always", "-p", message, env=env)
    want = st(*ask, "--turns", stdin=f"{latin}\nBye")
    new = re.findall(r"prompt (\d+) new", want.stderr + result.stderr)
    check(want.stdout.endswith(result.stdout) and new[1] == new[2], f"bytes that are no UTF-8: {want}, {result}")
    st.refuses("--session-kv", *ask, "--session", "tea", "--session-kv", "some", "-p", "x", code=2,
               contains="--session-kv: 'some': want auto, always or never")


def kept_experts(st, gguf, folder):
    file = folder / "hot.stsession"
    ask = ["chat", "-m", gguf, *GREEDY, "-n", 8, "--session", file, "--session-kv", "always"]

    def found(*more):
        result = st(*ask, *more, "-p", "Hello")
        check(result.returncode == 0 and "note:" not in result.stderr, f"{more}: {result}")
        told = re.search(r"experts (\d+) % found in memory", result.stderr)
        return told and int(told[1]), file.read_bytes().count(b"smallthinker-hot-set 1\n")

    check(found() == (None, 0), "no budget, no use rates")
    cold = found("--memory", "1GiB")
    check(cold[0] < 100 and cold[1] == 1, f"a chat that begins without experts: {cold}")
    warm = found("--memory", "1GiB")
    check(warm == (100, 1), f"a chat that begins with the hottest, for which there is room: {warm}")
    check(found() == (None, 1), "what the budget taught stays")
    other = found("--memory", "1GiB", "--hot-set", folder / "none.hot")
    check(other[0] < 100 and other[1] == 1, f"--hot-set goes first: {other}")


def what_is_missing(st, gguf, folder):
    ask = ["chat", "-m", gguf, "-n", 8, *GREEDY]
    st.refuses("nothing in a pipe", *ask, contains="standard input: there is no message in it; -p TEXT gives one")
    for name, told in (folder / "none.gguf", f"{folder}/none.gguf: cannot open: No such file"), (folder, "has no config.json"):
        st.refuses("a model that is not there, and no message", "chat", "-m", name, contains=told)
    st.refuses("a model that is not there", "chat", "-m", folder / "none.gguf", "-p", "x", contains="none.gguf: cannot open")
    st.refuses("--think", *ask, "--think", "maybe", code=2, contains="--think: 'maybe': want on, off or auto")
    st.refuses("--color", *ask, "--color", "maybe", code=2, contains="--color: 'maybe': want auto, on or off")
    st.refuses("--turns and -p", *ask, "--turns", "-p", "x", code=2, contains="--turns")
    st.refuses("-0 alone", *ask, "-0", code=2, contains="--turns")
    st.refuses("no system file", *ask, "-p", "x", "--system-file", folder / "none", contains="none: cannot open")
    result = st(*ask, stdin="x" * 5_000_000)
    check(result.returncode == 1 and "error: the messages have 5000000 bytes of text, at most 4194304\n" in result.stderr,
          f"more than any context: {result}")
    st.refuses("a long message", *ask, "-c", 64, stdin="word " * 200,
               matches=r"the chat has \d+ tokens, the context 64; -c allows more")
    want = st(*ask, "-p", "Hello").stdout
    for what, env in (("no HOME", {"HOME": ""}), ("TERM=dumb", {"TERM": "dumb"}), ("no TERM", {"TERM": ""})):
        result = st(*ask, stdin="Hello", env=env)
        check(result.returncode == 0 and result.stdout == want and "\x1b" not in result.stderr, f"{what}: {result}")
    command = f"'{st.binary}' {' '.join(map(str, ask))} -p Hello"
    for what, how, code, message in (("closed", ">&-", 0, ""), ("full", ">/dev/full", 1, "cannot write to standard output"),
                                     ("closed on both sides", "<&- >&- 2>&-", 0, "")):
        result = subprocess.run(["sh", "-c", command + how], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                timeout=60)
        check(result.returncode == code and message in result.stderr, f"standard output is {what}: {result}")
    result = subprocess.run(["sh", "-c", f"'{st.binary}' chat -m {gguf} <&-"], capture_output=True, text=True, timeout=60)
    check(result.returncode == 1 and "there is no message" in result.stderr, f"standard input is closed: {result}")


def interrupted(st, gguf):
    want = st("chat", "-m", gguf, *GREEDY, "-n", 900, "--ignore-eos", "-p", STORY).stdout
    process = subprocess.Popen([st.binary, "chat", "-m", str(gguf), *GREEDY, "-n", "900", "--ignore-eos", "-p", STORY],
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0)
    begun = process.stdout.read(20)
    process.send_signal(signal.SIGINT)
    rest, stderr = process.communicate(timeout=20)
    got = (begun + rest).decode()
    check(process.returncode == 130 and got.endswith("\n") and want.startswith(got.rstrip("\n")) and len(got) < len(want),
          f"Ctrl-C: {process.returncode}, {got!r}")
    check(b"tok/s]" in stderr and b"error" not in stderr, f"Ctrl-C: {stderr!r}")


if __name__ == "__main__":
    main(__doc__, one_message, drafts, documented, turns, files, kept, kept_experts, what_is_missing, interrupted)
