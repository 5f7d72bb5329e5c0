"""Runs the command on one mutant and says what is wrong with how it took it.

Whatever the input: exit code 0, 1 or 2, no signal, no sanitizer's report, in bounded time and memory; after a failure
exactly one line that begins with 'error: ', without control characters, and no file left behind."""
import dataclasses
import os
import pathlib
import resource
import subprocess
import time

REPORTS = (b"Sanitizer", b"runtime error", b"Assertion", b"terminate called")
LONGEST_LINE = 1000  # characters


@dataclasses.dataclass
class Limits:
    seconds: float
    resident: int  # bytes

    def times(self, seconds, resident):
        return Limits(self.seconds * seconds, self.resident * resident)


@dataclasses.dataclass
class Outcome:
    code: int  # negative: the signal
    out: bytes
    err: bytes
    findings: list

    def error(self):
        return next((line for line in self.err.decode("utf-8", "replace").splitlines() if line.startswith("error:")), "")


def printable(line):
    return not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in line)


class Judge:
    """`folder` is the mutants' own: whatever a run leaves there is noticed."""

    def __init__(self, binary, folder):
        self.binary, self.folder = binary, pathlib.Path(folder)
        program = pathlib.Path(binary).read_bytes()
        self.sanitized = b"__asan_init" in program
        self.limits = Limits(5, 600 << 20).times(*((6, 3) if self.sanitized else (1, 1)))

    def memory(self, mib):
        """A budget that is as tight for a sanitizer's build, which takes more."""
        return f"{mib + 240 if self.sanitized else mib}MiB"

    def path(self, name):
        return self.folder / name

    def __call__(self, *arguments, output=None, codes=(0, 1), limits=None, stdin=subprocess.DEVNULL):
        """`output`: a file that must not be there after a failure."""
        limits = limits or self.limits
        before = set(os.listdir(self.folder))
        if output:
            self.path(output).unlink(missing_ok=True)
        with open(self.path("stdout"), "wb") as out, open(self.path("stderr"), "wb") as err:
            started = time.monotonic()
            process = subprocess.Popen([self.binary, *map(str, arguments)], stdin=stdin, stdout=out, stderr=err,
                                       preexec_fn=self._restrict, env=self._environment(), cwd=self.folder)
            status, usage, hung = self._wait(process, 4 * limits.seconds)
            seconds = time.monotonic() - started
        outcome = Outcome(status, self.path("stdout").read_bytes(), self.path("stderr").read_bytes(), [])
        found = outcome.findings.append
        if hung:
            found("hangs")
        elif usage.ru_utime + usage.ru_stime > limits.seconds:
            found(f"takes {usage.ru_utime + usage.ru_stime:.1f} s of CPU, {seconds:.1f} s in all")
        if status not in codes:
            found(f"exit {status}")
        if any(word in outcome.err for word in REPORTS):
            found("a sanitizer's report, or an abort")
        if usage.ru_maxrss << 10 > limits.resident:
            found(f"takes {usage.ru_maxrss >> 10} MiB")
        self._judge_text(outcome, found)
        created = set(os.listdir(self.folder)) - before - {"stdout", "stderr"}
        for name in created:
            if name.endswith(".tmp") or (status != 0 and name == str(output)):
                found(f"leaves {name}")
                self.path(name).unlink()
        return outcome

    def _judge_text(self, outcome, found):
        try:
            text = outcome.err.decode("utf-8")
        except UnicodeDecodeError:
            return found("stderr is not UTF-8")
        lines = [line for line in text.replace("\r", "\n").split("\n") if line.strip()]
        errors = [line for line in lines if line.startswith("error:")]
        if outcome.code in (1, 2) and len(errors) != 1:
            found(f"{len(errors)} error lines")
        if any(not printable(line) for line in lines):
            found("control characters on stderr")
        if any(len(line) > LONGEST_LINE for line in errors):
            found(f"a line of {max(map(len, errors))} characters")

    def _restrict(self):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 30, 1 << 30))
        if not self.sanitized:  # which reserves terabytes of addresses
            resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))

    @staticmethod
    def _environment():
        return {"PATH": "/usr/bin:/bin", "UBSAN_OPTIONS": "print_stacktrace=1",
                "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1:hard_rss_limit_mb=4000"}

    @staticmethod
    def _wait(process, patience):
        """Exit code or minus the signal, what it used, and whether it had to be killed."""
        end = time.monotonic() + patience
        pause, hung = 0.001, False
        while True:
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                process.returncode = os.waitstatus_to_exitcode(status)
                return process.returncode, usage, hung
            if time.monotonic() > end and not hung:
                hung = True
                process.kill()
            time.sleep(pause)
            pause = min(pause * 1.5, 0.02)
