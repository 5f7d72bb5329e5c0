"""A terminal for tests: a shell in tmux, whose screen can be read and whose keys can be pressed."""
import os
import re
import subprocess
import time

from harness import check


servers = 0


class Tmux:
    """A shell whose prompt is "$ ", in a window of its own; `folder` is where the server of it has its socket."""

    def __init__(self, folder, columns=80, rows=24, **env):
        global servers
        servers += 1
        self.server = f"st{servers}"
        self.env = {**os.environ, "TMUX_TMPDIR": str(folder), "LC_ALL": "C.UTF-8", **{k: str(v) for k, v in env.items()}}
        self.env.pop("TMUX", None)
        # -u: characters are UTF-8.
        self.tmux("-f", "/dev/null", "start-server", ";", "set-option", "-g", "history-limit", "20000", ";",
                  "new-session", "-d", "-x", columns, "-y", rows, "env", "PS1=$ ", "sh")
        self.wait("[$]$")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.tmux("kill-server", may_fail=True)

    def tmux(self, *arguments, stdin=None, may_fail=False):
        result = subprocess.run(["tmux", "-u", "-L", self.server, *map(str, arguments)], env=self.env, input=stdin, timeout=20,
                                capture_output=True)
        assert may_fail or result.returncode == 0, f"tmux {arguments}: {result.stderr}"
        return result.stdout.decode()

    def type(self, text):
        self.tmux("send-keys", "-l", text)

    def press(self, *keys):
        self.tmux("send-keys", *keys)

    def enter(self, text):
        self.type(text)
        self.press("Enter")

    def paste(self, text):
        """As terminals do it for programs that asked for brackets."""
        self.tmux("load-buffer", "-", stdin=text.encode())
        self.tmux("paste-buffer", "-p")

    def screen(self, everything=False, sequences=False):
        """Without spaces at the ends of lines."""
        options = (["-S", "-", "-J"] if everything else []) + (["-e"] if sequences else [])
        lines = self.tmux("capture-pane", "-p", *options).split("\n")
        return "\n".join(line.rstrip() for line in lines).rstrip("\n")

    def cursor(self):
        return tuple(map(int, self.tmux("display-message", "-p", "#{cursor_x} #{cursor_y}").split()))

    def wait(self, pattern, seconds=20, everything=False):
        """Until the screen has it: the match, or None after a failed check."""
        deadline = time.monotonic() + seconds
        while True:
            text = self.screen(everything)
            if found := re.search(pattern, text, re.MULTILINE):
                return found
            if time.monotonic() > deadline:
                check(False, f"{pattern!r} never came; the screen is\n{text}")
                return None
            time.sleep(0.03)

    def resize(self, columns, rows):
        self.tmux("resize-window", "-x", columns, "-y", rows)
