#!/usr/bin/env python3
"""Models by name, from a hub on this machine: what arrives is whole and right, or is not there; whatever the network and
the hub do. Random choices follow a seed."""
import contextlib
import hashlib
import json
import os
import pathlib
import pty
import random
import re
import resource
import signal
import subprocess
import sys
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "cli"))
from harness import PROMPT, check, main  # noqa: E402
from loopback_hub import COMMIT, Hub  # noqa: E402

REPO = "ann/Small-GGUF"
TOKEN = "hf_abcdefghijklmnopqrstuvwxyz0123456789"
CHOICE = f"{REPO}:Q4_0"
rng = random.Random(17)


class Place:
    """An empty home with its own models, and the hub that commands ask there."""

    def __init__(self, st, folder, hub, **env):
        self.st = st
        self.home = folder / f"home-{len(os.listdir(folder))}"
        self.home.mkdir()
        self.models = self.home / "data" / "smallthinker" / "models"
        self.hub = hub
        self.env = {"HOME": str(self.home), "XDG_DATA_HOME": str(self.home / "data"), "HF_ENDPOINT": hub.url,
                    "no_proxy": "*", **env}
        for name in ("HF_TOKEN", "HF_HOME", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "XDG_CACHE_HOME", "SSL_CERT_FILE",
                     "CURL_CA_BUNDLE"):
            self.env.setdefault(name, "")

    def __call__(self, *arguments, **options):
        return self.st(*arguments, env=self.env, **options)

    def start(self, *arguments, **options):
        return subprocess.Popen([self.st.binary, *arguments], env={**os.environ, **self.env}, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)

    def refuses(self, what, *arguments, code=1, **options):
        self.st.refuses(what, *arguments, code=code, env=self.env, **options)

    def files(self):
        """What is in the folder of models, by path."""
        return {str(path.relative_to(self.models)): path.read_bytes()
                for path in self.models.rglob("*") if path.is_file()}

    def parts(self):
        return {path: content for path, content in self.files().items() if path.endswith(".part")}

    def has(self, what, repo=REPO, only=None):
        """Nothing but whole, right files of the repository."""
        want = {f"{repo}/{path}": content for path, content in self.hub.files[repo].items()
                if only is None or path in only}
        check(self.files() == want, f"{what}: files {sorted(self.files())}, want {sorted(want)}")

    def pulls(self, what, name=CHOICE, only=("small-Q4_0.gguf",), **options):
        result = self("pull", name, **options)
        check(result.returncode == 0, f"{what}: {result}")
        self.has(what, only=only)
        return result


def gives_up(place, what, tries, message):
    """After so many tries, each but the first announced in the same words, with one line that says why."""
    result = place("pull", CHOICE, "--tries", tries)
    lines = result.stderr.splitlines()
    check(result.returncode == 1 and result.stdout == "" and len(lines) == tries, f"{what}: {result}")
    check(lines[-1].startswith("error: ") and message in lines[-1] and lines[-1].endswith(f"; given up after {tries} tries"),
          f"{what}: {lines[-1]}")
    for i, line in enumerate(lines[:-1]):
        wait = f"{0.1 * 4 ** i:.3g}"
        check(re.fullmatch(rf"note: {REPO}: .+: trying again in {re.escape(wait)} s, try {i + 2} of {tries}", line), f"{what}: {line}")


def small_model(size=300_000):
    return {REPO: {"README.txt": b"read me", "small-Q4_0.gguf": rng.randbytes(size), "small-Q8_0.gguf": rng.randbytes(99)}}


def with_hub(test):
    def run(st, folder):
        with Hub(small_model()) as hub:
            test(Place(st, folder, hub), hub)
    return run


def file_requests(hub):
    return [seen for seen in hub.seen if "/resolve/" in seen.path or "/blob/" in seen.path]


def once(answer):
    """A fault that strikes one request."""
    left = [True]

    def fault(handler):
        return left.pop() and answer(handler) if left else False
    return fault


# ---- What works ----

