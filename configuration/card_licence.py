"""Licences in the words that the Hub takes in a card's metadata; nothing here is slow to import.

The Hub refuses a README.md whose `license` is none of its list; others are `other`, with a name.
"""

import re
from collections.abc import Mapping
from typing import Any

from .card_markdown import code

# Of https://huggingface.co/docs/hub/repositories-licenses.
CREATIVE_COMMONS = (
    *("cc0-1.0", "cc-by-2.0", "cc-by-2.5", "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "cc-by-nc-2.0"),
    *("cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nd-4.0", "cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0", "cc-by-nc-sa-2.0"),
    *("cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0", "cc"),
)
LICENCES = frozenset(
    (
        *CREATIVE_COMMONS,
        *("apache-2.0", "mit", "openrail", "bigscience-openrail-m", "creativeml-openrail-m", "bigcode-openrail-m"),
        *("bigscience-bloom-rail-1.0", "afl-3.0", "artistic-2.0", "bsl-1.0", "bsd", "bsd-2-clause", "bsd-3-clause"),
        *("bsd-3-clause-clear", "c-uda", "cdla-sharing-1.0", "cdla-permissive-1.0", "cdla-permissive-2.0", "wtfpl"),
        *("ecl-2.0", "epl-1.0", "epl-2.0", "etalab-2.0", "eupl-1.1", "eupl-1.2", "agpl-3.0", "gfdl", "gpl", "gpl-2.0"),
        *("gpl-3.0", "lgpl", "lgpl-2.1", "lgpl-3.0", "isc", "h-research", "intel-research", "lppl-1.3c", "ms-pl"),
        *("apple-ascl", "apple-amlr", "mpl-2.0", "odc-by", "odbl", "openmdw-1.0", "openrail++", "osl-3.0"),
        *("postgresql", "ofl-1.1", "ncsa", "unlicense", "zlib", "pddl", "lgpl-lr", "deepfloyd-if-license", "llama2"),
        *("fair-noncommercial-research-license", "llama3", "llama3.1", "llama3.2", "llama3.3", "llama4"),
        *("grok2-community", "gemma", "unknown", "other"),
    )
)


def hub_licence(said: Mapping[str, Any]) -> dict[str, str]:
    """`license`, and `license_name` and `license_link` where it is `other`, of the metadata of any card.

    Empty where no licence is said. A link into the repository of that card would lead nowhere from another one and is
    left out.
    """
    licence = said.get("license")
    names = [str(name).strip() for name in (licence if isinstance(licence, list) else [licence]) if name]
    if not names:
        return {}
    first, link = names[0].lower(), said.get("license_link")
    is_link = isinstance(link, str) and re.fullmatch(r"https://[^\s<>\"'`|\\]+", link)
    links = {"license_link": link} if is_link else {}
    if len(names) == 1 and first in LICENCES - {"other"}:
        return {"license": first, **links}
    name = said.get("license_name") if first == "other" else " and ".join(names)
    name = re.sub(r"[^a-z0-9.+]+", "-", name.lower()).strip("-") if isinstance(name, str) else ""
    return {"license": "other", **({"license_name": name} if name else {}), **links}


def licence_name(licence: Mapping[str, str]) -> str:
    """As in a sentence, with a link where there is one."""
    link = f" (<{licence['license_link']}>)" if "license_link" in licence else ""
    return code(licence.get("license_name", licence["license"])) + link
