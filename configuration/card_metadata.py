"""The metadata of a card, in words that the Hub takes, and what they say for people.

The Hub refuses a README.md whose `license` is none of its list; others are `other`, with a name.
"""

import re
from collections.abc import Mapping
from typing import Any

from huggingface_hub import ModelCard

from .card_markdown import code
from .card_stamp import is_stamped

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
KEPT = ("license", "base_model", "datasets")  # of an older card's metadata: they hold for what was made of it, too
NOT_RECORDED = "not recorded"
ORIGIN = """## Licence and origin

- licence: {licence}
- base model: {base_model}
- datasets: {datasets}

This page was written from the config when the weights were saved: how they were trained is known where it says so."""


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


def pipeline_of(config: Any) -> str:
    """The Hub's word for the task of a model of ours."""
    return "image-text-to-text" if config.predicts == "text" else "robotics"


def kept_metadata(known: str | None) -> dict[str, Any]:
    """What an older card of ours says of licence and origin."""
    data = ModelCard(known).data.to_dict() if known and is_stamped(known) else {}
    kept = {name: data[name] for name in data if name in KEPT and name != "license"}
    return hub_licence(data) | kept


def origin_text(data: Mapping[str, Any]) -> str:
    """What metadata say of licence and origin, for people, and that the rest is unknown."""
    names = {name: data.get(name) or [] for name in ("base_model", "datasets")}
    lists = {name: [value] if isinstance(value, str) else value for name, value in names.items()}
    shown = {name: ", ".join(code(value) for value in values) or NOT_RECORDED for name, values in lists.items()}
    return ORIGIN.format(licence=licence_name(data) if data.get("license") else NOT_RECORDED, **shown)
