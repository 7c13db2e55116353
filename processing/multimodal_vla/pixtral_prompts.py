"""Pixtral's processor without torchvision, which the one of transformers 5 needs for a single function of its file."""

from collections.abc import Iterator, Sequence
from typing import Any

from transformers import BatchFeature, ProcessorMixin


class PixtralProcessor(ProcessorMixin):
    """Prompts and images as the class of this name of transformers prepares them (models/pixtral).

    A picture is a token for each merged patch, a break behind each row of them and an end in place of the last break.

    Args:
        image_processor, tokenizer: of transformers.
        patch_size, spatial_merge_size: pixels along a side of a patch, and patches along a side of a token.
        image_token, image_break_token, image_end_token: the tokens, the first of which also stands for a whole picture.
    """

    def __init__(
        self,
        image_processor: Any = None,
        tokenizer: Any = None,
        patch_size: int = 16,
        spatial_merge_size: int = 1,
        chat_template: str | None = None,
        image_token: str = "[IMG]",
        image_break_token: str = "[IMG_BREAK]",
        image_end_token: str = "[IMG_END]",
        **kwargs: Any,
    ):
        super().__init__(image_processor, tokenizer, chat_template=chat_template)
        self.patch_size = patch_size
        self.spatial_merge_size = spatial_merge_size
        self.image_token = image_token
        self.image_break_token = image_break_token
        self.image_end_token = image_end_token
        self.image_token_id = tokenizer.convert_tokens_to_ids(image_token)

    def __call__(
        self, images: Sequence[Sequence[Any]], text: Sequence[str], return_tensors: str = "pt", **kwargs: Any
    ) -> BatchFeature:
        """`pixel_values` (pictures, 3, height, width) of the largest, `image_sizes` (pictures, 2), and the prompts.

        images: the pictures of each prompt; kwargs: of the tokenizer.
        """
        side = self.patch_size * self.spatial_merge_size
        flat = [picture for pictures in images for picture in pictures]
        found = self.image_processor(flat, patch_size={"height": side, "width": side}, return_tensors=return_tensors)
        grids = iter([(height // side, width // side) for height, width in found["image_sizes"].tolist()])
        prompts = [self.with_tokens(prompt, grids) for prompt in text]
        return BatchFeature({**self.tokenizer(prompts, return_tensors=return_tensors, **kwargs), **found})

    def with_tokens(self, prompt: str, grids: Iterator[tuple[int, int]]) -> str:
        """A prompt with the tokens of the next pictures in the places of their one; grids: rows and columns."""
        first, *others = prompt.split(self.image_token)
        for behind, (rows, columns) in zip(others, grids, strict=False):
            row = self.image_token * columns + self.image_break_token
            first += (row * rows).removesuffix(self.image_break_token) + self.image_end_token + behind
        return first
