"""What an encoder is made from, as plain data: no torch here, so that an engine can plan in a moment."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from numbers import Integral, Real

from memlib.store import digest

RECIPE = 1  # changes when the meaning of training, or of a default below, does; refactoring leaves it

FRAMEWORKS = ("simclr", "simsiam", "byol", "dino", "mae", "supervised")
ARCHITECTURES = ("resnet9", "resnet18", "resnet34", "resnet50", "vit_tiny", "vit_base")
AUGMENTATIONS = ("weak", "normal", "strong", "independent", "masking", "crop", "none")
OPTIMIZERS = ("adamw", "lars", "sgd")
STEMS = ("7x7", "3x3")
PATCHES = {"vit_tiny": 4, "vit_base": 16}  # pixels, where a spec says none
POINTWISE = ("mae", "supervised")  # losses that are a mean over points: only these have a gradient of each point
PRECISIONS = ("auto", "float32", "bfloat16")
LEAST_EPSILON = 0.01
POINTS = ("all", "f", "g", "half:k/K", "half:k", "without:shared", "without:candidates", "without:independent")


def nearest(name: object, allowed: Iterable[str], what: str) -> KeyError:
    """The error for an unknown name, with the names that exist and the nearest of them.

    Returns:
        A `KeyError` to raise.
    """
    allowed = list(allowed)
    lower = {a.lower(): a for a in allowed}
    close = difflib.get_close_matches(str(name).lower(), lower, n=1, cutoff=0.4)
    hint = f"; did you mean {lower[close[0]]!r}?" if close else ""
    return KeyError(f"unknown {what} {name!r}: allowed are {', '.join(map(repr, allowed))}{hint}")


def is_whole(value: object, least: int) -> bool:
    """Whether a value is an integer, Python's or numpy's, of `least` or more; truth values are none."""
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= least


def half(points: str) -> tuple[int, int] | None:
    """(k, K) of the points `half:k/K`, or `half:k` of as many as it takes; None for other names of points."""
    match = re.fullmatch(r"half:(\d+)(?:/(\d+))?", points)
    return (int(match[1]), int(match[2] or int(match[1]) // 2 * 2 + 2)) if match else None


@dataclass(frozen=True)
class EncoderSpec:
    """Everything that decides an encoder's weights, but the images, which its key takes by their fingerprint.

    `points` names the training points: `f` (S_S and S_C) and `g` (S_S and S_I) of
    `split_points(n, shared, candidates, split_seed)`; `half:k/K`, the k-th of K halves in complementary
    pairs, or `half:k` where nobody counts them; `all`; or `without:candidates` and the like. `subset` first
    draws that many points of the data set, and `pool` says which of the disjoint draws. An encoder of 0 epochs
    is untrained.

    Raises:
        KeyError: A name is unknown.
        ValueError: A value is out of its range.
    """

    framework: str = "simclr"
    arch: str = "resnet9"
    dataset: str = "cifar10"
    points: str = "all"
    subset: int | None = None
    shared: int = 0
    candidates: int = 0
    split_seed: int = 0
    seed: int = 0
    epochs: int = 100
    batch: int = 128
    optimizer: str = "adamw"
    lr: float = 3e-3
    weight_decay: float = 1e-2
    warmup: float = 0.1  # share of the epochs, as the paper's 60 of 600
    temperature: float = 0.5  # not stated by the papers: SimCLR's own for CIFAR10
    augment: str = "normal"
    flip: float = 0.5  # printed as 1, which is no randomness at all
    size: int = 32
    precision: str = "auto"  # bfloat16 autocast where the processor has it
    stem: str = "7x7"  # of ResNet18 to 50: stride 2 and a max pool, as the papers; "3x3" keeps small images large
    patch: int | None = None  # pixels of a ViT's patch; None: 4 for ViT-Tiny, 16 for ViT-Base
    mask: float = 0.75  # share of the patches that MAE hides
    momentum: float = 0.996  # of the teachers of BYOL and DINO at the start; a cosine to 1
    prototypes: int = 4096  # outputs of DINO's head; the paper's 65,536 are for a million images
    stop: int | None = None  # epochs after which training ends, the schedule being that of `epochs`
    until: float | None = None  # accuracy of the linear probe at which training ends
    check: int = 10  # epochs between two looks at the probe
    epsilon: float | None = None  # of differential privacy (DP-SGD); None: not private
    delta: float = 1e-5
    clip: float = 1.0  # norm of a point's gradient, of DP-SGD
    pool: int = 0  # which of the disjoint sets of `subset` points

    def __post_init__(self) -> None:
        for field in fields(self):  # numpy's numbers are plain ones from here on
            value = getattr(self, field.name)
            if isinstance(value, Real) and not isinstance(value, int | float):
                object.__setattr__(self, field.name, int(value) if isinstance(value, Integral) else float(value))
        for name, allowed in (
            ("framework", FRAMEWORKS),
            ("arch", ARCHITECTURES),
            ("augment", AUGMENTATIONS),
            ("optimizer", OPTIMIZERS),
            ("precision", PRECISIONS),
            ("stem", STEMS),
        ):
            if getattr(self, name) not in allowed:
                raise nearest(getattr(self, name), allowed, name)
        if self.points not in POINTS and (not isinstance(self.points, str) or half(self.points) is None):
            raise nearest(self.points, POINTS, "points")
        for name, low, high in (
            ("shared", 0, None),
            ("candidates", 0, None),
            ("seed", 0, 2**31),
            ("split_seed", 0, 2**31),
            ("epochs", 0, None),
            ("batch", 2, None),
            ("size", 16, None),
            ("lr", 0.0, None),
            ("weight_decay", 0.0, None),
            ("warmup", 0.0, 1.0),
            ("temperature", 1e-4, None),
            ("flip", 0.0, 1.0),
            ("momentum", 0.0, 1.0),
            ("prototypes", 2, None),
            ("check", 1, None),
            ("pool", 0, None),
        ):
            value, kind = getattr(self, name), type(low)
            if isinstance(value, bool) or not isinstance(value, (int, kind)):
                raise ValueError(f"{name}={value!r}: allowed is {'an integer' if kind is int else 'a number'}")
            # NaN is not >= anything
            if not value >= low or value == float("inf") or (high is not None and value > high):
                raise ValueError(
                    f"{name}={value!r}: allowed is {low} or more" + ("" if high is None else f", {high} at most")
                )
        for name, whole in (("patch", True), ("subset", True), ("stop", True), ("epsilon", False), ("until", False)):
            value, kinds = getattr(self, name), (int,) if whole else (int, float)
            if value is not None and (isinstance(value, bool) or not isinstance(value, kinds)):
                raise ValueError(f"{name}={value!r}: allowed is None, or {'an integer' if whole else 'a number'}")
        for name, low, high in (("mask", 0.0, 1.0), ("delta", 0.0, 1.0), ("clip", 0.0, float("inf"))):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not low < value < high:
                raise ValueError(f"{name}={value!r}: allowed is a number above {low:g} and below {high:g}")
        self._check_parts()
        if self.subset is not None and self.subset < 2:
            raise ValueError(f"subset={self.subset!r}: allowed is None (all points) or 2 and more")
        if self.pool and self.subset is None:
            raise ValueError(
                f"pool={self.pool} with subset=None: a pool is one of the draws of `subset` points; state it"
            )
        if self.points in ("f", "g") and not self.candidates:
            raise ValueError(
                f"points={self.points!r} with candidates=0: f and g would see the same points; "
                "state candidates (and shared) as in the paper's split, or take points='all'"
            )
        if part := half(self.points):
            k, of = part
            if of < 2 or of % 2 or k >= of:
                raise ValueError(
                    f"points={self.points!r}: allowed is half:k/K with K even, as halves come in pairs, and k < K"
                )

    def _check_parts(self) -> None:
        """What does not go together."""
        vit, views = self.arch in PATCHES, f"framework={self.framework!r}"
        if not vit and self.patch is not None:
            raise ValueError(f"patch={self.patch} with arch={self.arch!r}: allowed with {', '.join(PATCHES)}")
        if vit and (self.size_of_patch < 1 or self.size % self.size_of_patch):
            fits = [str(p) for p in range(1, self.size + 1) if self.size % p == 0]
            raise ValueError(
                f"patch={self.size_of_patch} does not divide size={self.size}: allowed are {', '.join(fits)}"
            )
        if self.stem != "7x7" and self.arch not in ("resnet18", "resnet34", "resnet50"):
            raise ValueError(f"stem={self.stem!r} with arch={self.arch!r}: allowed with resnet18, resnet34, resnet50")
        if self.framework == "mae" and not vit:
            raise ValueError(f"{views} with arch={self.arch!r}: it hides patches; allowed are {', '.join(PATCHES)}")
        if self.framework == "mae" and not 1 <= self.kept < self.patches:
            raise ValueError(
                f"mask={self.mask} keeps {self.kept} of the {self.patches} patches of patch={self.size_of_patch} at "
                f"size={self.size}: allowed is to keep one or more and to hide one or more; take smaller patches, or "
                "another share"
            )
        if self.framework == "dino" and self.arch == "resnet9" and self.size < 32:
            raise ValueError(
                f"size={self.size} with {views} and arch='resnet9': small crops of half the size are too small for "
                "its four halvings; allowed is 32 or more"
            )
        if self.optimizer == "lars" and not self.weight_decay:
            raise ValueError(
                "weight_decay=0 with optimizer='lars': lightly's LARS adapts no learning rate without decay, and "
                "would be plain SGD; allowed is above 0, such as 1e-6"
            )
        if self.stop is not None and not 0 <= self.stop <= self.epochs:
            raise ValueError(f"stop={self.stop!r}: allowed is None, or 0 to epochs={self.epochs}")
        if self.until is not None and not 0 < self.until <= 1:
            raise ValueError(f"until={self.until!r}: allowed is None, or an accuracy above 0 and up to 1")
        if self.until is not None and self.check > self.end:
            raise ValueError(
                f"until={self.until:g} with check={self.check} and {self.end} epochs: the probe would never be "
                f"looked at; allowed is {f'check=1 to {self.end}, or ' if self.end else ''}until=None"
            )
        if self.epsilon is None:
            return
        if not LEAST_EPSILON <= self.epsilon < float("inf"):  # accounting for less takes minutes to hours
            raise ValueError(
                f"epsilon={self.epsilon!r}: allowed is None (not private), or a number of {LEAST_EPSILON} or more"
            )
        if self.framework not in POINTWISE:
            raise ValueError(
                f"epsilon={self.epsilon:g} with {views}: its loss compares points of a batch, so that no point has a "
                f"gradient of its own; allowed are {', '.join(POINTWISE)}"
            )
        if not vit:
            raise ValueError(
                f"epsilon={self.epsilon:g} with arch={self.arch!r}: BatchNorm mixes the points of a batch; "
                f"allowed are {', '.join(PATCHES)}"
            )

    @property
    def size_of_patch(self) -> int:
        """Pixels of a patch's side; 0 for encoders that have no patches."""
        return PATCHES.get(self.arch, 0) if self.patch is None else self.patch

    @property
    def patches(self) -> int:
        """Patches of an image."""
        return (self.size // self.size_of_patch) ** 2

    @property
    def kept(self) -> int:
        """Patches of an image that MAE's encoder sees in training."""
        return self.patches - round(self.mask * self.patches)

    @property
    def end(self) -> int:
        """Epochs after which training ends."""
        return self.epochs if self.stop is None else self.stop

    @classmethod
    def of(cls, values: dict) -> EncoderSpec:
        """The spec of plain values, as a file or a header holds them.

        Raises:
            KeyError: A field is unknown.
        """
        names = [field.name for field in fields(cls)]
        for name in values:
            if name not in names:
                raise nearest(name, names, "field of an encoder's spec")
        return cls(**values)

    def values(self) -> dict:
        """The fields as plain values."""
        return asdict(self)

    def identity(self) -> dict:
        """What keys are made of: the values that are not the default, so that a new field changes no key."""
        chosen = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}
        return {"recipe": RECIPE, **chosen}

    @property
    def digest(self) -> str:
        """The name of this spec before its images are known: 16 hexadecimal digits."""
        return digest(self.identity())

    def key(self, fingerprint: str) -> str:
        """The key of the encoder trained from this spec on images of that fingerprint."""
        return digest({"images": fingerprint, **self.identity()})
