#!/usr/bin/env python3
"""What is kept of conversations: listed, shown, copied and removed, each refusal one line."""
import fcntl
import json
import re

from harness import check, main

MESSAGES = [{"role": "system", "content": "Be kind."},
            {"role": "user", "content": "Hello \x1b[31m\nthere"},
            {"role": "assistant", "content": "Hi", "reasoning_content": "A greeting."}]


def sessions_come_and_go(st, folder):
    env = {"XDG_STATE_HOME": str(folder / "state")}

    def session(*arguments, stdin=""):
        result = st("session", *arguments, stdin=stdin, env=env)
        check(result.returncode == 0, f"session {arguments}: {result}")
        return result.stdout

    check(session("ls") == "", "none yet")
    session("import", "one", stdin=json.dumps(MESSAGES))
    check(json.loads(session("export", "one")) == {"messages": MESSAGES}, "exported as imported")
    session("export", "one", folder / "out.json")
    session("import", "two", folder / "out.json")
    listed = session("ls").splitlines()
    check(sorted(line.split()[0] for line in listed) == ["one", "two"], f"listed: {listed}")
    check(all(" 3 messages  " in line and "Hello \\x1b[31m" in line and "\x1b" not in line for line in listed), f"listed: {listed}")
    shown = session("show", "one")
    check("[system] Be kind." in shown and "[thinks] A greeting." in shown and "[assistant] Hi" in shown, f"shown: {shown}")
    file = folder / "state/smallthinker/sessions/one.stsession"
    check(file.stat().st_mode & 0o777 == 0o600, "only the user may read it")
    check(session("show", file) == shown, "a path is as good as a name")
    session("rm", "one", "two")
    check(session("ls") == "" and not file.exists(), "removed")


def what_is_wrong_is_one_line(st, folder):
    env = {"XDG_STATE_HOME": str(folder / "state")}

    def refuses(what, *arguments, **more):
        st.refuses(what, "session", *arguments, env=env, **more)

    refuses("no action", code=2, contains="action is required")
    refuses("another action", "cut", code=2, contains="want ls, show, rm, export or import")
    refuses("no name", "show", code=2, contains="session show: 0 names, want 1")
    refuses("a name too many", "show", "a", "b", code=2, contains="session show: 2 names, want 1")
    refuses("a bad name", "show", "..", code=2, contains="session '..': want 1 to 64 of A-Z a-z 0-9 . _ -")
    st("session", "import", "one", stdin=json.dumps(MESSAGES[:1]), env=env)
    for what, arguments in (("show", ["nope"]), ("export", ["nope"]), ("rm", ["one", "nope"])):
        refuses(f"nothing to {what}", what, *arguments,
                contains="error: nope: there is no such session; 'smallthinker session ls' lists them\n")
    listed = st("session", "ls", env=env).stdout
    check(re.match(r"one .* 1 message  ", listed), f"one that is there stays: {listed}")
    refuses("one that is there", "import", "one", stdin="[]", contains="one.stsession: is there already\n")
    file = folder / "state/smallthinker/sessions/one.stsession"
    with open(file, "rb+") as used:
        fcntl.flock(used, fcntl.LOCK_EX)
        refuses("one in use", "rm", "one", contains="one.stsession: in use by another process\n")
    refuses("no messages", "import", "a", stdin='{"a": 1}', contains="standard input: want a list of messages")
    refuses("no JSON", "import", "a", stdin="{", contains="standard input: ")
    notes = folder / "notes.txt"
    notes.write_text("these are my own notes")
    refuses("no session", "rm", notes, contains="no conversation of this program")
    check(notes.exists(), "which stays")
    st.refuses("no folder", "session", "ls", env={"XDG_STATE_HOME": "", "HOME": ""}, contains="neither HOME nor XDG_STATE_HOME is set")


if __name__ == "__main__":
    main(__doc__, sessions_come_and_go, what_is_wrong_is_one_line)
