#!/usr/bin/env python3
"""Logits and greedy tokens of a GGUF file according to llama.cpp, see libllama.py.

Usage:
  llama_logits.py --library DIR MODEL.gguf --tokens 1,2,3 -o out.npy
  llama_logits.py --library DIR MODEL.gguf --tokens 1,2,3 --greedy 16
"""

import argparse
import json
import sys

import numpy as np

from libllama import CONTEXT_FIELDS, KV_TYPES, Library, LlamaError


class Model:
    """One GGUF file with one context.  Use in a `with` statement."""

    def __init__(self, library, path, n_ctx=1024, threads=1, kv="f32"):
        self.llama, self.dll, self.n_ctx = library, library.dll, n_ctx
        self.context = self.model = None
        library.log.clear()
        self.model = self.dll.llama_model_load_from_file(
            str(path).encode(), self.dll.llama_model_default_params()
        )
        if not self.model:
            raise library.error(f"{path}: llama.cpp cannot load this file")
        self.n_vocab = self.dll.llama_vocab_n_tokens(self.dll.llama_model_get_vocab(self.model))
        self.context = self.dll.llama_init_from_model(self.model, self._params(threads, kv))
        if not self.context:
            raise library.error(f"{path}: llama.cpp cannot make a context")
        # Asking the context is the proof that the offsets were the right ones.
        for name, expected in [("n_batch", n_ctx), ("n_ubatch", n_ctx), ("n_threads", threads)]:
            if (found := getattr(self.dll, "llama_" + name)(self.context)) != expected:
                raise LlamaError(f"{name} was set to {expected}, llama.cpp took it as {found}")
        if self.dll.llama_n_ctx(self.context) < n_ctx:
            raise LlamaError(f"llama.cpp did not take n_ctx = {n_ctx}")

    def _params(self, threads, kv):
        """Context parameters: one ubatch for everything, plain attention.

        Flash attention is off and the KV cache F32 by default because this is a
        reference: its rounding should come from the weights' type alone.
        """
        params = self.dll.llama_context_default_params()
        for name in ("n_ctx", "n_batch", "n_ubatch"):
            params.set(CONTEXT_FIELDS, name, self.n_ctx)
        for name in ("n_threads", "n_threads_batch"):
            params.set(CONTEXT_FIELDS, name, threads)
        for name in ("type_k", "type_v"):
            params.set(CONTEXT_FIELDS, name, KV_TYPES[kv])
        params.set(CONTEXT_FIELDS, "flash_attn_type", 0)
        return params

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.context:
            self.dll.llama_free(self.context)
        if self.model:
            self.dll.llama_model_free(self.model)
        self.context = self.model = None

    def _decode(self, tokens, first_position):
        """Feed tokens at consecutive positions; logits of all of them, [T, V]."""
        if not tokens or first_position + len(tokens) > self.n_ctx:
            raise LlamaError(f"{len(tokens)} tokens at {first_position}: not 1..{self.n_ctx}")
        if not all(0 <= token < self.n_vocab for token in tokens):
            raise LlamaError(f"token ids must be 0..{self.n_vocab - 1}")
        batch = self.dll.llama_batch_init(len(tokens), 0, 1)
        if batch.n_tokens != 0 or batch.embd or not (batch.token and batch.pos and batch.logits):
            raise LlamaError("llama_batch is laid out differently in this release")
        batch.n_tokens = len(tokens)
        for i, token in enumerate(tokens):
            batch.token[i] = token
            batch.pos[i] = first_position + i
            batch.n_seq_id[i] = 1
            batch.seq_id[i][0] = 0
            batch.logits[i] = 1
        status = self.dll.llama_decode(self.context, batch)
        self.dll.llama_batch_free(batch)
        if status != 0:
            raise self.llama.error(f"llama_decode failed with status {status}")
        values = self.dll.llama_get_logits(self.context)
        return np.ctypeslib.as_array(values, (len(tokens), self.n_vocab)).copy()

    def _clear(self):
        """Forget all tokens."""
        self.dll.llama_memory_clear(self.dll.llama_get_memory(self.context), True)

    def logits(self, tokens):
        """Logits after each of the tokens, computed as one batch: float32 [T, V]."""
        self._clear()
        return self._decode(tokens, 0)

    def greedy(self, tokens, count):
        """`count` tokens by arg-max (the first index on ties), one at a time; no stop token."""
        self._clear()
        last, ids = self._decode(tokens, 0)[-1], []
        while len(ids) < count:
            if ids:
                last = self._decode(ids[-1:], len(tokens) + len(ids) - 1)[-1]
            ids.append(int(np.argmax(last)))
        return ids


def token_list(text):
    """Parse "1,2,3"."""
    return [int(part) for part in text.split(",")]


def main():
    """Command line; see the top of the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="GGUF file")
    parser.add_argument("--library", dest="llama", required=True, help="folder with libllama.*so, libggml*.so")
    parser.add_argument("--tokens", required=True, type=token_list, help="ids: 1,2,3")
    parser.add_argument("-o", "--output", help="write the logits of all positions here (.npy)")
    parser.add_argument("--greedy", type=int, metavar="N", help="print N greedy ids as JSON")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--kv", choices=KV_TYPES, default="f32", help="type of the KV cache")
    args = parser.parse_args()
    if args.output is None and args.greedy is None:
        parser.error("give -o, --greedy, or both")
    n_ctx = max(256, len(args.tokens) + (args.greedy or 0))
    try:
        library = Library(args.llama)
        with Model(library, args.model, n_ctx, args.threads, args.kv) as model:
            if args.output is not None:
                np.save(args.output, model.logits(args.tokens))
            if args.greedy is not None:
                print(json.dumps(model.greedy(args.tokens, args.greedy)))
    except (LlamaError, OSError) as error:
        sys.exit(f"llama_logits.py: {error}")


if __name__ == "__main__":
    main()
