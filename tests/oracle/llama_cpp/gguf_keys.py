"""A copy of a GGUF file with other keys, for what a reader makes of them.

Independent of the project's own writer on purpose.
"""

import struct

import gguf_tensors

FORMATS = {"u32": (4, "I"), "f32": (6, "f"), "bool": (7, "?")}


def text(value):
    """Length-prefixed UTF-8."""
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def encode(key, kind, value):
    """One entry: a number of a type of FORMATS, a text ("str"), or a list of texts ("strs")."""
    head = text(key)
    if kind == "str":
        return head + struct.pack("<I", gguf_tensors.STRING) + text(value)
    if kind == "strs":
        items = struct.pack("<IIQ", gguf_tensors.ARRAY, gguf_tensors.STRING, len(value))
        return head + items + b"".join(map(text, value))
    number, letter = FORMATS[kind]
    return head + struct.pack("<I" + letter, number, value)


def write_changed(source, target, drop=(), add=()):
    """Copies `source` without the keys in `drop` and with the entries `add`: (key, type, value)."""
    data = source.read_bytes()
    cursor = gguf_tensors.Cursor(data)
    magic, version, tensors, keys = (cursor.unpack(kind) for kind in "IIQQ")
    kept = []
    for _ in range(keys):
        begin = cursor.at
        key = cursor.string()
        cursor.value(cursor.unpack("I"))
        if key not in drop:
            kept.append(data[begin : cursor.at])
    kept += [encode(*entry) for entry in add]
    infos = cursor.at
    for _ in range(tensors):
        cursor.string()
        dimensions = cursor.unpack("I")
        cursor.at += 8 * dimensions + 12  # and type and offset
    header = struct.pack("<IIQQ", magic, version, tensors, len(kept))
    header += b"".join(kept) + data[infos : cursor.at]
    weights = data[-(-cursor.at // 32) * 32 :]
    target.write_bytes(header + bytes(-len(header) % 32) + weights)