@with_hub
def by_name(place, hub):
    result = place.pulls("pull")
    path = place.models / REPO / "small-Q4_0.gguf"
    check(result.stdout == f"{path}\n", f"pull prints the path: {result.stdout!r}")
    check(result.stderr == f"{CHOICE}: 293.0 KiB, 293.0 KiB downloaded\n", f"pull: {result.stderr!r}")
    for folder in path.parents[:3]:
        check(folder.stat().st_mode & 0o077 == 0, f"{folder} is open to others")
    check(path.stat().st_mode & 0o777 == 0o600, "the file is open to others")
    before = len(file_requests(hub))
    again = place.pulls("pull again")
    check(len(file_requests(hub)) == before, "pulled again: asks for the file")
    check(again.stdout == result.stdout and again.stderr == f"{CHOICE}: 293.0 KiB, is here already\n", f"{again}")
    # A file that has gone bad is not taken for the right one.
    path.write_bytes(b"\0" + path.read_bytes()[1:])
    place.pulls("over a bad file")
    place.pulls("pull of another type", f"{REPO}:q8_0", only=("small-Q4_0.gguf", "small-Q8_0.gguf"))
    listed = place("ls")
    check(listed.stdout == f"{REPO}:Q4_0  293.0 KiB\n{REPO}:Q8_0       99 B\n", f"ls: {listed}")
    described = json.loads(place("ls", "--json").stdout)
    check(described[1] == {"name": f"{REPO}:Q8_0", "path": str(place.models / REPO / "small-Q8_0.gguf"), "bytes": 99,
                           "files": 1, "whole": True, "place": "models"}, f"ls --json: {described}")
    removed = place("rm", CHOICE)
    check(removed.returncode == 0 and removed.stderr == f"removed {CHOICE}, 293.0 KiB\n", f"rm: {removed}")
    place.has("rm of one", only=("small-Q8_0.gguf",))
    place.refuses("rm of what is not there", "rm", CHOICE, contains="no model of this name is here")
    check(place("rm", REPO).returncode == 0 and os.listdir(place.models) == [], "rm of all")
    empty = place("ls")
    check(empty.stdout == "" and "no models yet" in empty.stderr, f"ls of none: {empty}")


def runs(st, gguf, models, folder):
    with Hub({"ann/tiny": {"tiny-Q8_0.gguf": gguf.read_bytes()}}) as hub:
        place = Place(st, folder, hub)
        ask = ["-p", PROMPT, "-n", 4, "--temp", 0]
        want = st("run", "-m", gguf, *ask).stdout
        place.refuses("--offline, not there", "run", "-m", "ann/tiny", "--offline", *ask,
                      contains="error: ann/tiny: no such file, and no model of this name is here; get it with "
                               "'smallthinker pull ann/tiny'\n")
        check(not hub.seen, "--offline asks the hub")
        first = place("run", "-m", "ann/tiny", *ask)
        check(first.stdout == want and "note: ann/tiny: not here yet, downloading\n" in first.stderr, f"{first}")
        hub.seen.clear()
        for arguments in (["run", "-m", "ann/tiny:Q8_0", *ask], ["run", "-hf", "ann/tiny", *ask], ["ann/tiny", *ask],
                          ["run", "--offline", "-m", "ann/tiny:tiny-Q8_0.gguf", *ask]):
            result = place(*arguments)
            check(result.stdout == want, f"{arguments}: {result}")
        check(place("tokenize", "-m", "ann/tiny", "--ids", "-p", "a").returncode == 0, "tokenize by name")
        check(place("inspect", "ann/tiny", "--json").returncode == 0, "inspect by name")
        check(not hub.seen, "what is here is asked for again")
        # A checkpoint, which becomes a GGUF file of its own.
        folder_of = models / "variants/micro-odd-sharded"
        hub.files["ann/hf"] = {path.name: path.read_bytes() for path in folder_of.iterdir()}
        result = place("run", "-m", "ann/hf", *ask)
        check(result.stdout == place("run", "-m", folder_of, *ask).stdout != "" and "converted to Q8_0" in result.stderr,
              f"a checkpoint by name: {result}")
        hub.seen.clear()
        check(place("run", "-m", "ann/hf", *ask).stdout == result.stdout and not hub.seen, "a checkpoint again")
        copy = list((place.home / ".cache/smallthinker/converted").glob("hf-*.gguf"))
        removed = place("rm", "ann/hf")
        check(removed.returncode == 0 and len(copy) == 1 and not copy[0].exists() and not (place.models / "ann/hf").exists() and
              f"removed {copy[0]}, " in removed.stderr, f"rm of a checkpoint and its copy: {removed}")
        # A path that exists wins; in a folder that does, a file of it was meant.
        local = place.home / "ann"
        local.mkdir()
        missing = subprocess.run([st.binary, "run", "-m", "ann/none", *map(str, ask)], cwd=place.home, text=True,
                                 env={**os.environ, **place.env}, capture_output=True)
        check(missing.returncode == 1 and missing.stdout == "" and
              missing.stderr == "error: ann/none: no such file, and no model of this name is here; get it with "
              "'smallthinker pull ann/none'\n", f"a file that is missing in a folder: {missing}")
        (local / "tiny").write_bytes(b"no model")
        found = subprocess.run([st.binary, "run", "-m", "ann/tiny", *map(str, ask)], cwd=place.home, text=True,
                               env={**os.environ, **place.env}, capture_output=True)
        check(found.returncode == 1 and "not a GGUF file" in found.stderr, f"a path that exists: {found}")
        # The cache of Hugging Face's own tools, which has links.
        cache = place.home / "hf" / "hub" / "models--bob--tiny"
        (cache / "blobs").mkdir(parents=True)
        (cache / "snapshots" / COMMIT).mkdir(parents=True)
        (cache / "refs").mkdir()
        (cache / "refs" / "main").write_text(COMMIT)
        (cache / "blobs" / "b").write_bytes(gguf.read_bytes())
        (cache / "snapshots" / COMMIT / "tiny-Q8_0.gguf").symlink_to("../../blobs/b")
        place.env["HF_HOME"] = str(place.home / "hf")
        check(place("run", "-m", "bob/tiny", *ask).stdout == want, "a model of Hugging Face's cache")
        check("bob/tiny:Q8_0" in place("ls").stdout and "in Hugging Face's cache" in place("ls").stdout, "ls of it")
        place.refuses("rm of it", "rm", "bob/tiny", contains="is in Hugging Face's cache")


