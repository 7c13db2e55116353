"""Random changes of a JSON value by its structure, and of the text that it is written as."""

import copy
import json
from random import Random
from typing import Any

ODD = (
    *(None, True, False, 0, -1, 1, 0.5, -0.0, 1e308, -1e308, 10**18, -(10**18), 2**31, 2**63, 10**40),
    *("", " ", "a", "0", "null", "NaN", "../../MARKER", "/MARKER", "a" * 5000, "\x00", "\ud800", "é\u202e\U0001f916"),
    *([], {}, [[]], [None], {"": None}, [0] * 300, {"a": {"b": [1, {"c": None}]}}),
    *(float("nan"), float("inf"), float("-inf")),
)


def places(value: Any, at: tuple = ()) -> list[tuple]:
    """The paths of all values inside of one."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path for key, each in inner for path in ((*at, key), *places(each, (*at, key)))]


def inside(value: Any, path: tuple) -> Any:
    for key in path:
        value = value[key]
    return value


def changed_text(random: Random, content: Any) -> tuple[bytes, str]:
    """A JSON file with one to three changes; what they are."""
    if random.random() < 0.12:
        return changed_file(random, content)
    content, told = copy.deepcopy(content), []
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        content, change = changed(random, content)
        told.append(change)
    return written(content), "; ".join(told)


def written(content: Any) -> bytes:
    return json.dumps(content).encode()  # a lone surrogate is written as \ud800, which JSON allows


def changed(random: Random, content: Any) -> tuple[Any, str]:
    """One value swapped, removed, doubled, moved, scaled or wrapped; changes `content`."""
    found = places(content)
    if not found:
        return odd(random, content), "the whole"
    path = random.choice(found)
    holder, key = inside(content, path[:-1]), path[-1]
    how = random.choice(("odd", "odd", "odd", "remove", "near", "near", "move", "wrap", "add"))
    if how == "remove":
        del holder[key]
    elif how == "move":
        holder[key] = copy.deepcopy(inside(content, random.choice(found)))
    elif how == "wrap":
        holder[key] = random.choice(([holder[key]], {"value": holder[key]}, str(holder[key]), [holder[key]] * 2))
    elif how == "add":
        return added(random, content, path)
    else:
        holder[key] = odd(random, holder[key]) if how == "odd" else near(random, holder[key])
    return content, f"{how} at {path}"


def added(random: Random, content: Any, path: tuple) -> tuple[Any, str]:
    """Something more in the place where `path` lies."""
    holder = inside(content, path[:-1])
    value = odd(random, None)
    if isinstance(holder, dict):
        holder[random.choice(("", "new", "../x", "__class__", "a" * 300, f"{path[-1]}2"))] = value
    else:
        holder.insert(random.randrange(len(holder) + 1), value)
    return content, f"add beside {path}"


def odd(random: Random, value: Any) -> Any:
    """Of another type, as a rule."""
    return copy.deepcopy(random.choice(ODD))


def near(random: Random, value: Any) -> Any:
    """Of the same type."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return random.choice((value + 1, value - 1, -value, value * 2, value * 10**9, value // 2, float(value)))
    if isinstance(value, float):
        return random.choice((-value, value * 1e300, value / 1e300, value + 1, int(value) if abs(value) < 1e18 else 0))
    if isinstance(value, str):
        return random.choice((value[1:], value + "x", value.upper(), value * 50, value[::-1], f"../{value}", ""))
    if isinstance(value, list):
        return random.choice((value[1:], value + value, value[::-1], [value], []))
    if isinstance(value, dict):
        return random.choice((dict(list(value.items())[1:]), {"x": value}, {}, list(value), list(value.items())))
    return 0


def changed_file(random: Random, content: Any) -> tuple[bytes, str]:
    """Of the file as a whole: no JSON, another encoding, a root of another type, nested deeply, a key twice."""
    text = json.dumps(content)
    how = random.choice(("cut", "utf-16", "bom", "bytes", "root", "deep", "digits", "twice", "empty", "behind"))
    if how == "cut":
        return text[: random.randrange(len(text))].encode(), how
    if how == "utf-16":
        return text.encode("utf-16"), how
    if how == "bom":
        return b"\xef\xbb\xbf" + text.encode(), how
    if how == "bytes":
        at = random.randrange(len(text) + 1)
        return text[:at].encode() + bytes(random.randrange(256) for _ in range(4)) + text[at:].encode(), how
    if how == "root":
        return written(odd(random, content)), how
    if how == "deep":
        depth = random.choice((70, 500, 5000, 100_000))
        mark = random.choice(("[]", "{}"))
        return (("[" * depth + "]" * depth) if mark == "[]" else '{"a":' * depth + "1" + "}" * depth).encode(), how
    if how == "digits":
        return text.replace("0", "0" if random.random() < 0.5 else "1" * 5000, 1).encode(), how
    if how == "twice":
        return twice(random, content), how
    return (b"" if how == "empty" else text.encode() + b" {}"), how


def twice(random: Random, content: Any) -> bytes:
    """A key of the root that appears a second time, with another value."""
    if not isinstance(content, dict) or not content:
        return b"[1][2]"
    key = random.choice(list(content))
    more = f"{json.dumps(key)}: {json.dumps(odd(random, None))}"
    return ("{" + more + ", " + json.dumps(content).lstrip("{")).encode()
