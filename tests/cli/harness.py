"""What the tests of the command share: running the real binary, what a refusal looks like, counting."""
import argparse
import inspect
import os
import pathlib
import re
import subprocess
import sys
import tempfile

PROMPT = "Once upon a time"
passed = failed = 0


def check(condition, what):
    global passed, failed
    if condition:
        passed += 1
    else:
        failed += 1
        print(f"FAILED: {what}")


class Cli:
    def __init__(self, binary):
        self.binary = binary
        program = pathlib.Path(binary).read_bytes()
        self.sanitized = any(name in program for name in (b"__asan_init", b"__tsan_init"))
        self.slack = 4 if self.sanitized else 0  # MiB: what stays differs between runs by what a sanitizer's heap keeps

    def __call__(self, *arguments, stdin="", timeout=120, env=None):
        return subprocess.run([self.binary, *map(str, arguments)], input=stdin, capture_output=True, text=True,
                              errors="surrogateescape", timeout=timeout, env={**os.environ, **(env or {})})

    def refuses(self, what, *arguments, code=1, contains=None, matches=None, stdin="", env=None):
        """Exit code, empty stdout, exactly one line on stderr that begins with 'error: ' and says what it is expected to:
        it contains a text, or all of it matches an expression."""
        assert contains or matches, f"{what}: which refusal?"
        try:
            result = self(*arguments, stdin=stdin, timeout=20, env=env)
        except subprocess.TimeoutExpired:
            check(False, f"{what}: hangs")
            return
        lines = result.stderr.splitlines()
        check(result.returncode == code, f"{what}: exit {result.returncode}, want {code}: {result.stderr[:500]}")
        check(result.stdout == "", f"{what}: stdout not empty")
        check(len(lines) == 1 and lines[0].startswith("error: "), f"{what}: stderr {result.stderr[:500]!r}")
        check(not contains or contains in result.stderr, f"{what}: {result.stderr!r} lacks {contains!r}")
        check(not matches or re.fullmatch(f"error: {matches}\n", result.stderr),
              f"{what}: {result.stderr!r}, want {matches!r}")
        check(not re.search(r"(?:^|: )([^:]+): \1: ", result.stderr), f"{what}: twice: {result.stderr!r}")
        check(not any(ord(c) < 32 for c in result.stderr.rstrip("\n")), f"{what}: control bytes in {result.stderr!r}")


def main(description, *parts):
    """Runs the parts, each with those of st, gguf (the tiny model in Q8_0), models, folder and dead_disk that its
    parameters name; closes with 'N passed, M failed'."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--binary", required=True)
    parser.add_argument("--models", required=True, type=pathlib.Path, help="models/tiny-smallthinker")
    parser.add_argument("--dead-disk", help="library of dead_disk.cc")
    args = parser.parse_args()
    st = Cli(args.binary)
    with tempfile.TemporaryDirectory(prefix="st-cli-") as name:
        folder = pathlib.Path(name)
        gguf = folder / "tiny.gguf"
        result = st("convert", args.models / "model", "--outfile", gguf, "--transpose-down", "all", "--outtype", "q8_0")
        check(result.returncode == 0 and result.stdout == "", f"convert: {result.stderr}")
        given = {"st": st, "gguf": gguf, "models": args.models, "folder": folder, "dead_disk": args.dead_disk}
        for part in parts:
            part(**{parameter: given[parameter] for parameter in inspect.signature(part).parameters})
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)
