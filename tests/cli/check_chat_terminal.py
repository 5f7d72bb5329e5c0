#!/usr/bin/env python3
"""Chat at a terminal: pasted texts, wide characters, Ctrl-C, sizes, what was typed before, commands, and the modes of
the terminal afterwards. In tmux, whose screen is read; ST_SEED: other moments for Ctrl-C (1)."""
import os
import pathlib
import pty
import random
import re
import signal
import stat
import subprocess
import tempfile
import termios
import time

from harness import check, main
from tmux import Tmux

RANDOM = random.Random(int(os.environ.get("ST_SEED", "1")))
GREEDY = ["--temp", "0"]
DONE = r"^\[[^]]*\]\n+>$"  # the last answer's timings, and the prompt


class ChatScreen(Tmux):
    """A chat in tmux, with a state folder of its own."""

    def __init__(self, st, gguf, folder, *arguments, columns=80, rows=24, **env):
        self.state = pathlib.Path(tempfile.mkdtemp(dir=folder))
        super().__init__(folder, columns, rows, XDG_STATE_HOME=self.state, **env)
        self.command = " ".join([f"'{st.binary}'", "chat", "-m", str(gguf), *arguments])
        self.start()

    def start(self, *more):
        self.enter(" ".join(["clear;", self.command, *more, "; echo code=$?"]))
        self.wait("^/help lists (.*\n)+\n>$")

    def ask(self, text, wait=DONE):
        self.enter(text)
        return self.wait(wait)

    def forget_screen(self):
        """So that what comes is not found in what was."""
        self.press("C-l")
        self.tmux("clear-history")
        self.wait(r"\A>$")


def first_minute(st, gguf, folder):
    with ChatScreen(st, gguf, folder, *GREEDY) as chat:
        want = st("chat", "-m", gguf, *GREEDY, "-p", "Tell me a story about a fox.").stdout
        chat.ask("Tell me a story about a fox.")
        lines = chat.screen().split("\n")
        answer = lines[lines.index("> Tell me a story about a fox.") + 1:]
        answer = answer[:next(i for i, line in enumerate(answer) if line.startswith("["))]
        check(" ".join(line for line in answer if line).split() == want.split(), f"the answer: {answer}")
        check(max(map(len, answer)) <= 80 and max(map(len, answer)) > 60, "lines end between words")
        shown = chat.screen(sequences=True)
        check("\x1b[2m[" in shown, "timings are dim")
        bold = re.search("\x1b\\[(?:0;)?1m(?:\x1b\\[[0-9;]*m)*> ?(\x1b\\[[0-9;]*m)*", shown)
        check(bold and bold[1], f"what is typed and the answer are not bold: {shown!r}")
        chat.ask("/help", r"^Enter sends\.")
        check(all(len(line) <= 80 for line in chat.screen().split("\n")), "/help fits the screen")
        chat.press("C-d")
        chat.wait("^code=0$")
        chat.start()
        chat.enter("/bye")
        chat.wait("^code=0$")
        chat.start("--color", "off")
        chat.ask("Hello")
        check("\x1b[" not in chat.screen(sequences=True).split("/help lists")[1], "no colours")


def pasted(st, gguf, folder):
    lines = "\n".join(f"line {i} of 200" for i in range(1, 201))
    with ChatScreen(st, gguf, folder, *GREEDY, "-n", "30", "-c", "4096") as chat:
        want = st("chat", "-m", gguf, *GREEDY, "-n", 30, "-c", 4096, stdin=lines)
        tokens = re.search("prompt (\\d+) new", want.stderr)[1]
        chat.paste(lines)
        chat.wait(r"^> \[pasted text 1: 200 lines\]$")
        found = chat.ask("", rf"^\[\d+ tokens, .*; prompt {tokens} new of {tokens} tokens")
        check(found, "200 lines are one message")
        shown = chat.screen().split("200 lines]\n")[1].split("\n[")[0]
        check(shown.split() == want.stdout.split(), f"and answered as one: {shown!r}")
        chat.enter("/clear")
        chat.paste("one\ntwo")
        chat.wait("^> one\ntwo$")
        chat.press("Up", "C-e")
        chat.type("!")
        chat.wait("^> one!\ntwo$")
        chat.press("C-c")
        chat.forget_screen()
        chat.press("Up", "Up")  # what was sent, with its lines
        chat.wait(r"^> \[pasted text 1: 200 lines\]$")
        chat.press("C-c")
        for typed, end in (("one\\", "two"), ('"""one', 'two"""')):
            chat.forget_screen()
            chat.enter("/clear")
            chat.enter(typed)
            chat.ask(end)
            chat.enter("/show messages")
            chat.wait("^you, 1: one\ntwo$")


