"""Code of a model that adapters are merged into: this release's where it is ours, else only where that was allowed."""

from dataclasses import replace
from pathlib import Path

from ...configuration.vla_errors import ConversionError
from ..files.file_kinds import CODE, travelling
from ..tensors.plan import Fact
from ..travelling.auto_map import check_references, config_files, read, references
from ..travelling.travelling_code import TravellingCode, differing, own_code, own_config


def code_for_merge(base: Path, adapters: list[Path], allowed: bool) -> TravellingCode:
    """What travels with a model that is merged into `base`.

    A base of our own families gets this release's code. Any other code is somebody else's.

    Raises:
        ConversionError: the base needs code of its own and that was not `allowed`, or it does not lie in the base.
    """
    files, config = travelling(base, CODE), own_config(base)
    if config:
        own = own_code(config, [base, *adapters])
        replaced = differing(files, own.texts)
        if not (allowed and replaced):
            return replace(own, replaced=tuple(replaced))
    if allowed:
        check_references(base)
        return TravellingCode(foreign=tuple(files))
    named = {path.name: sorted(set(references(read(path)))) for path in config_files(base)}
    if named := {name: values for name, values in named.items() if values}:
        where = "; ".join(f"{name} names {', '.join(values)}" for name, values in named.items())
        there = ", ".join(path.name for path in files) or "none of it"
        raise ConversionError(
            f"{base} runs code of its own ({where}; there is {there}), which is not checked here: read it, and pass "
            "--allow-code to let it travel into the output."
        )
    return TravellingCode()


def code_facts(code: TravellingCode) -> list[Fact]:
    """What plan and report say about the code."""
    facts = []
    if code.foreign:
        names = ", ".join(path.name for path in code.foreign)
        facts.append(Fact("foreign code", names, "given (--allow-code); copied from the base and not checked"))
    if code.replaced:
        facts.append(Fact("code", "this release's", f"in place of the base's {', '.join(code.replaced)}"))
    return facts
