"""What README.md of a LLaVA-3D checkpoint says."""

from ..family_card import Card, Origin, licence_list


def of_parts(inputs: dict[str, str], licences: dict[str, dict[str, str]]) -> Origin:
    """Every source has its part, or the base alone; their licence only where all have the same one, else `other`."""
    names = [name for role, name in inputs.items() if role == "base" or "base" not in licences]
    known = list(licences.values())
    same = known[0] if all(licence == known[0] for licence in known) else {}
    licence = same or ({"license": "other"} if all(known) else {})
    return Origin(names, licence, licence_list(licences, inputs))


CARD = Card(title="LLaVA-3D with an action expert", origin=of_parts)