def wide_characters(st, gguf, folder):
    with ChatScreen(st, gguf, folder, *GREEDY, "-n", "10", columns=40) as chat:
        chat.forget_screen()
        chat.type("\u4f60\u597d \U0001F98A \u00e9x")  # 4 + 1 + 2 + 1 + 2 columns
        chat.wait("^> \u4f60\u597d \U0001F98A \u00e9x$")
        check(chat.cursor() == (12, 0), f"the cursor is after them: {chat.cursor()}")
        chat.press("Left", "Left", "Left", "Left")
        chat.wait("^> ")
        time.sleep(0.1)
        check(chat.cursor() == (7, 0), f"each is a step: {chat.cursor()}")
        chat.press("BSpace", "BSpace")
        chat.wait("^> \u4f60\U0001F98A \u00e9x$")
        check(chat.cursor() == (4, 0), f"each is erased whole: {chat.cursor()}")
        chat.press("C-a", "C-k")
        chat.wait("^>$|^>$")
        chat.type("\u4e16\u754c" * 12)  # 48 columns and the prompt's 2, in lines of 40
        chat.wait("^> (\u4e16\u754c){9}\u4e16\n\u754c(\u4e16\u754c){2}$")
        check(chat.cursor()[1] == 1, f"a line that is full goes on: {chat.cursor()}")
        chat.press("BSpace")
        chat.ask("")
        chat.enter("/show messages")
        chat.wait("you, 1: ")
        check("\u4e16\u754c" * 11 + "\u4e16" in chat.screen().replace("\n", ""), "and all of it is sent")


def interrupts(st, gguf, folder):
    with ChatScreen(st, gguf, folder, "--ignore-eos", "-t", "1") as chat:
        stopped = 0
        for round_ in range(20):
            chat.forget_screen()
            chat.enter("Tell me a long story.")
            time.sleep(RANDOM.uniform(0, 0.5))
            chat.press("C-c")
            found = chat.wait(r"(^\[(?:stopped|cut)|was taken back)(.*\n)*>( Tell me a long story\.)?$", 10)
            stopped += bool(found and found[1] == "[stopped")
            if found and found[3]:
                chat.press("C-c")  # the message is there again
            chat.enter("/undo")
            chat.wait("^taken back: Tell me|^there is nothing")
        check(stopped >= 10, f"answers were stopped: {stopped}")
        chat.forget_screen()
        chat.ask("/regen", "^there is no answer yet$")
        # Twice at an empty line leaves.
        chat.press("C-c")
        chat.wait("once more leaves")
        chat.type("x")
        chat.press("C-c", "C-c")
        chat.wait("\\^C\n(.*\n)*> x\\^C\n> \\^C\n.*once more leaves")
        chat.press("C-c")
        chat.wait("^code=130$")


def sizes(st, gguf, folder):
    with ChatScreen(st, gguf, folder, *GREEDY, "-t", "1") as chat:
        chat.forget_screen()
        chat.enter("Tell me a story about a fox.")
        for columns in 50, 30, 70:
            time.sleep(0.05)
            chat.resize(columns, 20)
        chat.wait(DONE)
        chat.forget_screen()
        chat.type("one two three four five six seven")
        chat.resize(24, 20)
        time.sleep(0.2)
        chat.type(" eight")
        chat.wait("^> one two three four fiv\ne six seven eight$")
        chat.press("C-c")
        chat.enter("/clear")
        chat.ask("Tell me a story about a fox.")
        lines = chat.screen(everything=True).split("fox.\n")[-1].split("\n[")[0].split("\n")
        want = st("chat", "-m", gguf, *GREEDY, "-p", "Tell me a story about a fox.").stdout.split()
        check(" ".join(lines).split() == want, f"whole words in lines of 24: {lines}")