@with_hub
def choices(place, hub):
    hub.files[REPO].update({"sub/small-Q6_K-00001-of-00002.gguf": rng.randbytes(70_000),
                            "sub/small-Q6_K-00002-of-00002.gguf": rng.randbytes(50_000)})
    place.refuses("a type that is not there", "pull", f"{REPO}:Q9", contains=f"error: {REPO}: has no 'Q9'; it has Q4_0, "
                  "Q6_K, Q8_0\n")
    place.refuses("no name", "pull", "nonsense", code=2, contains="'nonsense': want OWNER/REPO[:QUANT]")
    place.refuses("a name that climbs", "pull", "../x", code=2, contains="'../x': want OWNER/REPO[:QUANT]")
    hub.page = 2
    parts = [f"sub/small-Q6_K-0000{i}-of-00002.gguf" for i in (1, 2)]
    result = place.pulls("all parts, of a listing on pages", f"{REPO}:Q6_K", only=parts)
    check(result.stdout == f"{place.models}/{REPO}/{parts[0]}\n", f"the first part's path: {result.stdout}")
    hub.files["ann/none"] = {"README.txt": b""}
    place.refuses("no model", "pull", "ann/none", contains="error: ann/none: has no GGUF file and no checkpoint in "
                  "safetensors\n")
    hub.files["ann/hf"] = {name: rng.randbytes(30) for name in
                           ("config.json", "model.safetensors", "tokenizer.json", "picture.png", ".gitattributes")}
    result = place("pull", "ann/hf")
    check(result.returncode == 0 and result.stdout == f"{place.models}/ann/hf\n", f"a checkpoint: {result}")
    check(sorted(os.listdir(place.models / "ann" / "hf")) == ["config.json", "model.safetensors", "tokenizer.json"],
          "files of a checkpoint")


# ---- Where requests lead ----

