"""The shape of a model: everything needed to build it and to make its memory."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Literal, get_args

from armt.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

NU = 3
"""Order of the DPFP feature map: phi has 2 * NU * d_mem entries."""

WriteRule = Literal["official", "paper", "sequential"]
"""official: newest checkpoints; paper: phi not normalised; sequential: ours, token by token."""

Gate = Literal["sigmoid", "hard"]
"""sigmoid: never quite nothing; hard: ours, a sigmoid that reaches 0 and 1 (see `memory.hard`)."""

Features = Literal["dpfp", "product", "bind"]
"""How phi makes a key of d_mem numbers: see `features.py`."""

LONGEST_CODE = 512
"""Bits of the hash that a token's code is made of."""

# Options that came after models had been saved.
_YOUNGER = (
    "features",
    "gate",
    "normalise_write",
    "overlap",
    "conv",
    "conv_rank",
    "fold_tail",
    "reads_within",
    "bidirectional",
    "copying",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ArmtConfig:
    """Options of one model. Frozen; `dataclasses.replace` makes a changed copy.

    Attributes:
        backbone: the transformers config of the base model as a dict, `model_type` included.
        segment_size: token ids in a segment, the unit of recurrence.
        num_mem_tokens: learned embeddings put after each segment; what the write reads. With 0 the segment's
            own tokens write, one after the other (the sequential rule only).
        d_mem: width of the keys before phi; phi has `d_key` entries.
        write_rule: see `WriteRule`.
        use_denom: keep z and divide by it. The sequential rule has no z.
        correction: scale what is added to z by how new the key is.
        wrap_layers: one flag per layer, whether it has a memory; None means all.
        wrap_pos: paper-era GPT-2: memory tokens have position rows of their own, the last of the table.
        features: what phi is; see `Features`. With dpfp it has 6 * d_mem entries, with product (d_mem / 2)^2,
            with bind d_mem / 2.
        gate: how the strength b of a write is made of its logit; see `Gate`.
        normalise_write: take keys, values and gates from m / rms(m) instead of m, so that what is written
            does not grow with the residual stream.
        overlap: how many of the last ids of a segment are shown again before the next one, so that what a
            boundary cuts is seen whole once. Before the first segment `overlap_fill` stands there.
        conv: taps of a causal convolution over token embeddings: a token enters the blocks as
            x_t = e_t + sum over j = 1..conv of e_{t-j} C_j, so that it knows what stands before it without
            attention. Ids before those in view (segment and overlap) count as nothing.
        conv_rank: C_j = A B_j with one A [d_model, conv_rank] for all taps, so that a word looks alike at
            whatever distance; 0: C_j is diagonal, channel by channel.
        fold_tail: for an answer, the tail is absorbed into the fork as a segment shorter than others, and the
            prompt begins a segment of its own: what was read last is answered from memory like all else.
            Otherwise tail and prompt are in view together.
        reads_within: a memory is read behind its block and not before it, and while a segment is absorbed
            each token also reads what those before it in the segment wrote there, so that what was told a
            sentence ago is found as what was told long ago is. For models whose text itself writes, from left
            to right, and that fold the tail.
        bidirectional: while a segment is absorbed its tokens see those behind them too, so that each is
            written under all of its sentence and not its beginning alone; those shown again, of whose
            sentences the rest has now come, write anew. Prompts are read from left to right as ever. For
            models whose text itself writes and that fold the tail.
        copying: entries of the code that each token has, by which a memory keeps tokens as they are, behind
            its values and in its keys, and says them (`copying.Copier`); a multiple of 8, at most 512, and at
            least half of d_mem, which is even. A key can have several words: what is written may be added to
            them, or taken (`AssociativeMemory._in_turn`). 0: nothing is copied.
            For models whose text itself writes, from left to right.
    """

    backbone: Mapping[str, Any]
    segment_size: int
    num_mem_tokens: int
    d_mem: int
    write_rule: WriteRule = "sequential"
    use_denom: bool = False
    correction: bool = False
    wrap_layers: tuple[bool, ...] | None = None
    wrap_pos: bool = False
    features: Features = "dpfp"
    gate: Gate = "sigmoid"
    normalise_write: bool = False
    overlap: int = 0
    conv: int = 0
    conv_rank: int = 0
    fold_tail: bool = False
    reads_within: bool = False
    bidirectional: bool = False
    copying: int = 0

    def __post_init__(self) -> None:
        for name in ("segment_size", "d_mem"):
            self._check_whole(name, least=1)
        self._check_rule()
        self._check_whole("num_mem_tokens", least=0 if self.write_rule == "sequential" else 1)
        if "model_type" not in self.backbone:
            raise ConfigError("the backbone's config has no model_type")
        if self.wrap_layers is not None and len(self.wrap_layers) != self.num_layers:
            raise ConfigError(
                f"wrap_layers has {len(self.wrap_layers)} entries but there are {self.num_layers} layers"
            )
        if not self.memory_layers:
            raise ConfigError("wrap_layers gives no layer a memory")
        self._check_overlap_and_conv()
        self._check_copying()
        self._check_positions()

    def _check_rule(self) -> None:
        """Refuse unknown choices, and those that go with another write rule."""
        for name, choices in (("write_rule", WriteRule), ("features", Features), ("gate", Gate)):
            if getattr(self, name) not in get_args(choices):
                raise ConfigError(
                    f"{name} {getattr(self, name)!r} is not one of {', '.join(get_args(choices))}"
                )
        sequential = self.write_rule == "sequential"
        if sequential and (self.use_denom or self.correction):
            raise ConfigError(
                "the sequential write rule has no denominator: set use_denom and correction to false"
            )
        if not sequential and (self.features != "dpfp" or self.gate != "sigmoid" or self.normalise_write):
            raise ConfigError(
                "features, gate and normalise_write are options of the sequential write rule only"
            )
        if self.features != "dpfp" and self.d_mem % 2:
            raise ConfigError(f"{self.features} features need an even d_mem, not {self.d_mem}")

    def _check_whole(self, name: str, least: int) -> None:
        value = getattr(self, name)
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ConfigError(f"{name} must be a whole number of at least {least}, not {value!r}")

    def _check_overlap_and_conv(self) -> None:
        size = self.segment_size
        for name in ("overlap", "conv", "conv_rank"):
            self._check_whole(name, least=0)
        if self.conv_rank and not self.conv:
            raise ConfigError("conv_rank is of the convolution: set conv, its taps")
        if self.overlap > size:
            raise ConfigError(f"an overlap of {self.overlap} ids is more than a segment of {size}")
        if self.bidirectional and (self.num_mem_tokens or not self.fold_tail):
            raise ConfigError("bidirectional needs num_mem_tokens 0 and fold_tail: no text is in view then")
        if self.reads_within and (self.num_mem_tokens or self.bidirectional or not self.fold_tail):
            raise ConfigError(
                "reads_within needs num_mem_tokens 0, fold_tail and text that is read from left to right"
            )
        for name in ("overlap", "fold_tail"):
            if getattr(self, name) and (self.wrap_pos or self.positions_run_on):
                raise ConfigError(f"{name} needs rotary positions: GPT-2 has a row for each")

    def _check_copying(self) -> None:
        self._check_whole("copying", least=0)
        if self.copying % 8 or self.copying > LONGEST_CODE:
            raise ConfigError(f"copying is a multiple of 8 up to {LONGEST_CODE}, not {self.copying}")
        if self.copying and (self.d_mem % 2 or self.d_mem > 2 * self.copying):
            raise ConfigError(
                f"copying {self.copying} needs an even d_mem up to twice as much, not {self.d_mem}: "
                "each half of a key can name a word by so much of its code"
            )
        if self.copying and (self.num_mem_tokens or self.bidirectional):
            raise ConfigError("copying needs num_mem_tokens 0 and text that is read from left to right")

    def _check_positions(self) -> None:
        """Refuse a segment that the backbone cannot see whole."""
        kind = self.backbone["model_type"]
        if self.wrap_pos and kind != "gpt2":
            raise ConfigError(f"wrap_pos is for gpt2, which has a table of positions, not for {kind}")
        length = self.overlap + self.segment_size + self.num_mem_tokens
        if kind == "gpt2":
            available = self._backbone_size("n_positions")
            needed = self.segment_size if self.wrap_pos else length
            if needed > available:
                raise ConfigError(f"a segment takes {needed} positions but the backbone has {available}")
        slides = kind == "mistral" or self.backbone.get("use_sliding_window", False)
        window = self.backbone.get("sliding_window") if slides else None
        if window is not None and window < length:
            raise ConfigError(
                f"a segment takes {length} tokens but the backbone's attention slides over {window} of them"
            )

    def _backbone_size(self, *names: str) -> int:
        for name in names:
            if name in self.backbone:
                return int(self.backbone[name])
        raise ConfigError(f"the backbone's config has none of {', '.join(names)}")

    @property
    def d_model(self) -> int:
        """Width of the residual stream."""
        return self._backbone_size("hidden_size", "n_embd")

    @property
    def num_layers(self) -> int:
        """Transformer blocks of the backbone, with a memory or without."""
        return self._backbone_size("num_hidden_layers", "n_layer")

    @property
    def d_key(self) -> int:
        """Entries of phi(k)."""
        half = self.d_mem // 2
        return {"dpfp": 2 * NU * self.d_mem, "product": half**2, "bind": half}[self.features]

    @property
    def d_value(self) -> int:
        """Entries of what is kept under a key: a value and, where tokens are copied, a code."""
        return self.d_model + self.copying

    @property
    def memory_layers(self) -> tuple[int, ...]:
        """Indices of the blocks that have a memory, in order."""
        flags = self.wrap_layers or (True,) * self.num_layers
        return tuple(i for i, flag in enumerate(flags) if flag)

    @property
    def overlap_fill(self) -> int:
        """The id that stands in the overlap before the first segment: the backbone's bos_token_id, or 0."""
        return int(self.backbone.get("bos_token_id") or 0)

    @property
    def positions_run_on(self) -> bool:
        """Whether position ids go on across segments, memory tokens counted (newest-era GPT-2)."""
        return self.write_rule == "official" and self.backbone["model_type"] == "gpt2"

    def to_dict(self) -> dict[str, Any]:
        """The config as plain JSON values, `backbone` nested.

        Options younger than the format are left out where they say nothing, so that fingerprints stay true.
        """
        values = dataclasses.asdict(self)
        for field in dataclasses.fields(self):
            if field.name in _YOUNGER and values[field.name] == field.default:
                del values[field.name]
        values["backbone"] = dict(self.backbone)
        values["wrap_layers"] = None if self.wrap_layers is None else list(self.wrap_layers)
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ArmtConfig:
        """The config that `to_dict` gave; an unknown option is refused by name."""
        known = {field.name for field in dataclasses.fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise ConfigError(f"unknown model options: {', '.join(unknown)}")
        flags = values.get("wrap_layers")
        return cls(**{**values, "wrap_layers": None if flags is None else tuple(bool(f) for f in flags)})