def typed_before(st, gguf, folder):
    with ChatScreen(st, gguf, folder, *GREEDY, "-n", "5") as chat:
        chat.ask("first message")
        chat.paste("second\nmessage")
        chat.ask("")
        chat.press("C-d")
        chat.wait("^code=0$")
        file = chat.state / "smallthinker/history"
        check(stat.S_IMODE(file.stat().st_mode) == 0o600, "only the user may read it")
        check(file.read_text() == "first message\nsecond\\nmessage\n", f"the file: {file.read_text()!r}")
        chat.start()
        chat.press("Up")
        chat.wait("^> second\nmessage$")
        chat.press("C-c", "Up", "Up", "Up")
        chat.wait("^> first message$")
        chat.press("C-c")
        chat.press("C-r")
        chat.type("first")
        chat.wait("first message")
        chat.press("Enter")
        chat.wait(DONE)
        chat.enter("/exit")
        chat.wait("^code=0$")
        file.unlink()
        chat.enter("export SMALLTHINKER_NOHISTORY=1")
        chat.start()
        chat.ask("not kept")
        chat.press("C-d")
        chat.wait("^code=0$")
        check(not file.exists(), "no history")


def commands(st, gguf, folder):
    editor = folder / "editor"
    editor.write_text("#!/bin/sh\nprintf 'from the\\neditor\\n' > \"$1\"\n")
    editor.chmod(0o755)
    (folder / "a file.txt").write_text("Ben has a red kite.\n")
    with ChatScreen(st, gguf, folder, *GREEDY, "-n", "12", VISUAL=editor) as chat:
        chat.type("/e")
        chat.press("Tab")
        chat.wait("^/edit +/exit +/experts\n> /e$")
        chat.type("xp")
        chat.press("Tab")
        chat.wait("^> /experts$")
        chat.press("Enter")
        chat.wait("^in memory: ")
        chat.forget_screen()
        chat.type("/set temp")
        chat.press("Tab")
        chat.type("0.5")
        chat.press("Enter")
        chat.wait("^temperature 0.5$")
        chat.enter("/set temperature warm")
        chat.wait("^error: temperature: 'warm': ")
        chat.enter("/set temprature 1")
        chat.wait("no setting 'temprature', did you mean 'temperature'\\?")
        chat.enter("/set temperature 0")
        chat.enter("/set memory 1GiB")
        chat.wait("start with --memory SIZE")
        for value in "", " none":
            chat.forget_screen()
            chat.enter(f"/set memory{value}")
            chat.wait("^memory no limit: all of the model is in memory$")
        chat.enter("/regn")
        chat.wait("^no command /regn, did you mean /regen\\?")
        chat.forget_screen()
        chat.ask("Hello")
        chat.ask("//etc is a folder")
        chat.ask("/usr/bin is one, too")
        chat.enter("/show messages")
        chat.wait("^you, 1: Hello\n(.*\n)+you, 2: /etc is a folder\n(.*\n)+you, 3: /usr/bin is one, too$")
        chat.enter("/undo")
        chat.wait("^taken back: /usr/bin is one, too$")
        chat.forget_screen()
        chat.enter("/edit 1")
        chat.wait("^> Hello$")
        chat.type(" you")
        chat.ask("")
        chat.enter("/show messages")
        chat.wait(r"^> /show messages\nyou, 1: Hello you\nassistant: (.*\n)+>$")
        check("you, 2" not in chat.screen(), "what followed is forgotten")
        chat.forget_screen()
        chat.enter("/regen")
        found = chat.wait(r"prompt (\d+) new of (\d+) tokens")
        check(found and int(found[1]) <= 2, "another answer needs no prompt")
        chat.enter("/system You are a fox.")
        chat.wait("^system: You are a fox.$")
        chat.enter("/clear")
        chat.enter("/show prompt")
        chat.wait(r"<\|im_start\|>system\nYou are a fox.<\|im_end\|>")
        chat.forget_screen()
        chat.type(f"/read {folder}/a\\ fi".replace("\\ ", " "))
        chat.press("Tab")
        chat.wait("a file.txt")
        chat.press("Enter")
        chat.wait("goes with the next message")
        chat.ask("What has Ben?")
        chat.enter("/show messages")
        chat.wait("^you, 1: a file.txt:\n```\nBen has a red kite.\n```\n\nWhat has Ben\\?$")
        chat.forget_screen()
        chat.press("C-g")
        chat.wait("^> from the\neditor$")
        chat.press("C-c")
        chat.enter("/stats")
        chat.wait("answers, .* tok/s")
        chat.enter("/show model")
        chat.wait("context of 1024 tokens")
        chat.tmux("set-option", "-g", "set-clipboard", "on")
        chat.enter("/copy")
        chat.wait("^copied")
        check(chat.tmux("show-buffer") in st("chat", "-m", gguf, *GREEDY, "-n", 12, "-f", folder / "a file.txt", "--system",
                                             "You are a fox.", "-p", "What has Ben?").stdout, "the clipboard")


