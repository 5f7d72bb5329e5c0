"""Tensor names, types and raw bytes of a GGUF file, in as little code as possible.

Independent of the project's own reader on purpose: it checks files both sides wrote.
"""

import math
import mmap
import struct

import numpy as np

# ggml type id: (name, values per block, bytes per block)
TYPES = {
    0: ("F32", 1, 4),
    1: ("F16", 1, 2),
    2: ("Q4_0", 32, 18),
    3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24),
    8: ("Q8_0", 32, 34),
    10: ("Q2_K", 256, 84),
    11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210),
    20: ("IQ4_NL", 32, 18),
    23: ("IQ4_XS", 256, 136),
    30: ("BF16", 1, 2),
    39: ("MXFP4", 32, 17),
}
VALUE_FORMATS = dict(enumerate("BbHhIif?")) | {10: "Q", 11: "q", 12: "d"}
STRING, ARRAY = 8, 9


class Cursor:
    """Reads little-endian values one after the other."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def unpack(self, kind):
        """One value of a struct format character."""
        value = struct.unpack_from("<" + kind, self.data, self.at)[0]
        self.at += struct.calcsize("<" + kind)
        return value

    def string(self):
        """Length-prefixed UTF-8."""
        size = self.unpack("Q")
        self.at += size
        return self.data[self.at - size : self.at].decode()

    def value(self, kind):
        """One metadata value; arrays become lists."""
        if kind == STRING:
            return self.string()
        if kind == ARRAY:
            element, count = self.unpack("I"), self.unpack("Q")
            return [self.value(element) for _ in range(count)]
        return self.unpack(VALUE_FORMATS[kind])


def read(path):
    """Metadata {key: value} and tensors {name: (type name, shape, bytes)} of a GGUF file."""
    with open(path, "rb") as file:
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    cursor = Cursor(data)
    if data[:4] != b"GGUF":
        raise ValueError(f"{path}: not a GGUF file")
    cursor.at = 4
    version, n_tensors, n_values = (cursor.unpack(kind) for kind in "IQQ")
    if version != 3:
        raise ValueError(f"{path}: GGUF version {version}, expected 3")
    metadata = {}
    for _ in range(n_values):
        key = cursor.string()
        metadata[key] = cursor.value(cursor.unpack("I"))
    infos = []
    for _ in range(n_tensors):
        name = cursor.string()
        shape = tuple(cursor.unpack("Q") for _ in range(cursor.unpack("I")))
        infos.append((name, shape, cursor.unpack("I"), cursor.unpack("Q")))
    alignment = metadata.get("general.alignment", 32)
    start = -(-cursor.at // alignment) * alignment
    tensors = {}
    for name, shape, kind, offset in infos:
        type_name, block, size = TYPES[kind]
        begin = start + offset
        end = begin + math.prod(shape) // block * size
        if end > len(data):
            raise ValueError(f"{path}: {name} ends behind the end of the file")
        tensors[name] = (type_name, shape, data[begin:end])
    return metadata, tensors


def floats(tensor):
    """The values of a tensor of F32, F16 or BF16."""
    type_name, _, data = tensor
    if type_name == "BF16":
        return (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32)
    return np.frombuffer(data, {"F32": "<f4", "F16": "<f2"}[type_name]).astype(np.float32)
