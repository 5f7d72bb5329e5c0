#!/usr/bin/env python3
"""llama.cpp for bench/compare: loads a model once, then runs and times what it is told to.

Usage: llama_child.py --library DIR [--mapped] MODEL.gguf

Each answer is one line of JSON on stdout.  The first comes unasked, when the model is loaded:
{"system": llama.cpp's list of CPU features, "buffers": {type: MiB of weights}}.  Then each line
of stdin is a command:

  context THREADS FLASH TOKENS   a new context for so many tokens, warmed up; answer null
  pp TOKENS DEPTH                a prompt after DEPTH tokens; answer: seconds
  tg TOKENS DEPTH                generation, token by token; answer: seconds

With --mapped the file is mapped and its weights are used as they lie there, so that what memory has
no room for is read again when it is needed.

It does what llama-bench does: random tokens, logits of the last one only, memory cleared before
each run, threads that stay alive between runs, n_batch 2048 and n_ubatch 512 (the defaults).
"""

import argparse
import ctypes
import json
import pathlib
import random
import re
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests/oracle/llama_cpp"))
import libllama  # noqa: E402
from libllama import CONTEXT_FIELDS, LlamaError, Params, bind, only_file  # noqa: E402

N_BATCH, N_UBATCH = 2048, 512
NO_MMAP, MMAP = 0, 1  # llama_load_mode

# name: (offset, struct format, default), see libllama.py
MODEL_FIELDS = {
    "n_gpu_layers": (16, "i", -1),
    "load_mode": (24, "i", -1),
    "check_tensors": (73, "?", False),
    "use_extra_bufts": (74, "?", True),  # repacked weights
}
SWA_FIELDS = {"op_offload": (131, "?", True), "swa_full": (132, "?", True)}
POOL_FIELDS = {"n_threads": (512, "i", None), "poll": (520, "I", 50)}

_P, _I = ctypes.c_void_p, ctypes.c_int32
LLAMA = {
    "llama_print_system_info": (ctypes.c_char_p, []),
    "llama_attach_threadpool": (None, [_P, _P, _P]),
    "llama_batch_get_one": (libllama.Batch, [ctypes.POINTER(_I), _I]),
    "llama_synchronize": (None, [_P]),
}
BASE = {
    "ggml_threadpool_params_default": (Params, [_I]),
    "ggml_backend_reg_get_proc_address": (_P, [_P, ctypes.c_char_p]),
}


class ThreadPools:
    """ggml's worker threads, kept between graphs as llama-bench does."""

    def __init__(self, directory):
        self.base = ctypes.CDLL(only_file(directory, "libggml-base.so"))
        bind(self.base, BASE)
        ggml = ctypes.CDLL(only_file(directory, "libggml.*so"))
        bind(ggml, {"ggml_backend_reg_by_name": (_P, [ctypes.c_char_p])})
        self.cpu = ggml.ggml_backend_reg_by_name(b"CPU")
        self.new = self._function("ggml_threadpool_new", _P, ctypes.POINTER(Params))
        self.free = self._function("ggml_threadpool_free", None, _P)

    def _function(self, name, *types):
        address = self.base.ggml_backend_reg_get_proc_address(self.cpu, name.encode())
        if not address:
            raise LlamaError(f"llama.cpp's CPU back end has no {name}")
        return ctypes.CFUNCTYPE(*types)(address)

    def make(self, threads):
        """A pool with the default polling level."""
        params = self.base.ggml_threadpool_params_default(threads)
        expected = dict(POOL_FIELDS, n_threads=(512, "i", threads))
        params.check(expected, "ggml_threadpool_params")
        return self.new(ctypes.byref(params))