def redirects(st, folder):
    with Hub({}) as storage, Hub(small_model(), storage=storage) as hub:
        storage.files = hub.files
        place = Place(st, folder, hub, HF_TOKEN=TOKEN)
        place.pulls("from a storage of another host")
        check(hub.seen and all(seen.headers.get("authorization") == f"Bearer {TOKEN}" for seen in hub.seen),
              "the hub gets no token")
        check(storage.seen and not any("authorization" in seen.headers for seen in storage.seen),
              "the token goes to another host")
        check(not any(TOKEN in str(seen) for seen in storage.seen), "the token goes to another host in some way")
        # A repository that was renamed: elsewhere on the same host.
        place = Place(st, folder, hub, HF_TOKEN=TOKEN)
        old, real = hub.answer, hub.url

        def renamed(handler):
            if "/ann/Old" in handler.path:
                return hub.status(handler, 307, {"Location": handler.path.replace("/ann/Old", f"/{REPO}")})
            return old(handler)
        hub.answer = renamed
        result = place("pull", "ann/Old:Q4_0")
        check(result.returncode == 0 and (place.models / "ann/Old/small-Q4_0.gguf").exists(), f"renamed: {result}")
        hub.answer = old
        for url, message in ((f"{real}/loop", "is redirected more than 10 times"), ("ftp://a/b", "'ftp://a/b': want http"),
                             ("file:///etc/passwd", "'file:///etc/passwd': want http"),
                             ("http://user:word@127.0.0.1/", "want http:// or https:// and the name of a host"),
                             ("http://127.0.0.1:1/", "; given up after 1 try")):
            place = Place(st, folder, hub)
            hub.faults = [lambda handler, url=url: hub.redirect(handler, url)]
            place.refuses(f"redirect to {url}", "pull", CHOICE, "--tries", "1", contains=message)
            check(all(content == b"" for content in place.files().values()), f"redirect to {url}: {place.files()}")


def secure(st, folder):
    certificate = folder / "certificate.pem"
    made = subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
                           "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", certificate, "-out", folder / "cert"],
                          capture_output=True)
    assert made.returncode == 0, made
    certificate.write_bytes(certificate.read_bytes() + (folder / "cert").read_bytes())
    with Hub(small_model(), certificate=certificate) as hub, Hub({}) as plain:
        place = Place(st, folder, hub, HF_TOKEN=TOKEN)
        place.refuses("a certificate that nobody vouches for", "pull", CHOICE, contains="certificate")
        check(not hub.seen, "the token was sent before the certificate was verified")
        place.env["SSL_CERT_FILE"] = str(folder / "cert")
        place.pulls("over https")
        place = Place(st, folder, hub, SSL_CERT_FILE=str(folder / "cert"))
        hub.storage = plain
        place.refuses("from https to http", "pull", CHOICE, contains="is redirected from https to 'http://127.0.0.1:")
        check(not plain.seen, "from https to http: was followed")


# ---- What hubs say no with ----

@with_hub
def statuses(place, hub):
    place.refuses("401", "pull", "bob/private", contains="error: bob/private: not allowed, status 401 (Invalid username or "
                  "password.): does not exist, or is private or gated: set HF_TOKEN to a token that may read it\n")
    for status, message in ((403, "error: ann/Small-GGUF: small-Q4_0.gguf: not allowed, status 403: does not exist, or is"),
                            (404, "error: ann/Small-GGUF: small-Q4_0.gguf: does not exist, status 404\n"),
                            (400, "small-Q4_0.gguf: the hub answers with status 400\n"),
                            (204, "small-Q4_0.gguf: the hub answers with status 204\n"),
                            (304, "small-Q4_0.gguf: the hub answers with status 304\n")):
        hub.faults = [lambda handler, status=status: hub.status(handler, status)]
        hub.seen.clear()
        place.refuses(f"{status}", "pull", CHOICE, "--tries", "2", contains=message)
        check(len(file_requests(hub)) == 1, f"{status}: {len(file_requests(hub))} requests")
        check(list(place.files().values()) == [b""], f"{status}: {place.files()}")
    hub.faults = [lambda handler: hub.status(handler, 500, {"X-Error-Message": "out of order"})]
    hub.seen.clear()
    gives_up(place, "500", 4, "small-Q4_0.gguf: the hub answers with status 500 (out of order)")
    check(len(file_requests(hub)) == 4 and list(place.files().values()) == [b""], f"500: {hub.seen}, {place.files()}")
    place.env["HF_TOKEN"] = TOKEN
    hub.faults = [lambda handler: hub.status(handler, 403)]
    place.refuses("403 with a token", "pull", CHOICE, contains="or the token in HF_TOKEN may not read it\n")
    for status, headers in ((503, {}), (500, {}), (408, {}), (429, {"Retry-After": "1"}), (429, {"Retry-After": "soon"})):
        place = Place(place.st, place.home.parent, hub)
        hub.faults = [once(lambda handler, status=status, headers=headers: hub.status(handler, status, headers))]
        began = time.monotonic()
        result = place.pulls(f"{status}, then better")
        if headers.get("Retry-After") == "1":
            check(time.monotonic() - began >= 1, "Retry-After was not obeyed")
            check(f"note: {REPO}: the hub answers with status 429: trying again in 1 s, try 2 of 5\n" in result.stderr, f"{result.stderr}")
    # 416 for a range that is fine: from the beginning.
    place = Place(place.st, place.home.parent, hub)
    hub.faults = [once(lambda handler: hub.send(handler, hub.files[REPO]["small-Q4_0.gguf"], cut=1000)),
                  lambda handler: "Range" in handler.headers and hub.status(handler, 416)]
    place.pulls("416")
    for variable, value, message in (("HF_TOKEN", "a b", "HF_TOKEN: has a blank"), ("HF_TOKEN", "a\r\nX: y", "HF_TOKEN: has"),
                                     ("HF_ENDPOINT", "huggingface.co", "HF_ENDPOINT: 'huggingface.co': want http://")):
        other = Place(place.st, place.home.parent, hub, **{variable: value})
        other.refuses(f"{variable}={value!r}", "pull", CHOICE, code=2, contains=message)


