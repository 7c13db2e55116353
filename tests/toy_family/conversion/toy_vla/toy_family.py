"""A published toy, as the conversion knows it."""

from ..family import Family
from ..tensors.rename import Row

WORDS = "language_model.embed_tokens.weight"
TABLE = [
    Row(r"embed\.weight", WORDS, "a vector for each word"),
    Row(r"layers\.(\d+)\.(weight|bias)", r"language_model.layers.\1.\2", "layer of the language model"),
    Row(r"vision\.(weight|bias)", r"pixels.\1", "projection of the image"),
    Row(r"head\.(weight|bias)", r"action_head.\1", "head"),
]


def prepare_toy(job):
    from functools import partial

    from ...processing.toy_vla.processing_toy_vla import ToyVLAImageProcessor, ToyVLAProcessor
    from ..checkpoint_files import write_files
    from ..checkpoint_plan import plan_checkpoint, tensors_of_run
    from ..files.tokenizer_files import load_fast_tokenizer
    from ..job import Prepared
    from ..settings import Settings

    folder, settings, collected = job.adapters[0], Settings(), tensors_of_run(TOY_VLA, job)
    statistics = settings.add_statistics(None, [folder])
    words, width = collected.shape(WORDS)
    config = TOY_VLA.config(vocab_size=words, hidden_size=width, norm_stats=statistics)
    plan = plan_checkpoint(TOY_VLA, job, collected, config, settings.facts)
    processor = ToyVLAProcessor(ToyVLAImageProcessor(), load_fast_tokenizer(folder), statistics)
    write = partial(write_files, TOY_VLA, config, None, processor.save_pretrained, {"run": folder})
    return Prepared("toy_vla", plan, write)


TOY_VLA = Family(name="toy_vla", published=("toy",), table=TABLE, embeddings=WORDS, prepare=prepare_toy)
