#!/usr/bin/env python3
"""Completion in shells and the manual page: real shells take the scripts, and complete what they should."""
import os
import pathlib
import pty
import re
import select
import subprocess
import time

from harness import check, main


def run(*arguments, stdin="", cwd=None, env=None):
    return subprocess.run(arguments, input=stdin, capture_output=True, text=True, timeout=60, cwd=cwd,
                          env={**os.environ, **(env or {})})


class Shells:
    """The scripts, and a folder to complete in, whose program is the one that is tested."""

    def __init__(self, st, gguf, folder):
        self.place = folder / "shells"
        (self.place / "bin").mkdir(parents=True)
        (self.place / "bin" / "smallthinker").symlink_to(pathlib.Path(st.binary).resolve())
        models = self.place / "data" / "smallthinker" / "models" / "ann" / "tiny"
        models.mkdir(parents=True)
        (models / "tiny-Q8_0.gguf").symlink_to(gguf)
        os.link(gguf, models / "tiny-Q4_0.gguf")
        (self.place / "here.gguf").write_bytes(b"")
        (self.place / "text file.txt").write_bytes(b"")
        (self.place / "folder").mkdir()
        for name in "tea", "toast":
            st("session", "import", name, stdin="[]", env={"XDG_STATE_HOME": str(self.place / "state")})
        self.env = {"PATH": f"{self.place / 'bin'}:{os.environ['PATH']}", "XDG_DATA_HOME": str(self.place / "data"),
                    "XDG_STATE_HOME": str(self.place / "state"), "XDG_CACHE_HOME": str(self.place / "cache"),
                    "HF_HUB_CACHE": str(self.place / "none"), "HOME": str(self.place), "TERM": "dumb"}
        self.scripts = {}
        for shell in "bash", "zsh", "fish":
            result = st("completion", shell)
            check(result.returncode == 0 and not result.stderr, f"completion {shell}: {result.stderr}")
            self.scripts[shell] = self.place / f"completion.{shell}"
            self.scripts[shell].write_text(result.stdout)

    def run(self, *arguments, **options):
        return run(*arguments, cwd=self.place, env=self.env, **options)


def bash(st, gguf, folder):
    shells = Shells(st, gguf, folder)
    script = shells.scripts["bash"]
    result = shells.run("bash", "-n", script)
    check(result.returncode == 0 and not result.stderr, f"bash -n: {result}")

    def completed(line):
        words = line.split(" ")
        code = (f'source {script}; COMP_LINE=$1; COMP_POINT=${{#1}}; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); '
                '_smallthinker smallthinker "${!#}" x; printf "%s\\n" "${COMPREPLY[@]}"')
        result = shells.run("bash", "--norc", "-c", code, "bash", line, *words)
        check(result.returncode == 0 and not result.stderr, f"bash {line!r}: {result}")
        return sorted(filter(None, result.stdout.split("\n")))
    for line, want in (("smallthinker con", ["convert"]), ("smallthinker q", ["quantize"]),
                       ("smallthinker he", ["help", "here.gguf"]), ("smallthinker --v", ["--version"]),
                       ("smallthinker run --temp", ["--temp", "--temperature"]),
                       ("smallthinker run --offl", ["--offline"]), ("smallthinker ls --", ["--help", "--json"]),
                       ("smallthinker run -m ann", ["ann/tiny:Q4_0"]), ("smallthinker run -m he", ["here.gguf"]),
                       ("smallthinker run -m ann/tiny:Q", ["Q4_0"]), ("smallthinker inspect he", ["here.gguf"]),
                       ("smallthinker run --model ann/tiny:Q4", ["Q4_0"]), ("smallthinker rm ann", ["ann/tiny:Q4_0"]),
                       ("smallthinker run -f t", ["text file.txt"]), ("smallthinker convert fol", ["folder"]),
                       ("smallthinker run --threads ", []), ("smallthinker help conv", ["convert"]),
                       ("smallthinker completion ", ["bash", "fish", "zsh"]), ("smallthinker nonsense -", ["--help"]),
                       ("smallthinker session ", ["export", "import", "ls", "rm", "show"]), ("smallthinker session rm t", ["tea", "text file.txt", "toast"]),
                       ("smallthinker session show tea to", ["toast"]), ("smallthinker chat --session te", ["tea", "text file.txt"]),
                       ("smallthinker chat --think o", ["off", "on"]), ("smallthinker run --cpu avx", ["avx2", "avx512", "avxvnni"]),
                       ("smallthinker run --cache-type-k i", ["i16", "i8"]), ("smallthinker run --lm-head sp", ["sparse"]),
                       ("smallthinker run --ignore-eos ann", ["ann/tiny:Q4_0"]), ("smallthinker quantize here.gguf he", ["here.gguf"])):
        check(completed(line) == want, f"bash completes {line!r} to {completed(line)}, want {want}")

    typed(shells, "bash", ["--norc", "--noprofile", "-i"], f"source {script}; bind 'set enable-bracketed-paste off'",
          "smallthinker run -m ann/tiny:")


