"""Does the adapter of a CogVLA or OpenVLA run hold all that its config names, of what the base gives to the model?"""

from ..tensors.adapter_coverage import check_coverage
from ..tensors.adapter_file import read_content
from ..tensors.plan import Plan, SourceTensor
from ..tensors.rename import rename
from .layout import Layout
from .names import TABLE


def check_run_adapter(layout: Layout, plan: Plan) -> None:
    """Weights that side files replace need no LoRA, whatever the adapter's config names.

    Raises:
        ConversionError: the adapter lacks something; the message names it.
    """
    if layout.adapter is None or layout.merged:
        return
    content = read_content(layout.adapter)
    sources = {t.name: t.source for t in plan.tensors if isinstance(t.source, SourceTensor)}
    base = {name: source for name, source in sources.items() if source.file in layout.weights.files}
    changed = [f"{module}.weight" for module in content.loras] + [n for n in content.whole if n.endswith(".weight")]
    targets = {name: rename(name, TABLE, str(layout.adapter.path)).target for name in changed}
    found = {name.removesuffix(".weight"): base[target].key for name, target in targets.items() if target in base}
    shapes = {source.key: source.shape for source in base.values()}
    check_coverage(layout.adapter.path, content, layout.lora_config, None, shapes, found)