def sessions(st, gguf, folder):
    said = ["Hello", "What is the capital of France?", "Thank you"]
    want = st("chat", "-m", gguf, *GREEDY, "--turns", stdin="\n".join(said)).stdout.splitlines()
    with ChatScreen(st, gguf, folder, *GREEDY) as chat:
        chat.enter("/save")
        chat.wait("^error: under which name\\?")
        chat.enter("/sessions")
        chat.wait("^there are none; ")
        chat.ask(said[0])
        chat.enter("/save tea")
        chat.wait(r"^kept in .*/sessions/tea.stsession,\s+and so is what follows$", everything=True)
        chat.ask(said[1])
        chat.enter("/save tea")
        chat.wait("^error: tea: is there already")
        chat.enter("/bye")
        chat.wait("^code=0$")
        chat.start()
        chat.enter("/load coffee")
        chat.wait("^error: coffee: there is no such session")
        chat.type("/load t")
        chat.press("Tab")
        chat.wait("^> /load tea$")
        chat.press("Enter")
        chat.wait(f"^4 messages so far; the last ones:\\n\\n> {re.escape(said[1])}\\n{re.escape(want[1])}$")
        chat.forget_screen()
        chat.ask(said[2])
        check(f"> {said[2]}\n{want[2]}\n" in chat.screen(), f"it goes on as if nobody had left: {chat.screen()}")
        chat.enter("/undo")
        chat.enter("/sessions")
        chat.wait("^tea .* 6 messages  Hello$|^tea .* 4 messages  Hello$")
        chat.press("C-d")
        chat.wait("^code=0$")
        chat.enter(f"clear; {chat.command} --session tea; echo code=$?")
        chat.wait("^4 messages so far")  # as one was taken back
        chat.press("C-d")
        chat.wait("^code=0$")


def budget(st, gguf, folder):
    smallest = int(re.search(r"(\d+) MiB is the smallest", st("run", "-m", gguf, "-p", "x", "--memory", "1MiB").stderr)[1])
    some = smallest + 4 + 2 * st.slack
    with ChatScreen(st, gguf, folder, *GREEDY, "--memory", f"{some}MiB") as chat:
        chat.ask("Tell me a story about a fox.")
        chat.wait(r"experts \d+ %\s+found in memory, .* read per token")
        answer = chat.screen().split("a fox.\n")[1].split("\n[")[0]
        chat.enter("/set memory 1MiB")
        chat.wait("^error: .*MiB is the smallest")
        chat.enter("/set memory 1GiB")
        chat.wait(r"^memory 1\.0 GiB: room for 128 of 128 experts$")
        chat.forget_screen()
        chat.enter("/set memory")
        chat.wait(r"^memory 1\.0 GiB: room for 128 of 128 experts$")
        for lifted in "none", "off":
            chat.enter("/set memory 900MiB")
            chat.wait(r"^memory 900\.0 MiB: room")
            chat.forget_screen()
            chat.enter(f"/set memory {lifted}")
            chat.wait("^memory no limit: room for 128 of 128 experts$")
        chat.enter("/show settings")
        chat.wait("^memory +no limit ")
        chat.enter("/set memory some")
        chat.wait("^error: memory: 'some': .*, or none$")
        chat.enter("/clear")
        chat.forget_screen()
        chat.ask("Tell me a story about a fox.")
        check(chat.screen().split("a fox.\n")[1].split("\n[")[0] == answer, "the same answer within another budget")
        chat.enter("/experts")
        chat.wait("^in the file: ")