class Bench:
    """One model, and one context at a time."""

    def __init__(self, directory, path, mapped=False):
        self.llama = libllama.Library(directory)
        self.dll = self.llama.dll
        bind(self.dll, LLAMA)
        self.pools, self.pool, self.context = ThreadPools(directory), None, None
        params = self.dll.llama_model_default_params()
        params.check(MODEL_FIELDS, "llama_model_params")
        # Mapped, the file would count as memory beside the repacked copy; the speed is the same.
        params.set(MODEL_FIELDS, "load_mode", MMAP if mapped else NO_MMAP)
        params.set(MODEL_FIELDS, "use_extra_bufts", not mapped)
        self.model = self.dll.llama_model_load_from_file(path.encode(), params)
        if not self.model:
            raise self.llama.error(f"{path}: llama.cpp cannot load this file")
        self.n_vocab = self.dll.llama_vocab_n_tokens(self.dll.llama_model_get_vocab(self.model))
        self.random = random.Random(1)

    def about(self):
        """What the first answer tells."""
        buffers = re.findall(r"(\S+) model buffer size = +([\d.]+) MiB", "".join(self.llama.log))
        return {
            "system": self.dll.llama_print_system_info().decode(),
            "buffers": {name: float(size) for name, size in buffers},
        }

    def new_context(self, threads, flash, tokens):
        """Replace the context; the first run in it would pay for its memory, so one comes here."""
        if self.context:
            self.dll.llama_free(self.context)
            self.pools.free(self.pool)
        params = self.dll.llama_context_default_params()
        params.check(SWA_FIELDS, "llama_context_params")
        params.set(SWA_FIELDS, "swa_full", False)
        values = {"n_ctx": tokens, "n_batch": N_BATCH, "n_ubatch": N_UBATCH}
        values |= {"n_threads": threads, "n_threads_batch": threads, "flash_attn_type": flash}
        for name, value in values.items():
            params.set(CONTEXT_FIELDS, name, value)
        self.context = self.dll.llama_init_from_model(self.model, params)
        if not self.context:
            raise self.llama.error("llama.cpp cannot make a context")
        self.pool = self.pools.make(threads)
        self.dll.llama_attach_threadpool(self.context, self.pool, self.pool)
        self.run(min(tokens, N_UBATCH), N_BATCH)
        self.run(1, 1)

    def clear(self):
        """Forget all tokens."""
        self.dll.llama_memory_clear(self.dll.llama_get_memory(self.context), False)

    def run(self, count, step, depth=0):
        """Seconds for `count` random tokens, `step` at a time, after `depth` others."""
        before, tokens = self._tokens(depth), self._tokens(count)
        self.clear()
        self._decode(before, N_BATCH)
        start = time.perf_counter()
        self._decode(tokens, step)
        return time.perf_counter() - start

    def _tokens(self, count):
        return (_I * count)(*(self.random.randrange(self.n_vocab) for _ in range(count)))

    def _decode(self, tokens, step):
        for first in range(0, len(tokens), step):
            piece = ctypes.cast(ctypes.byref(tokens, 4 * first), ctypes.POINTER(_I))
            batch = self.dll.llama_batch_get_one(piece, min(step, len(tokens) - first))
            if (status := self.dll.llama_decode(self.context, batch)) != 0:
                raise self.llama.error(f"llama_decode failed with status {status}")
            self.dll.llama_synchronize(self.context)

    def command(self, line):
        """Do one line of the protocol."""
        name, *numbers = line.split()
        numbers = [int(number) for number in numbers]
        if name == "context":
            return self.new_context(*numbers)
        count, depth = numbers
        return self.run(count, {"pp": N_BATCH, "tg": 1}[name], depth)


def main():
    """Command line; see the top of the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="GGUF file")
    parser.add_argument("--library", dest="folder", required=True, help="folder with libllama.*so, libggml*.so")
    parser.add_argument("--mapped", action="store_true", help="use the weights in the mapped file")
    args = parser.parse_args()
    try:
        bench = Bench(args.folder, args.model, args.mapped)
        print(json.dumps(bench.about()), flush=True)
        for line in sys.stdin:
            print(json.dumps(bench.command(line)), flush=True)
    except (LlamaError, OSError, ValueError, KeyError, TypeError) as error:
        sys.exit(f"llama_child.py: {error}")


if __name__ == "__main__":
    main()
