"""What some vision and language models of transformers do in another way than the rest, by model type, in one place.

Which of them a composed VLA may be built around is said in `proven_backbones.py`; VLMs are in `vlm_facts.py`.
"""

# Vision models.
TWO_TOWERS = ("siglip", "siglip2", "clip")  # that come with a text tower of the same space
READS_ALL_POSITIONS = ("siglip", "siglip2")  # of these, whose text tower was trained on texts padded to its full length
FIRST_END_TOKEN = ("clip",)  # whose text tower reads the state of the end token
LOWER_CASE_TOKENIZERS = ("GemmaTokenizer", "GemmaTokenizerFast")  # SigLIP 2 has them, and was trained on lower case

# Language models.
# Encoders that are also language models: their position 0 is the one behind that of padding.
POSITIONS_BEHIND_PADDING = ("camembert", "data2vec-text", "roberta", "roberta-prelayernorm", "xlm-roberta")
# On 4.57 these multiply what they are given by the root of their width; on 5.x their embedding layer does.
SCALES_INPUTS = ("gemma", "gemma2", "recurrent_gemma", "vaultgemma")
# The field of their config by which scores are multiplied, or divided.
LOGIT_FACTORS = {"cohere": "logit_scale", "cohere2": "logit_scale", "falcon_h1": "lm_head_multiplier"}
LOGIT_DIVISORS = dict.fromkeys(("granite", "granitemoe", "granitemoeshared"), "logits_scaling")