def typed_at(screen, *pieces):
    """Types, a moment after each other; what a terminal shows until it is closed."""
    got = b""
    for piece in pieces:
        time.sleep(0.3)
        os.write(screen, piece)
    while True:
        try:
            got += os.read(screen, 1 << 16)
        except OSError:
            return got.decode(errors="replace").replace("\r\n", "\n")


def plain_terminals(st, gguf, folder):
    ask = [st.binary, "chat", "-m", str(gguf), *GREEDY, "-n", "20"]
    want = st(*ask[1:], "-p", "Hello\nthere").stdout
    for name in "dumb", "":
        screen, theirs = pty.openpty()
        process = subprocess.Popen(ask, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
                                   env={**os.environ, "TERM": name, "HOME": "", "XDG_STATE_HOME": ""})
        os.close(theirs)
        got = typed_at(screen, b"Hello\\\nthere\n", b"/bye\n")
        check(process.wait(timeout=20) == 0 and "\x1b" not in got and want.strip() in got, f"TERM={name}: {got!r}")
        os.close(screen)


def other_bytes(st, gguf, folder):
    """What is no UTF-8 is shown as such, and takes nothing with it."""
    screen, theirs = pty.openpty()
    process = subprocess.Popen([st.binary, "chat", "-m", str(gguf), "-n", "5"], stdin=theirs, stdout=theirs, stderr=theirs,
                               start_new_session=True, env={**os.environ, "TERM": "xterm", "XDG_STATE_HOME": str(folder / "state")})
    os.close(theirs)
    got = typed_at(screen, b"a\xff\xe9b\xe4\xbd\r", b"/show messages\r", b"\xe9\x03", b"\x04")
    check(process.wait(timeout=20) == 0, f"it ends: {got!r}")
    check("you, 1: a\ufffd\ufffdb\ufffd\n" in got, f"the message: {got!r}")
    os.close(screen)


def settings_are_kept(st, gguf, folder):
    def listed():
        return st("session", "ls", env={"XDG_STATE_HOME": chat.state}).stdout

    with ChatScreen(st, gguf, folder, "--top-k", "7", "--session", "tea") as chat:
        chat.ask("Hello")
        chat.enter("/set temperature 0.25")
        chat.wait("^temperature 0.25$")
        chat.enter("/set top_k 3")
        chat.wait("^top_k 3$")
        chat.enter("/clear")
        chat.wait(r"^a new chat: 2 messages removed from\s+\S*tea\.stsession,\s+for\s+good:\s+/undo\s+does\s+not\s+help$")
        deadline = time.monotonic() + 20
        while " 0 messages" not in listed() and time.monotonic() < deadline:
            time.sleep(0.05)
        check(" 0 messages" in listed(), f"the file knows at once that the chat is a new one: {listed()}")
        shown = st("session", "show", "tea", env={"XDG_STATE_HOME": chat.state})
        check(shown.stdout == "" and ", 0 messages, 0 tokens, " in shown.stderr, f"nothing of the old one is there: {shown}")
        chat.enter("/undo")
        chat.wait("^there is nothing to take back$")
        chat.enter("/clear")
        chat.wait("^a new chat$")
        chat.press("C-d")
        chat.wait("^code=0$")
        chat.enter(f"clear; {chat.command}")
        chat.wait("^temperature 0.25, as it was set\n(.*\n)+>$")
        check("top_k" not in chat.screen().split(">")[0].split("tea\n")[-1], f"the command line has said top_k: {chat.screen()}")
        chat.enter("/show settings")
        chat.wait("^temperature +0.25 ")
        chat.wait("^top_k +7 ")
        chat.forget_screen()
        chat.enter("/load ~/none")
        chat.wait("^error: ~/none: there is no such session")