# ---- What networks do ----

@with_hub
def cuts(place, hub):
    content = hub.files[REPO]["small-Q4_0.gguf"]
    hub.faults = [once(lambda handler: hub.send(handler, content, cut=rng.randrange(1, 20_000))) for _ in range(25)]
    place.pulls("cut 25 times", timeout=60)
    starts = [int(seen.headers.get("range", "bytes=0-")[6:-1]) for seen in file_requests(hub)]
    check(len(starts) == 26 and starts == sorted(starts) and starts[-1] > 0, f"resumes at {starts}")
    # Without a length, and by a hub that knows no ranges.
    place = Place(place.st, place.home.parent, hub)

    def no_ranges(cut):
        def answer(handler):
            handler.send_response(200)
            handler.end_headers()
            handler.wfile.write(content[:cut])
            handler.close_connection = True
            return True
        return answer
    hub.faults = [once(no_ranges(cut)) for cut in (0, 1000, 7, 250_000)] + [no_ranges(len(content))]
    place.pulls("cut by a hub without ranges and lengths")
    # It never gets further: an end is made of it.
    place = Place(place.st, place.home.parent, hub)
    hub.faults = [lambda handler: hub.send(handler, content[:], cut=0)]
    gives_up(place, "never a byte", 3, "small-Q4_0.gguf: ")
    hub.faults = [lambda handler: "Range" in handler.headers and hub.status(handler, 416) or no_ranges(10)(handler)]
    place.refuses("always the same ten bytes", "pull", CHOICE, contains="bytes that it announced\n")
    # What is there of a killed or stopped one is gone on with.
    for stop in signal.SIGINT, signal.SIGTERM, signal.SIGKILL:
        place = Place(place.st, place.home.parent, hub)
        sent, cleared = threading.Event(), threading.Event()

        def stall(handler, sent=sent, cleared=cleared):
            handler.send_response(200)
            handler.send_header("Content-Length", str(len(content)))
            handler.end_headers()
            handler.wfile.write(content[:100_000])
            handler.wfile.flush()
            sent.set()
            cleared.wait(20)
            handler.close_connection = True
            return True
        hub.faults = [once(stall)]
        process = place.start("pull", CHOICE)
        sent.wait(20)
        deadline = time.monotonic() + 20
        while sum(map(len, place.parts().values())) < 100_000 and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(stop)
        began = time.monotonic()
        out, err = process.communicate(timeout=20)
        want = -stop if stop == signal.SIGKILL else 130
        told = ("" if stop == signal.SIGKILL else
                f"interrupted: what has arrived is kept; 'smallthinker pull {CHOICE}' goes on from there\n")
        check(process.returncode == want and out == "" and err == told, f"{stop}: {process.returncode} {out!r} {err!r}")
        check(time.monotonic() - began < 3, f"{stop}: takes {time.monotonic() - began:.1f} s")
        check(list(place.parts().values()) == [content[:100_000]], f"{stop}: what stays: {place.parts().keys()}")
        check("unfinished: pull it again" in place("ls").stdout, f"{stop}: ls")
        place.refuses("an unfinished model", "run", "-m", CHOICE, "--offline", "-p", "a", contains="no model of this name")
        cleared.set()
        hub.seen.clear()
        place.pulls(f"{stop}: again")
        check([seen.headers.get("range") for seen in file_requests(hub)] == ["bytes=100000-"], f"{stop}: {hub.seen}")


