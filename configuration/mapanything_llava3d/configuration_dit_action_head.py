"""Configuration of the layerwise flow-matching DiT action head (starVLA's LayerwiseFlowmatchingActionHead)."""

from ..known_fields import KnownFieldsConfig, keeps_arguments
from ..language_model_config import MAX_STEPS, check_choices, check_counts, check_positive
from ..ode_choices import ODE_CHOICES
from ..vla_config import words_on_disk
from ..vla_errors import ConfigError

CHOICES = {"context": ("interleave", "cross", "concat", "self"), "output_projection": ("adaln", "none"), **ODE_CHOICES}
POSITIVE = (
    "hidden_size",
    "vl_hidden_size",
    "num_hidden_layers",
    "attention_head_dim",
    "num_attention_heads",
    "action_dim",
    "num_action_chunks",
    "num_future_tokens",
    "max_seq_len",
    "output_dim",
    "mlp_hidden_dim",
    "num_timestep_buckets",
    "num_embodiments",
)


class DiTActionHeadConfig(KnownFieldsConfig):
    """A diffusion transformer over a chunk of actions, each block of which reads one layer of the VLM.

    Args:
        hidden_size: width of the blocks.
        vl_hidden_size: width of the VLM states that they attend to, which are projected where it is another; `None` is
            `hidden_size`.
        num_hidden_layers: blocks; as many of the VLM's top-most layers are read.
        attention_head_dim, num_attention_heads: their product is `hidden_size`; `None` heads follow from it.
        action_dim, num_action_chunks: the shape of one prediction (dimensions, steps). Published name of the latter:
            `action_horizon`.
        state_dim: size of the robot state, or `None` when the head takes none.
        num_future_tokens: learned tokens between state and actions.
        max_seq_len, add_pos_embed: learned positions of the action tokens, and how many there are.
        context: what a block attends to. `interleave`: the VLM in even blocks, the head's own tokens in odd ones
            (starVLA today); `cross`: the VLM only, so that tokens do not see each other and neither state nor future
            tokens have any influence (the 3D fork's default); `concat`: both in every block; `self`: the head's own
            tokens only, the first of which are the states of the VLM's last layer.
        output_projection: `adaln` maps the last block's output through a norm modulated by the time; `none` hands it
            to the action decoder as it is (starVLA today).
        output_dim: width of what the `adaln` projection hands to the action decoder; `None` is `hidden_size`.
        mlp_hidden_dim: inner width of state encoder and action decoder.
        num_timestep_buckets: the blocks see the time, from 0 (noise) to 1 (actions), as one of so many whole numbers.
        noise_beta_alpha, noise_beta_beta, noise_s: training draws the time as `1 - b / noise_s`, b from that Beta.
        num_inference_steps: steps of a prediction. Published name: `num_inference_timesteps`.
        ode_solver, ode_spacing: how they are made: `euler` (one velocity a step), `midpoint` or `heun` (two);
            `uniform`, or `cosine`, shorter near the noise.
        dropout: after attention and in the feed-forward, while training.
        condition_dropout: share of the samples of a training batch that see, instead of the VLM, the null condition:
            one token of zeros, which needs no weights of its own. The robot's state stays.
        guidance_scale: of a prediction: the velocity is `null + guidance_scale * (conditional - null)`
            (classifier-free guidance, arXiv 2207.12598). 1 is the conditional one alone, in one pass; another value is
            for models that were trained with `condition_dropout`.
        num_embodiments: robots that have each their own state encoder, action encoder and action decoder.

    Raises:
        ConfigError: a field is unknown or does not fit the others; the message names it.
    """

    model_type = "dit_action_head"
    attribute_map = words_on_disk("action_horizon", "num_inference_timesteps")
    base_config_key = "dit_action_head_config"

    @keeps_arguments
    def __init__(
        self,
        hidden_size: int = 4096,
        num_hidden_layers: int = 16,
        attention_head_dim: int = 64,
        num_attention_heads: int | None = None,
        action_dim: int = 7,
        num_action_chunks: int = 8,
        state_dim: int | None = None,
        num_future_tokens: int = 32,
        max_seq_len: int = 1024,
        add_pos_embed: bool = True,
        context: str = "interleave",
        output_projection: str = "adaln",
        output_dim: int | None = None,
        mlp_hidden_dim: int = 1024,
        num_timestep_buckets: int = 1000,
        noise_beta_alpha: float = 1.5,
        noise_beta_beta: float = 1.0,
        noise_s: float = 0.999,
        num_inference_steps: int = 4,
        dropout: float = 0.1,
        vl_hidden_size: int | None = None,
        ode_solver: str = "euler",
        ode_spacing: str = "uniform",
        condition_dropout: float = 0.0,
        guidance_scale: float = 1.0,
        num_embodiments: int = 1,
        **kwargs,
    ):
        self.vl_hidden_size = hidden_size if vl_hidden_size is None else vl_hidden_size
        self.output_dim = hidden_size if output_dim is None else output_dim
        super().__init__(**kwargs)
        self.check()

    def context_of_block(self, index: int) -> str:
        """What a block attends to: `vlm`, `own` or `both`."""
        if self.context == "interleave":
            return ("vlm", "own")[index % 2]
        return {"cross": "vlm", "concat": "both", "self": "own"}[self.context]

    @property
    def reads_last_layer(self) -> bool:
        """Whether the states of the VLM's last layer have an influence."""
        return self.context == "self" or self.context_of_block(self.num_hidden_layers - 1) != "own"

    def check(self) -> None:
        """Refuse values that cannot work, by the name of the field; fills in `num_attention_heads`."""
        check_choices(self, CHOICES)
        check_counts(self, "hidden_size", "attention_head_dim")
        if self.num_attention_heads is None:
            self.num_attention_heads = max(self.hidden_size // self.attention_head_dim, 1)
        check_counts(self, *POSITIVE)
        check_positive("num_inference_steps", self.num_inference_steps, MAX_STEPS)
        if self.state_dim is not None:
            check_counts(self, "state_dim")
        self.check_sizes()
        self.check_shares()

    def check_sizes(self) -> None:
        """Raises ConfigError where widths, heads and positions do not fit together."""
        width = self.num_attention_heads * self.attention_head_dim
        if width != self.hidden_size:
            raise ConfigError(
                f"num_attention_heads={self.num_attention_heads} times attention_head_dim={self.attention_head_dim} "
                f"is {width}, not hidden_size={self.hidden_size}."
            )
        if self.hidden_size % 2:
            raise ConfigError(f"hidden_size={self.hidden_size} must be even: half of it are sines of the time.")
        if self.add_pos_embed and self.num_action_chunks > self.max_seq_len:
            raise ConfigError(
                f"num_action_chunks={self.num_action_chunks} needs as many positions; max_seq_len={self.max_seq_len}."
            )
        if self.output_projection == "none" and self.output_dim != self.hidden_size:
            raise ConfigError(
                f"output_dim={self.output_dim} belongs to output_projection='adaln'; with 'none' the decoder reads "
                f"hidden_size={self.hidden_size}: leave output_dim out."
            )

    def check_shares(self) -> None:
        """Raises ConfigError for a parameter of the noise's times, or a dropout, out of its range."""
        for field in ("noise_beta_alpha", "noise_beta_beta", "noise_s"):
            if not getattr(self, field) > 0:
                raise ConfigError(f"{field}={getattr(self, field)!r} must be above 0.")
        if self.noise_s > 1:
            raise ConfigError(f"noise_s={self.noise_s} must be at most 1.")
        for field in ("dropout", "condition_dropout"):
            if not 0 <= getattr(self, field) < 1:
                raise ConfigError(f"{field}={getattr(self, field)!r} must lie in [0, 1).")
        if not 0 <= self.guidance_scale < float("inf"):
            raise ConfigError(f"guidance_scale={self.guidance_scale!r} must be a number of 0 or more.")
        if self.guidance_scale != 1 and not self.condition_dropout:
            raise ConfigError(
                f"guidance_scale={self.guidance_scale} needs condition_dropout above 0: without it the head does not "
                "learn the null condition."
            )
