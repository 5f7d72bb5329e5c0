#!/usr/bin/env python3
"""Gives the command thousands of damaged models, folders and files, odd shapes and command lines.

A finding prints what was damaged, the command and what was wrong, and keeps the evidence. Closes with 'N passed, M failed'.
The same seed makes the same mutants."""
import argparse
import multiprocessing
import pathlib
import random
import shutil
import sys
import tempfile

from judge import Judge
from of_command_lines import CommandLineMutants
from of_files import FileMutants
from of_folders import FolderMutants
from of_gguf import GgufMutants
from of_shapes import ShapeMutants

KINDS = {kind.name: kind for kind in (GgufMutants, FolderMutants, FileMutants, ShapeMutants, CommandLineMutants)}


def some(work):
    """A run of mutants of one kind, in a folder of its own; returns how many there were and the findings."""
    args, kind, seed, count = work
    findings = 0
    with tempfile.TemporaryDirectory(prefix="st-mutants-") as folder:
        mutants = KINDS[kind](random.Random(f"{kind} {seed}"), Judge(args.binary, folder), args.models)
        for i in range(count):
            did, command, outcome = mutants.one()
            if not outcome.findings:
                continue
            findings += 1
            report = "\n".join([f"FOUND {kind} {seed}/{i}: {'; '.join(outcome.findings)}", f"  mutant: {did}",
                                f"  command: {[str(word)[:60] for word in command]}",
                                *("  | " + line[:300] for line in outcome.err.decode("utf-8", "replace").splitlines()[:30])])
            print(report, flush=True)
            if args.keep:
                place = args.keep / f"{kind}-{seed}-{i}"
                place.mkdir(parents=True, exist_ok=True)
                (place / "report").write_text(report)
                for path in filter(pathlib.Path.exists, mutants.evidence()):
                    (shutil.copytree if path.is_dir() else shutil.copy)(path, place / path.name, **(
                        {"dirs_exist_ok": True} if path.is_dir() else {}))
    return count, findings


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kinds", nargs="*", choices=[*KINDS, []], help="default: all")
    parser.add_argument("--binary", required=True, type=pathlib.Path)
    parser.add_argument("--models", required=True, type=pathlib.Path, help="models/tiny-smallthinker")
    parser.add_argument("--count", type=int, default=1000, help="mutants of each kind")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--keep", type=pathlib.Path, help="folder for the evidence of findings")
    args = parser.parse_args()
    args.binary, args.models = args.binary.resolve(), args.models.resolve()
    size = min(250, -(-args.count // args.jobs))
    work = [(args, kind, f"{args.seed}.{begin // size}", min(size, args.count - begin))
            for begin in range(0, args.count, size) for kind in args.kinds or KINDS]
    with multiprocessing.Pool(args.jobs) as pool:
        done = list(pool.imap_unordered(some, work))
    total, failed = (sum(column) for column in zip(*done))
    print(f"{total - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
