"""Random changes of bytes, of whatever format."""

from random import Random

NUMBERS = (0, 1, 0x7F, 0x80, 0xFF)


def changed_bytes(random: Random, data: bytes) -> tuple[bytes, str]:
    """Bits flipped, bytes overwritten, cut off, inserted, repeated, or parts swapped; one to four times."""
    told = []
    for _ in range(random.choice((1, 1, 2, 4))):
        data, change = changed_once(random, data)
        told.append(change)
    return data, "; ".join(told)


def changed_once(random: Random, data: bytes) -> tuple[bytes, str]:
    if not data:
        return bytes(random.randrange(256) for _ in range(random.randrange(1, 40))), "bytes in an empty file"
    # The beginning and the end of a file say what it is.
    at = random.choice((random.randrange(len(data)), random.randrange(min(64, len(data))), len(data) - 1))
    size = min(random.choice((1, 2, 4, 8, 64)), len(data) - at)
    how = random.choice(("flip", "number", "cut", "start", "insert", "remove", "repeat", "splice"))
    if how == "flip":
        return data[:at] + bytes([data[at] ^ 1 << random.randrange(8)]) + data[at + 1 :], f"flip at {at}"
    if how == "number":
        return data[:at] + bytes([random.choice(NUMBERS)]) * size + data[at + size :], f"{size} bytes at {at}"
    if how == "cut":
        return data[:at], f"cut at {at}"
    if how == "start":
        return data[at:], f"begins at {at}"
    if how == "insert":
        return data[:at] + random.randbytes(size) + data[at:], f"{size} more at {at}"
    if how == "remove":
        return data[:at] + data[at + size :], f"{size} fewer at {at}"
    if how == "repeat":
        return data[:at] + data[at : at + size] * random.choice((2, 50)) + data[at + size :], f"repeat at {at}"
    other = random.randrange(len(data))
    return data[:at] + data[other : other + size] + data[at + size :], f"{other} over {at}"
