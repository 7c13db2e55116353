"""How a checkpoint is read and asked on the command line."""

from .planted import planted

MUTANTS = [
    *planted(
        "conversion/predictions/checkpoint_loading.py",
        "tests/conversion/cogvla/test_create_cogvla.py",
        (
            "starts-predict-without-a-word",
            "    if not quiet and (untrained := untrained_of(folder)) and untrained.is_start:",
            "    if False:",
            "a_start_is_named_as_such_where_it_is_loaded_for_a_prediction",
        ),
    ),
    *planted(
        "conversion/predictions/checkpoint_loading.py",
        "tests/conversion/commands/test_beginners_mistakes.py",
        (
            "folders-without-a-processor",
            "    if not any((folder / name).exists() for name in PROCESSORS):",
            "    if False:",
            "a_mistake_is_named_with_its_remedy_before_any_work",
        ),
    ),
    *planted(
        "conversion/predictions/checkpoint_loading.py",
        "tests/conversion/commands/test_predict_outputs.py",
        (
            "predictions-in-training-mode",
            "model = model.to(device).eval()",
            "model = model.to(device).train()",
            "statistics_and_state_that_are_given_are_those_of_the_prediction",
        ),
        (
            "fast-is-not-switched-on",
            "        model.enable_fast_prediction(fast)",
            "        pass",
            "the_picture_of_a_robot_is_of_the_actions_that_are_printed",
        ),
        (
            "graphs-on-a-cpu-without-a-word",
            'if fast == "graphs" and torch.device(device).type != "cuda" and not quiet:',
            "if False:",
            "fast_graphs_on_a_cpu_say_that_they_have_no_effect",
        ),
    ),
    *planted(
        "conversion/predictions/checkpoint_loading.py",
        "tests/conversion/predictions/test_checkpoint_loading.py",
        (
            "weights-on-a-cpu-as-stored",
            'dtype = dtype or ("float32" if torch.device(device).type == "cpu" else "auto")',
            'dtype = dtype or "auto"',
            "a_cpu_computes_in_float32_unless_another_dtype_is_said",
        ),
        (
            "dtypes-are-not-read",
            'chosen = dtype if dtype == "auto" else getattr(torch, dtype)',
            "chosen = torch.float32",
            "a_cpu_computes_in_float32_unless_another_dtype_is_said",
        ),
        (
            "layers-of-any-number",
            '    check_layers_of(folder, read_json([folder], "config.json", required=True))',
            "    pass",
            "what_transformers_would_stumble_over_is_refused_first",
        ),
        (
            "tokenizers-of-any-form",
            "    check_tokenizer_files(folder)\n",
            "",
            "what_transformers_would_stumble_over_is_refused_first",
        ),
    ),
    *planted(
        "conversion/predictions/checkpoint_loading.py",
        "tests/conversion/travelling/test_unnamed_code.py",
        (
            "adapters-of-others-are-followed",
            "    check_no_adapter(folder)\n",
            "",
            "an_adapter_beside_a_model_leads_nowhere",
        ),
    ),
    *planted(
        "conversion/predictions/robot_prediction.py",
        "tests/conversion/commands/test_beginners_mistakes.py",
        (
            "empty-instructions",
            "    if not instruction.strip():",
            "    if False:",
            "a_mistake_is_named_with_its_remedy_before_any_work",
        ),
        (
            "states-of-any-size",
            "    if state and len(state) != size:",
            "    if False:",
            "a_mistake_is_named_with_its_remedy_before_any_work",
        ),
        (
            "embodiments-of-models-with-one",
            "    if embodiment_id is not None and config.num_embodiments == 1:",
            "    if False:",
            "a_mistake_is_named_with_its_remedy_before_any_work",
        ),
    ),
    *planted(
        "conversion/predictions/robot_prediction.py",
        "tests/conversion/commands/test_predict_outputs.py",
        (
            "zeros-without-a-word",
            "    if processor.state_dim and state is None:",
            "    if processor.state_dim and state is None and not quiet:",
            "a_state_that_is_not_given_is_told",
        ),
        (
            "far-states-without-a-word",
            "        else:\n            print",
            "        elif False:\n            print",
            "a_state_far_outside_of_the_statistics_is_a_note_and_no_warning",
        ),
        (
            "samples-of-heads-that-draw-none",
            "    if num_samples is not None and not config.draws_samples:",
            "    if False:",
            "samples_of_a_robot_are_written_with_their_spread",
        ),
    ),
]