def files_that_do_not_fit(st, gguf, folder):
    (folder / "long").write_text("word " * 5000)
    with ChatScreen(st, gguf, folder, *GREEDY, "-n", "5") as chat:
        chat.enter(f"/read {folder}/long")
        chat.wait("goes with the next message")
        chat.enter("Hello")
        chat.wait("^error: the chat has \\d+ tokens.*\n(.*\n)+files go with it; /read none forgets them\n+> Hello$")
        chat.press("C-c")
        chat.enter("/read none")
        chat.wait("^no file goes with the next message$")
        chat.ask("Hello")


def a_full_context(st, gguf, folder):
    """It names what makes room, where that is so."""
    with ChatScreen(st, gguf, folder, *GREEDY, "-c", "64", "--ignore-eos") as chat:
        chat.ask("Hello", r"^\[cut, the context is full, after \d+ tokens.*\n(.*\n)*/undo takes back the last message, /clear all of them\n+>$")
        chat.forget_screen()
        chat.enter("And then?")
        chat.wait(r"^error: the chat has \d+ tokens, the context 64; -c allows more\n/undo takes back the last message, /clear all of them\n"
                  r"+the message was taken back, to be changed or sent again\n> And then\?$")
        chat.press("C-c")
        chat.enter("/clear")
        chat.wait("^a new chat$")
        chat.forget_screen()
        chat.enter("word " * 80)
        chat.wait(r"^error: the chat has \d+ tokens, the context 64; -c allows more\n+the message was taken back")


def modes_afterwards(st, gguf, folder):
    """However a chat ends, the terminal is as it was."""
    ask = [st.binary, "chat", "-m", str(gguf), "--ignore-eos", "-t", "1"]
    story = b"Tell me a long story.\r"
    ways = [("Ctrl-D", [b"\x04"], None, 0), ("/bye", [b"/bye\r"], None, 0), ("Ctrl-C twice", [b"\x03", b"\x03"], None, 130),
            ("SIGTERM at the prompt", [], signal.SIGTERM, 130), ("SIGHUP at the prompt", [], signal.SIGHUP, 130),
            ("SIGTERM in an answer", [story], signal.SIGTERM, 130), ("SIGHUP in an answer", [story], signal.SIGHUP, 130),
            ("SIGINT, then Ctrl-D", [story, b"\x03", b"\x04"], None, 0),
            ("Ctrl-Z", [b"\x1a"], signal.SIGCONT, None)]
    for what, keys, sent, code in ways:
        screen, theirs = pty.openpty()
        before = termios.tcgetattr(theirs)
        process = subprocess.Popen(ask, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
                                   preexec_fn=lambda: __import__("fcntl").ioctl(0, termios.TIOCSCTTY, 0),
                                   env={**os.environ, "TERM": "xterm", "XDG_STATE_HOME": str(folder / "state")})
        deadline = time.monotonic() + 20
        got = b""
        while b">\x1b[0m " not in got and time.monotonic() < deadline:
            got += os.read(screen, 1 << 16)
        time.sleep(0.1)
        check(termios.tcgetattr(theirs) != before, f"{what}: keys come at once")
        for key in keys:
            os.write(screen, key)
            time.sleep(0.3)
        if what == "Ctrl-Z":
            check(termios.tcgetattr(theirs) == before and "T" in pathlib.Path(f"/proc/{process.pid}/stat").read_text().split()[2],
                  "stopped, with the modes as they were")
            process.send_signal(signal.SIGCONT)
            time.sleep(0.3)
            check(termios.tcgetattr(theirs) != before, "and then again with its own")
            os.write(screen, b"\x04")
            code = 0
        elif sent:
            process.send_signal(sent)
        check(process.wait(timeout=20) == code, f"{what}: exit {process.returncode}")
        check(termios.tcgetattr(theirs) == before, f"{what}: modes")
        os.close(theirs)
        rest = typed_at(screen)
        check(rest.rfind("\x1b[?2004l") > rest.rfind("\x1b[?2004h"), f"{what}: brackets: {rest[-80:]!r}")
        os.close(screen)


if __name__ == "__main__":
    main(__doc__, first_minute, pasted, wide_characters, interrupts, sizes, typed_before, commands, sessions, budget, plain_terminals,
         other_bytes, settings_are_kept, files_that_do_not_fit, a_full_context, modes_afterwards)
