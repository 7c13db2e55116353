"""What some vision and language models of transformers do in another way than the rest, by model type, in one place.

Which of them a composed VLA may be built around is said in `proven_backbones.py`; VLMs are in `vlm_facts.py`.
"""

# Vision models.
# Their last hidden state is a map of features, (n, channels, height, width), and no sequence of tokens.
FEATURE_MAPS = (*("bit", "convnext", "convnextv2", "poolformer", "pvt_v2", "regnet", "resnet", "segformer", "vitdet"),)
# They read patches of pictures of any shape, with a mask and the rows and columns of each picture.
READS_PATCHES = ("siglip2_vision_model",)
# Their config has a width for each stage, and the features are those of the last.
WIDTHS_OF_STAGES = (
    *("bit", "convnext", "convnextv2", "poolformer", "pvt_v2", "regnet", "resnet", "segformer"),
    *("dinov3_convnext", "focalnet"),
)
TWO_TOWERS = ("siglip", "siglip2", "clip")  # that come with a text tower of the same space
READS_ALL_POSITIONS = ("siglip", "siglip2")  # of these, whose text tower was trained on texts padded to its full length
FIRST_END_TOKEN = ("clip",)  # whose text tower reads the state of the end token
LOWER_CASE_TOKENIZERS = ("GemmaTokenizer", "GemmaTokenizerFast")  # SigLIP 2 has them, and was trained on lower case

# Text models.
# Encoders: every token sees all the others, and none has scores of a next token. Those below that are also language
# models are encoders unless their config says `is_decoder`.
TEXT_ENCODERS = (
    *("bert", "camembert", "data2vec-text", "distilbert", "mt5", "roberta", "roberta-prelayernorm", "t5", "umt5"),
    "xlm-roberta",
)
# Encoders that are also language models: their position 0 is the one behind that of padding.
POSITIONS_BEHIND_PADDING = ("camembert", "data2vec-text", "roberta", "roberta-prelayernorm", "xlm-roberta")
# The field of their config for the width of what they read and of their states, where that is not `hidden_size`.
WIDTHS_OF_TOKENS = {"opt": "word_embed_proj_dim"}
# Before 5.4 these multiply what they are given by the root of their width; since then their embedding layer does.
SCALES_INPUTS = ("gemma", "gemma2", "vaultgemma")
# Their layers hand a state from token to token, which padding between tokens would wear off.
CARRIES_STATE = ("falcon_h1", "falcon_mamba", "jamba", "lfm2", "mamba", "minimax", "qwen3_next")
# They make masks of their own out of a padding mask, and take no others, on one of the lines at least.
MAKES_OWN_MASKS = ("bloom", "ctrl", "mpt", "openai-gpt", "xglm")
# They know distances between tokens from their places alone, which padding between them would stretch.
COUNTS_PLACES = ("mpt",)
# Their layers ask the device for numbers, or hand it lists: on both lines, and those whose experts, masks or
# convolutions do so on 4.57 alone.
ASKS_IN_LAYERS = ("falcon",)
ASKS_IN_LAYERS_OF_4 = (
    *("bloom", "distilbert", "ernie4_5_moe", "falcon_h1", "flex_olmo", "glm4_moe", "gpt_oss", "granitemoe"),
    *("granitemoeshared", "jamba", "lfm2", "minimax", "mixtral", "mpt", "olmoe", "phimoe", "qwen2_moe", "qwen3_moe"),
    *("qwen3_next", "qwen3_vl_moe", "xglm"),
)
# The field of their config by which scores are multiplied, or divided.
LOGIT_FACTORS = {"cohere": "logit_scale", "cohere2": "logit_scale", "falcon_h1": "lm_head_multiplier"}
LOGIT_DIVISORS = dict.fromkeys(("granite", "granitemoe", "granitemoeshared"), "logits_scaling")
