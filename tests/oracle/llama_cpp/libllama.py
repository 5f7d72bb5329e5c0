"""libllama, driven through ctypes: no compiler and no headers of llama.cpp are needed.

Its parameter structs change from release to release; here they are opaque blobs in which only a
few fields are touched, each at an offset whose default value is checked first.  A release with
another layout is refused, not misused.  Standard library only.
"""

import ctypes
import pathlib
import struct

# ggml type ids of the KV cache, general.file_type ids of llama_model_quantize.
KV_TYPES = {"f32": 0, "f16": 1}
FILE_TYPES = {
    "F32": 0,
    "F16": 1,
    "Q4_0": 2,
    "Q4_1": 3,
    "Q8_0": 7,
    "Q5_0": 8,
    "Q5_1": 9,
    "Q2_K": 10,
    "Q3_K_M": 12,
    "Q4_K_S": 14,
    "Q4_K_M": 15,
    "Q5_K_S": 16,
    "Q5_K_M": 17,
    "Q6_K": 18,
    "IQ4_NL": 25,
    "IQ4_XS": 30,
    "BF16": 32,
    "MXFP4_MOE": 38,
}

# name: (offset, struct format, default value) of the fields that are set or that prove
# the layout.  The integers that default to -1 stand between the thread counts and the
# first float, the floats that default to -1 before the callbacks: a field added or
# dropped anywhere before type_v moves at least one of these away from its default.
CONTEXT_FIELDS = {
    "n_ctx": (0, "I", 512),
    "n_batch": (4, "I", 2048),
    "n_ubatch": (8, "I", 512),
    "n_seq_max": (12, "I", 1),
    "n_threads": (28, "i", 4),
    "n_threads_batch": (32, "i", 4),
    "rope_scaling_type": (40, "i", -1),
    "flash_attn_type": (52, "i", -1),
    "yarn_ext_factor": (64, "f", -1.0),
    "yarn_beta_slow": (76, "f", -1.0),
    "type_k": (104, "i", 1),
    "type_v": (108, "i", 1),
}
NO_TYPE = 43  # one more than the last of the ids
QUANTIZE_FIELDS = {
    "nthread": (0, "i", 0),
    "ftype": (4, "i", 7),
    "output_tensor_type": (8, "i", NO_TYPE),
    "token_embedding_type": (12, "i", NO_TYPE),
    "allow_requantize": (16, "?", False),
    "quantize_output_tensor": (17, "?", True),
    "only_copy": (18, "?", False),
    "pure": (19, "?", False),
    "keep_split": (20, "?", False),
    "dry_run": (21, "?", False),
    "imatrix": (24, "Q", 0),
    "kv_overrides": (32, "Q", 0),
    "tensor_types": (40, "Q", 0),
    "prune_layers": (48, "Q", 0),
}


class LlamaError(Exception):
    """llama.cpp refused something; the message ends with what its log said."""


class Params(ctypes.Structure):
    """A parameter struct of unknown fields and size.

    The x86-64 calling convention returns such a struct through a hidden pointer and
    passes it as a copy on the stack, so a blob that is too large works for both: the
    library writes and reads only the front of it.
    """

    _fields_ = [("bytes", ctypes.c_uint8 * 1024)]

    def get(self, fields, name):
        """Read one field of the table `fields`."""
        offset, kind, _ = fields[name]
        return struct.unpack_from("<" + kind, self, offset)[0]

    def set(self, fields, name, value):
        """Write one field of the table `fields`."""
        offset, kind, _ = fields[name]
        struct.pack_into("<" + kind, self, offset, value)

    def check(self, fields, what):
        """Refuse a struct whose defaults are not where the table expects them."""
        for name, (_, _, default) in fields.items():
            if (found := self.get(fields, name)) != default:
                raise LlamaError(
                    f"{what}.{name} is {found}, expected {default}: this release of "
                    "llama.cpp lays the struct out differently"
                )


class Batch(ctypes.Structure):
    """llama_batch; small and stable, therefore spelt out."""

    _fields_ = [
        ("n_tokens", ctypes.c_int32),
        ("token", ctypes.POINTER(ctypes.c_int32)),
        ("embd", ctypes.POINTER(ctypes.c_float)),
        ("pos", ctypes.POINTER(ctypes.c_int32)),
        ("n_seq_id", ctypes.POINTER(ctypes.c_int32)),
        ("seq_id", ctypes.POINTER(ctypes.POINTER(ctypes.c_int32))),
        ("logits", ctypes.POINTER(ctypes.c_int8)),
    ]


class TensorType(ctypes.Structure):
    """llama_model_tensor_override."""

    _fields_ = [("pattern", ctypes.c_char_p), ("type", ctypes.c_int)]


class Importance(ctypes.Structure):
    """llama_model_imatrix_data."""

    _fields_ = [("name", ctypes.c_char_p), ("data", ctypes.c_void_p), ("size", ctypes.c_size_t)]


LogCallback = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)