@with_hub
def stalls(place, hub):
    """No byte comes for some seconds: that is said instead of a rate, to a file once, on a terminal as long as it lasts."""
    content = hub.files[REPO]["small-Q4_0.gguf"]
    go_on = threading.Event()

    def stall(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content[:100_000])
        handler.wfile.flush()
        go_on.wait(30)
        handler.wfile.write(content[100_000:])
        return True
    hub.faults = [stall]
    to_file = place.start("pull", CHOICE)
    screen, theirs = pty.openpty()
    other = Place(place.st, place.home.parent, hub)
    to_terminal = subprocess.Popen([other.st.binary, "pull", CHOICE], env={**os.environ, **other.env},
                                   stdout=subprocess.DEVNULL, stderr=theirs)
    os.close(theirs)
    seen = b""
    deadline = time.monotonic() + 20
    while b"for 5 s" not in seen and time.monotonic() < deadline:
        seen += os.read(screen, 4096)
    last = seen.decode().split("\x1b[K")[-1]
    check(re.search(r" 33% 97\.7 KiB/293\.0 KiB stalled, nothing for 5 s$", last), f"on a terminal: {seen!r}")
    go_on.set()
    out, err = to_file.communicate(timeout=20)
    check(re.fullmatch(r"(small-Q4_0.gguf  33% 97.7 KiB/293.0 KiB \S+ KiB/s \d+s\n)?"
                       r"small-Q4_0.gguf  33% 97.7 KiB/293.0 KiB stalled, nothing for \d s\n"
                       r"(small-Q4_0.gguf  \d\d% \S+ KiB/293.0 KiB \S+ KiB/s \d+s\n)*"
                       r"small-Q4_0.gguf 100% .*\n.* downloaded\n", err), f"to a file: {err!r}")
    with contextlib.suppress(OSError):
        while piece := os.read(screen, 4096):
            seen += piece
    check(to_terminal.wait(timeout=20) == 0 and b"100%" in seen, f"it goes on: {seen!r}")
    os.close(screen)


@with_hub
def waiting(place, hub):
    content = hub.files[REPO]["small-Q4_0.gguf"]
    begun, go_on = threading.Event(), threading.Event()

    def slow(handler):
        begun.set()
        go_on.wait(20)
        return hub.send(handler, content)
    hub.faults = [once(slow)]
    first = place.start("pull", CHOICE)
    begun.wait(20)
    place.refuses("rm of what is being downloaded", "rm", REPO, contains=".part: is being downloaded\n")
    second = place.start("pull", CHOICE)
    line = second.stderr.readline()
    check(line == f"note: {REPO}: another process downloads it: waiting\n", f"two at once: {line!r}")
    go_on.set()
    for process in first, second:
        out, err = process.communicate(timeout=20)
        check(process.returncode == 0 and out.endswith("/small-Q4_0.gguf\n"), f"two at once: {out!r} {err!r}")
    check(len(file_requests(hub)) == 1, f"two at once: {len(file_requests(hub))} downloads")
    place.has("two at once", only=("small-Q4_0.gguf",))
    # The first one dies: the second goes on.
    place = Place(place.st, place.home.parent, hub)
    begun.clear(), go_on.clear(), hub.seen.clear()
    hub.faults = [once(slow)]
    first = place.start("pull", CHOICE)
    begun.wait(20)
    second = place.start("pull", CHOICE)
    second.stderr.readline()
    first.kill()
    first.communicate(timeout=20)
    second.communicate(timeout=20)
    go_on.set()
    check(second.returncode == 0, "the first one died")
    place.has("the first one died", only=("small-Q4_0.gguf",))


# ---- Bytes that are not the right ones ----

