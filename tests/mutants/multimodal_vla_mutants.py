"""Composed VLAs: what is pooled, fused and grounded."""

from .planted import planted

LATE = "tests/modeling/multimodal_vla/test_late_fusion.py"
COMPOSED = "tests/modeling/multimodal_vla/test_multimodal_vla.py"
CHOICES = "tests/modeling/multimodal_vla/test_backbone_choices.py"
MULTIMODAL_PARTS = "tests/modeling/multimodal_vla/test_multimodal_parts.py"
TOWER_IMAGE_PROCESSORS = "tests/modeling/multimodal_vla/test_tower_image_processors.py"
GATED_CROSS_ATTENTION = "tests/modeling/multimodal_vla/test_gated_cross_attention.py"
GROUNDING_TEXT = "tests/processing/multimodal_vla/test_grounding_text.py"

MUTANTS = [
    *planted(
        "modeling/multimodal_vla/fusion.py",
        COMPOSED,
        (
            "states-behind-the-queries",
            "return states[:, -config.num_queries :], None, text_states",
            "return states[:, : config.num_queries], None, text_states",
            "all_that_a_prediction_is_given_has_an_influence",
            "the_discrete_heads_loss_is_the_cross_entropy_of_its_bins",
        ),
        (
            "the-mean-of-hidden-patches-too",
            "masked_mean(tokens, seen)",
            "masked_mean(tokens, torch.ones_like(seen))",
            "tests/modeling/multimodal_vla/test_tower_image_processors.py::test_padding_of_patches_and_prompts_changes_nothing",
            "tests/modeling/multimodal_vla/test_late_fusion.py",
        ),
        (
            "written-until-the-answer-ends",
            "(labels != IGNORED).cumsum(dim=1) > 0",
            "labels != IGNORED",
            "tests/modeling/multimodal_vla/test_multimodal_vlms.py::test_the_language_loss_does_not_see_what_it_predicts",
        ),
        (
            "a-resampler-that-looks-at-padding",
            "parts.query_attention(states, sequence.real), None",
            "parts.query_attention(states), None",
            "a_padded_row_predicts_what_it_predicts_alone",
        ),
    ),
    *planted(
        "modeling/multimodal_vla/token_sequences.py",
        LATE,
        (
            "late-text-sees-places-of-images",
            "return TokenSequence(backbone.embed(prompt.input_ids), prompt.real & ~prompt.is_image)",
            "return TokenSequence(backbone.embed(prompt.input_ids), prompt.real)",
            "what_stands_in_the_places_of_images_does_not_matter",
        ),
        (
            "answers-condition-the-vision-tokens",
            "return is_text if answer_mask is None else is_text & (answer_mask == 0)",
            "return is_text",
            "tests/training/test_answers.py::test_no_fusion_lets_the_answer_through",
        ),
    ),
    *planted(
        "modeling/multimodal_vla/text_pooling.py",
        CHOICES,
        (
            "the-last-place-in-place-of-the-last-token",
            "place = places.masked_fill(~real, -1).amax(dim=1)",
            "place = places.amax().expand(len(states))",
            "a_text_is_pooled_without_its_padding",
        ),
        (
            "the-first-place-in-place-of-the-first-token",
            "place = places.masked_fill(~real, real.shape[1]).amin(dim=1)",
            "place = places.amin().expand(len(states))",
            "a_text_is_pooled_without_its_padding",
        ),
    ),
    *planted(
        "modeling/multimodal_vla/token_learner.py",
        MULTIMODAL_PARTS,
        (
            "shares-of-places-in-half-precision",
            "scores.softmax(dim=1, dtype=torch.float32).to(features.dtype)",
            "scores.softmax(dim=1)",
            "the_weights_of_a_token_learner_of_bfloat16_are_made_in_float32",
        ),
    ),
    *planted(
        "modeling/multimodal_vla/qformer_projector.py",
        TOWER_IMAGE_PROCESSORS,
        (
            "a-qformer-that-looks-at-padding",
            "seen = {} if mask is None else",
            "seen = {} if True else",
            "padding_of_patches_and_prompts_changes_nothing",
        ),
    ),
    *planted(
        "modeling/multimodal_vla/gated_cross_attention.py",
        GATED_CROSS_ATTENTION,
        (
            "gates-that-do-not-close",
            "states + self.attn_gate.tanh() * attended",
            "states + self.attn_gate.sigmoid() * attended",
            "with_closed_gates_the_text_is_that_of_the_language_model_bit_for_bit",
        ),
        (
            "gates-without-a-bound",
            "self.mlp_gate.tanh() * self.fc2",
            "self.mlp_gate * self.fc2",
            "layers_look_at_the_images_of_their_sample_as_the_formula_says",
        ),
        (
            "beams-see-each-others-images",
            "one.repeat_interleave(rows, dim=0) if rows > 1",
            "one.repeat(rows, 1, 1, 1) if rows > 1",
            "a_batch_writes_what_its_samples_write_singly_and_so_do_beams",
        ),
    ),
    *planted(
        "modeling/multimodal_vla/grounding.py",
        GROUNDING_TEXT,
        (
            "scores-without-their-shift",
            "return scores if shift is None else scores + shift.float()",
            "return scores",
            "the_score_is_that_of_the_two_towers_for_the_same_pictures_and_texts",
        ),
        (
            "cosines-in-half-precision",
            'F.normalize(getattr(features, "pooler_output", features).float(), dim=-1)',
            'F.normalize(getattr(features, "pooler_output", features), dim=-1)',
            "tests/modeling/multimodal_vla/test_multimodal_vla.py::test_cosines_of_bfloat16_features_are_float32",
        ),
    ),
]