_P, _S, _I, _U = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int32, ctypes.c_uint32
FUNCTIONS = {
    "llama_backend_init": (None, []),
    "llama_log_set": (None, [LogCallback, _P]),
    "llama_model_default_params": (Params, []),
    "llama_context_default_params": (Params, []),
    "llama_model_quantize_default_params": (Params, []),
    "llama_model_quantize": (_U, [_S, _S, ctypes.POINTER(Params)]),
    "llama_model_load_from_file": (_P, [_S, Params]),
    "llama_model_free": (None, [_P]),
    "llama_model_get_vocab": (_P, [_P]),
    "llama_vocab_n_tokens": (_I, [_P]),
    "llama_init_from_model": (_P, [_P, Params]),
    "llama_free": (None, [_P]),
    "llama_n_ctx": (_U, [_P]),
    "llama_n_batch": (_U, [_P]),
    "llama_n_ubatch": (_U, [_P]),
    "llama_n_threads": (_I, [_P]),
    "llama_get_memory": (_P, [_P]),
    "llama_memory_clear": (None, [_P, ctypes.c_bool]),
    "llama_batch_init": (Batch, [_I, _I, _I]),
    "llama_batch_free": (None, [Batch]),
    "llama_decode": (_I, [_P, Batch]),
    "llama_get_logits": (ctypes.POINTER(ctypes.c_float), [_P]),
}


def only_file(directory, pattern):
    """The one file that matches; a folder with two releases would be ambiguous."""
    found = sorted(pathlib.Path(directory).glob(pattern))
    if len(found) != 1:
        raise LlamaError(f"{directory}: {len(found)} files match {pattern}, expected 1")
    return str(found[0].resolve())


def bind(dll, functions):
    """Declare the C types of {name: (result, arguments)}."""
    for name, (result, arguments) in functions.items():
        function = getattr(dll, name)
        function.restype, function.argtypes = result, arguments


class Library:
    """libllama with its CPU back end loaded and its log kept instead of printed."""

    def __init__(self, directory):
        self.dll = ctypes.CDLL(only_file(directory, "libllama.*so"))
        bind(self.dll, FUNCTIONS)
        self.log = []
        self._callback = LogCallback(self._on_log)  # must live as long as the library
        self.dll.llama_log_set(self._callback, None)

        ggml = ctypes.CDLL(only_file(directory, "libggml.*so"))
        bind(
            ggml,
            {
                "ggml_backend_load_all_from_path": (None, [_S]),
                "ggml_backend_reg_count": (ctypes.c_size_t, []),
            },
        )
        ggml.ggml_backend_load_all_from_path(str(pathlib.Path(directory).resolve()).encode())
        if ggml.ggml_backend_reg_count() == 0:
            raise self.error(f"{directory}: no ggml back end could be loaded")
        self.dll.llama_backend_init()

        self.dll.llama_context_default_params().check(CONTEXT_FIELDS, "llama_context_params")
        self.dll.llama_model_quantize_default_params().check(
            QUANTIZE_FIELDS, "llama_model_quantize_params"
        )

    def _on_log(self, _level, text, _data):
        """Keep what is said: it explains the next failure."""
        self.log.append(text.decode(errors="replace"))

    def error(self, message):
        """An exception that carries the end of the library's log."""
        tail = "".join(self.log).strip().splitlines()[-8:]
        return LlamaError("\n  ".join([message, *tail]))

    def quantize(self, source, target, file_type, pure=False, threads=1, **more):
        """Write `source` again with another file type.

        Quantised sources are allowed: file type F32 turns them into their exact values.  `more`:
        output_tensor_type and token_embedding_type (ids), tensor_types [(regex, id)] and imatrix
        {name: float32 array}.
        """
        self.log.clear()
        params = self.dll.llama_model_quantize_default_params()
        params.set(QUANTIZE_FIELDS, "nthread", threads)
        params.set(QUANTIZE_FIELDS, "ftype", FILE_TYPES[file_type])
        params.set(QUANTIZE_FIELDS, "allow_requantize", True)
        params.set(QUANTIZE_FIELDS, "pure", pure)
        lists = {
            "tensor_types": [TensorType(text.encode(), id) for text, id in more.pop("tensor_types", ())],
            "imatrix": [
                Importance(name.encode(), values.ctypes.data, values.size)
                for name, values in more.pop("imatrix", {}).items()
            ],
        }
        arrays = []  # that must live as long as the call
        for name, entries in lists.items():
            if entries:  # a list ends with an entry of zeros
                arrays.append((type(entries[0]) * (len(entries) + 1))(*entries))
                params.set(QUANTIZE_FIELDS, name, ctypes.addressof(arrays[-1]))
        for name, value in more.items():
            params.set(QUANTIZE_FIELDS, name, value)
        names = str(source).encode(), str(target).encode()
        if self.dll.llama_model_quantize(*names, ctypes.byref(params)) != 0:
            raise self.error(f"{source}: llama.cpp cannot quantise this to {file_type}")