@with_hub
def wrong_bytes(place, hub):
    content = hub.files[REPO]["small-Q4_0.gguf"]
    other = content[:-1] + bytes([content[-1] ^ 1])
    checksum = "the hub sends other bytes than it announced: the checksum is wrong\n"
    for what, body, message in (
            ("one bit", other, checksum), ("zeros", bytes(len(content)), checksum),
            ("longer", content + b"x", f"the hub has {len(content) + 1} bytes of it, and announced {len(content)}\n"),
            ("shorter", content[:-1], f"the hub has {len(content) - 1} bytes of it, and announced {len(content)}\n"),
            ("a page of a portal", b"<!DOCTYPE html><html>", "the hub has 21 bytes of it, and announced")):
        hub.faults = [lambda handler, body=body: hub.body(handler, body)]
        place.refuses(what, "pull", CHOICE, contains=message)
        check(list(place.files().values()) == [b""], f"{what}: {place.files().keys()}")

    def endless(handler):
        handler.send_response(200)
        handler.end_headers()
        handler.close_connection = True
        with contextlib.suppress(ConnectionError):
            while True:
                handler.wfile.write(content)
        return True
    hub.faults = [endless]
    place.refuses("endless", "pull", CHOICE, contains=f"more than the {len(content)} bytes that were announced\n")

    def wrong_range(handler):
        if "Range" not in handler.headers:
            return hub.send(handler, content, cut=5000)
        return hub.body(handler, content[4000:], {"Content-Range": f"bytes 4000-{len(content) - 1}/{len(content)}"}, 206)
    place = Place(place.st, place.home.parent, hub)
    hub.faults = [wrong_range]
    result = place("pull", CHOICE)
    check(result.returncode == 1 and result.stdout == "" and re.fullmatch(
        rf"note: {REPO}: .*: trying again in 0.1 s, try 2 of 5\nerror: {REPO}: small-Q4_0.gguf: the hub sends bytes from 4000 on, "
        r"and 5000 was asked for\n", result.stderr), f"another range: {result}")
    check("small-Q4_0.gguf" not in str(place.files().keys() - place.parts().keys()), "another range")
    # What lies there is another file's, longer, or a link.
    part = f"small-Q4_0.gguf.{hashlib.sha256(content).hexdigest()[:16]}.part"
    for what, left in ("wrong", rng.randbytes(9000)), ("longer", content + b"x"), ("whole", content), ("whole, wrong", other):
        place = Place(place.st, place.home.parent, hub)
        (place.models / REPO).mkdir(parents=True)
        (place.models / REPO / part).write_bytes(left)
        hub.faults, hub.seen = [], []
        place.pulls(f"over a part that is {what}")
        check(bool(file_requests(hub)) == (what != "whole"), f"a part that is {what}: {len(file_requests(hub))} requests")
    victim = place.home / "victim"
    for link in part, "small-Q4_0.gguf":
        place = Place(place.st, place.home.parent, hub)
        (place.models / REPO).mkdir(parents=True)
        victim.write_bytes(b"precious")
        (place.models / REPO / link).symlink_to(victim)
        place("pull", CHOICE)
        check(victim.read_bytes() == b"precious", f"{link} is a link: was followed")
    check(not (place.models / REPO / "small-Q4_0.gguf").is_symlink(), "a link in place of the file: stays")


@with_hub
def disks(place, hub):
    content = hub.files[REPO]["small-Q4_0.gguf"]
    process = place.start("pull", CHOICE, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (120_000, 120_000)))
    out, err = process.communicate(timeout=20)
    check(process.returncode == 1 and out == "" and "cannot write: File too large" in err, f"a full disk: {err!r}")
    check(list(place.files().values()) == [content[:120_000]], f"a full disk: {place.files().keys()}")
    hub.seen.clear()
    place.pulls("room was made")
    check([seen.headers.get("range") for seen in file_requests(hub)] == ["bytes=120000-"], "room was made: from there on")
    # Room is looked for before anything is downloaded.
    place = Place(place.st, place.home.parent, hub)
    listing = hub.listing
    hub.listing = lambda repo: [entry | {"size": 1 << 49} | ({"lfs": entry["lfs"] | {"size": 1 << 49}} if "lfs" in entry
                                                             else {}) for entry in listing(repo)]
    hub.seen.clear()
    place.refuses("half a petabyte", "pull", CHOICE, contains=f"error: {REPO}: 562949953421312 bytes are to be downloaded, "
                  "and the disk of ")
    check(not file_requests(hub), "half a petabyte: asks for it")
    hub.listing = listing
    if os.getuid() != 0:
        place.models.mkdir(parents=True, mode=0o500)
        place.refuses("a folder that is read-only", "pull", CHOICE, contains="cannot make the folder: Permission denied")


# ---- Answers of a hub that is broken, or hostile ----