def typed(shells, shell, arguments, begin, name):
    """As a person has it, in a terminal: Tab completes the word and ends it with a blank."""
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(shells.place)
        os.execvpe(shell, [shell, *arguments], {**os.environ, **shells.env, "PS1": "$ "})

    def until(what):
        seen, deadline = b"", time.monotonic() + 20
        while what not in seen and time.monotonic() < deadline:
            if select.select([terminal], [], [], 0.1)[0]:
                seen += os.read(terminal, 4096)
        return what in seen
    os.write(terminal, f"{begin}; echo rea''dy\n".encode())
    check(until(b"ready\r\n"), f"{shell} in a terminal: starts")
    for line, want in (("smallthinker conv", "smallthinker convert "), (name, "smallthinker run -m ann/tiny:Q4_0 "),
                       ("smallthinker run --offl", "smallthinker run --offline "), ("smallthinker session sh", "smallthinker session show "),
                       ("smallthinker session show toa", "smallthinker session show toast "),
                       ("smallthinker chat --think of", "smallthinker chat --think off ")):
        os.write(terminal, f"{line}\t".encode())
        check(until(want.encode()), f"{shell} in a terminal: {line!r} becomes {want!r}")
        os.write(terminal, b"\x15")  # the line is taken back
    os.write(terminal, b"exit\n")
    os.waitpid(child, 0)
    os.close(terminal)


def others(st, gguf, folder):
    shells = Shells(st, gguf, folder / "others")
    result = shells.run("zsh", "-n", shells.scripts["zsh"])
    check(result.returncode == 0 and not result.stderr, f"zsh -n: {result}")
    result = shells.run("zsh", "-f", "-c", f"autoload -U compinit; compinit -u -D; source {shells.scripts['zsh']}; "
                        "print $_comps[smallthinker]")
    check(result.stdout == "_smallthinker\n" and not result.stderr, f"zsh: {result}")
    typed(shells, "zsh", ["-f", "-i"], f"autoload -U compinit; compinit -u -D; source {shells.scripts['zsh']}",
          "smallthinker run -m ann")
    script = shells.scripts["fish"]
    result = shells.run("fish", "--no-execute", script)
    check(result.returncode == 0 and not result.stderr, f"fish --no-execute: {result}")

    def completed(line):
        result = shells.run("fish", "--no-config", "-c", f"source {script}; complete -C '{line}'")
        check(result.returncode == 0 and not result.stderr, f"fish {line!r}: {result}")
        return [line.split("\t")[0] for line in result.stdout.splitlines()]
    for line, want in (("smallthinker conv", ["convert"]), ("smallthinker run --offl", ["--offline"]),
                       ("smallthinker run --temp", ["--temp", "--temperature"]),
                       ("smallthinker run -m ann", ["ann/tiny:Q4_0"]), ("smallthinker completion ", ["bash", "fish", "zsh"]),
                       ("smallthinker inspect her", ["here.gguf"]), ("smallthinker help conv", ["convert"]),
                       ("smallthinker session sh", ["show"]), ("smallthinker session rm toa", ["toast"]),
                       ("smallthinker chat --think o", ["off", "on"]), ("smallthinker run --cpu avxv", ["avxvnni"])):
        check(sorted(completed(line)) == want, f"fish completes {line!r} to {completed(line)}, want {want}")
    st.refuses("another shell", "completion", "tcsh", code=2, contains="'tcsh': want bash, zsh or fish")


def manual(st):
    page = st("man")
    check(page.returncode == 0 and not page.stderr, f"man: {page.stderr}")
    result = run("groff", "-man", "-ww", "-Tutf8", stdin=page.stdout)
    check(result.returncode == 0 and not result.stderr, f"groff warns: {result.stderr[:500]}")
    text = re.sub("\x1b\\[[0-9;]*m|.\b", "", result.stdout)
    check(text.startswith("SMALLTHINKER(1)"), f"man: begins {text[:100]!r}")
    for command in re.findall(r"^  (\S+) ", st("help").stdout.split("Subcommands:")[1], re.M):
        check(re.search(rf"^   {re.escape(command)}$", text, re.M), f"man: has no {command}")
    # Every option that help tells is there, with its name whole.
    for command in "run", "convert", "pull", "cache-sim":
        for option in re.findall(r"--[a-z][a-z-]+", st("help", command).stdout.split("Options:")[1]):
            check(option in text.replace("‐", "-"), f"man: has no {option} of {command}")


def installed(st, folder):
    """cmake --install of the build that the program is of."""
    place = folder / "installed"
    result = run("cmake", "--install", pathlib.Path(st.binary).parent, "--prefix", "/usr", env={"DESTDIR": str(place)})
    check(result.returncode == 0, f"install: {result}")
    files = {str(path.relative_to(place / "usr")): path for path in place.rglob("*") if path.is_file()}
    said = {"share/man/man1/smallthinker.1": ["man"],
            "share/bash-completion/completions/smallthinker": ["completion", "bash"],
            "share/zsh/site-functions/_smallthinker": ["completion", "zsh"],
            "share/fish/vendor_completions.d/smallthinker.fish": ["completion", "fish"]}
    check(set(files) == {"bin/smallthinker", *said}, f"installed: {sorted(files)}")
    for name, arguments in said.items():
        check(name in files and files[name].read_text() == st(*arguments).stdout, f"installed: {name} is another")


if __name__ == "__main__":
    main(__doc__, bash, others, manual, installed)