@with_hub
def hostile(place, hub):
    good = hub.listing(REPO)[2]
    gguf = good["path"]

    def entry(**changes):
        return {key: value for key, value in {**good, **changes}.items() if value is not None}
    none = f"error: {REPO}: has no GGUF file and no checkpoint in safetensors\n"
    for what, listing, message in (
            ("climbing", [entry(path="../" * 6 + "tmp/" + gguf)], none), ("absolute", [entry(path="/tmp/" + gguf)], none),
            ("hidden", [entry(path=".bashrc.gguf")], none), ("nul", [entry(path="a\0.gguf")], none),
            ("backslash", [entry(path="..\\..\\a.gguf")], none), ("long", [entry(path="a" * 300 + ".gguf")], none),
            ("deep", [entry(path="a/" * 40 + gguf)], none), ("number", [7, None, [], "x"], none),
            ("path is a number", [entry(path=7)], "path: want a string, got 7\n"), ("no digest", [entry(lfs=None, oid=None)], "want 40 hex"),
            ("digest", [entry(lfs={"oid": "../x", "size": 1})], f"{gguf}: oid: '../x': want 64 hexadecimal digits\n"),
            ("size", [entry(lfs={**good["lfs"], "size": -1})], f"{gguf}: size: want an integer in 0..1125899906842624, got -1\n"),
            ("half", [entry(lfs={**good["lfs"], "size": 1.5})], "size: want an integer in 0..1125899906842624, got 1.5\n"),
            ("large", [entry(lfs={**good["lfs"], "size": 1 << 63})], "size: want an integer in 0..1125899906842624, got 9223372036854775808\n"),
            ("object", {}, "not a JSON list: it is a JSON text\n"), ("null", None, "not a JSON list"),
            ("parts without end", [entry(path=f"m-{i:05}-of-99999.gguf") for i in range(1, 2000)], none)):
        hub.listing = lambda repo, listing=listing: listing
        place.refuses(f"listing: {what}", "pull", CHOICE if message != none else REPO, contains=message)
        check(place.files() == {}, f"listing: {what}: {place.files().keys()}")
    refs = hub.refs(REPO)

    def body(content):
        return lambda handler, *_: hub.body(handler, content)
    for what, answer, message in (
            ("html", body(b"<!DOCTYPE html><html>"), "not a JSON object: it is an HTML page: "), ("empty", body(b""), "not a JSON"),
            ("deep", body(b'{"a":' * 100_000), "JSON nested deeper than 64\n"), ("cut", body(b'{"branches": ['), "invalid JSON"),
            ("twice", body(b'{"a": 1, "a": 2}'), "duplicate key 'a'\n"), ("utf-8", body(b'{"a": "\xff"}'), "invalid JSON"),
            ("9 MB", body(b'{"a": "' + b"x" * 9_000_000 + b'"}'), "answers with more than 8388608 bytes\n"),
            ("many values", body(b'{"a": [' + b"0," * 300_000 + b"0]}"), "more than"),
            ("no branch", body(b'{"branches": []}'), "branches: there is no 'main'\n"),
            ("control bytes", body(b'{"branches": [{"name": "main", "targetCommit": "\\u001b[2J"}]}'), "'\\x1b[2J'")):
        hub.json = answer
        place.refuses(f"refs: {what}", "pull", CHOICE, contains=message)
    del hub.json, hub.listing

    def endless_header(handler, *_):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
        with contextlib.suppress(ConnectionError):
            while True:
                handler.wfile.write(b"X: " + b"y" * 1000 + b"\r\n")
        handler.close_connection = True

    def no_http(handler, *_):
        handler.wfile.write(b"\0\1\2\3 nonsense\r\n\r\n")
        handler.close_connection = True
    for what, answer in ("a head without end", endless_header), ("no HTTP", no_http):
        hub.json = answer
        place.refuses(what, "pull", CHOICE, "--tries", "1", matches=f"{REPO}: .*")
    hub.json = lambda handler, value, headers=None: hub.body(
        handler, json.dumps(value if "branches" in value else []).encode(), {"Link": f'<{hub.url}{handler.path}>; rel="next"'})
    place.refuses("pages without end", "pull", CHOICE, contains="more than 100 pages of files\n")
    hub.json = lambda handler, value, headers=None: hub.body(
        handler, json.dumps(value).encode(), {"Link": '<http://10.0.0.1/x>; rel="next"'})
    place.refuses("a page elsewhere", "pull", CHOICE, contains="the list of files goes on at another host, 'http://10.0.0.1/x'\n")
    check(place.files() == {} and refs, "something stays")
    outside = [path for path in place.home.rglob("*") if path.is_file()]
    check(outside == [], f"files elsewhere: {outside}")


if __name__ == "__main__":
    main(__doc__, by_name, runs, choices, redirects, secure, statuses, cuts, stalls, waiting, wrong_bytes, disks, hostile)
