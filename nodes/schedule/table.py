"""The one table: sampler × spacing → a diffusers scheduler class and its flags, in the field's names.

A sampler says how one step is taken, a spacing where the steps lie between pure noise and the picture. Not every pair
exists: a class that only knows evenly spaced timesteps has no Karras spacing, a flow model has no betas. `cell` gives
what a pair means for a prediction type, or raises with the reason in one sentence. Nothing here imports torch;
`docs/samplers.md` is `document()`.

Sources: spacings in Lin et al. 2023 (arXiv 2305.08891), table 2; karras in Karras et al. 2022 (2206.00364), eq. 5;
beta in Lee et al. 2024 (2407.12173).
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Literal, get_args

from engine.errors import WeftError, refuse

Sampler = Literal[
    "euler",
    "euler_ancestral",
    "heun",
    "dpm_2",
    "dpm_2_ancestral",
    "lms",
    "dpmpp_2m",
    "dpmpp_2m_sde",
    "dpmpp_3m_sde",
    "dpmpp_sde",
    "ddim",
    "ddpm",
    "lcm",
    "uni_pc",
    "deis",
    "pndm",
    "tcd",
]
Spacing = Literal["normal", "karras", "exponential", "sgm_uniform", "simple", "beta", "ddim_uniform"]

SAMPLERS: tuple[str, ...] = get_args(Sampler)
SPACINGS: tuple[str, ...] = get_args(Spacing)

Flags = Mapping[str, Any]
_NONE: Flags = MappingProxyType({})

# What a spacing is called in diffusers, for the classes that have `timestep_spacing`: both ends included (linspace),
# the last one (trailing), or the first (leading). `sgm_uniform` and `simple` differ by less than one timestep there.
_EVEN: Mapping[str, Flags] = {
    "normal": {"timestep_spacing": "linspace"},
    "sgm_uniform": {"timestep_spacing": "trailing"},
    "simple": {"timestep_spacing": "trailing"},
    "ddim_uniform": {"timestep_spacing": "leading"},
}
_SIGMAS: Mapping[str, str] = {
    "karras": "use_karras_sigmas",
    "exponential": "use_exponential_sigmas",
    "beta": "use_beta_sigmas",
}
_OFF: Flags = dict.fromkeys(_SIGMAS.values(), False)
_EVEN_ONLY = "{cls} places its steps evenly in time and has no {spacing} spacing"
_ALWAYS_BETA = {"beta": ("scipy",)}


@dataclass(frozen=True)
class Cell:
    """What one pair means: a diffusers class, the flags to give it, and how its steps are laid out.

    `even` asks for sigmas 1, 1 - 1/n, ..., 1/n before the shift, where the class takes sigmas and no flag.
    """

    cls: str
    flags: Flags
    even: bool = False


@dataclass(frozen=True)
class Way:
    """One scheduler class for a sampler: its flags, its spacings, and why it has no others."""

    cls: str
    flags: Flags = field(default_factory=dict)
    spacings: Mapping[str, Flags] = field(default_factory=dict)
    even: frozenset[str] = frozenset()
    needs: tuple[str, ...] = ()
    no: str = _EVEN_ONLY


@dataclass(frozen=True)
class Method:
    """A sampler: its class for models that predict noise (epsilon, v, sample), and for those that predict a flow."""

    about: str
    noise: Way
    flow: Way | None = None
    no_flow: str = ""
    eta: float | None = None  # its own default, where `eta` means something
    draws: bool = False  # fresh noise in each step
    zero_snr: bool = False  # its class can start from zero terminal SNR
    predicts: tuple[str, ...] = ("epsilon", "v_prediction", "sample")
    most_steps: int = 1000
    twice: bool = False  # asks the model twice a step, but for the last
    once_more: bool = False  # asks it once more than it has steps
    few: bool = False  # for weights distilled to few steps


def _full() -> Mapping[str, Flags]:
    """All spacings. Karras and its kin replace the sigmas, over the whole range of the training."""
    even = {name: {**flags, **_OFF} for name, flags in _EVEN.items()}
    return {**even, **{name: {**_EVEN["normal"], **_OFF, flag: True} for name, flag in _SIGMAS.items()}}


def _flow_sigmas() -> Mapping[str, Flags]:
    even = {name: _OFF for name in ("normal", "simple", "sgm_uniform")}
    return {**even, **{name: {**_OFF, flag: True} for name, flag in _SIGMAS.items()}}


# DDIM and PNDM step by 1000 // n whatever the spacing, which is only consistent with steps laid out so: their `normal`
# is diffusers' own default for them, and not linspace, where each step would land beside the next one's noise level.
_STRIDE: Mapping[str, Flags] = {**_EVEN, "normal": _EVEN["ddim_uniform"]}

_DISTILLED = dict.fromkeys(("normal", "simple", "sgm_uniform"), _NONE)
_NOT_DISTILLED = "{cls} only knows the timesteps its weights were distilled on, so {spacing} has no meaning"
_FLOW_OWN = "{cls} spaces a flow model's steps itself and has no {spacing} spacing"
_FLOW_FLAGS: Flags = {"prediction_type": "flow_prediction", "use_flow_sigmas": True, **_OFF}
_FLOW_EVEN = dict.fromkeys(("normal", "simple", "sgm_uniform"), _NONE)
_NO_FLOW = "{sampler} is derived for diffusion with betas; a flow model has none"
_EVEN_FLOW = frozenset({"simple", "sgm_uniform"})


def _multistep(order: int, algorithm: str) -> Flags:
    return {"solver_order": order, "algorithm_type": algorithm}


METHODS: Mapping[str, Method] = MappingProxyType(
    {
        "euler": Method(
            "The reliable default: one first-order step of the ODE (Karras et al. 2022, alg. 2).",
            Way("EulerDiscreteScheduler", spacings=_full()),
            Way("FlowMatchEulerDiscreteScheduler", spacings=_flow_sigmas(), even=_EVEN_FLOW, no=_FLOW_OWN),
            zero_snr=True,
        ),
        "euler_ancestral": Method(
            "Euler with fresh noise in each step: varied, does not converge with more steps.",
            Way("EulerAncestralDiscreteScheduler", spacings=_EVEN),
            no_flow="{sampler} scales its noise for diffusion; diffusers has no flow form of it",
            draws=True,
            zero_snr=True,
        ),
        "heun": Method(
            "Second order, two evaluations a step (Karras et al. 2022, alg. 1).",
            Way("HeunDiscreteScheduler", spacings=_full()),
            Way("FlowMatchHeunDiscreteScheduler", spacings={"normal": _NONE}, no=_FLOW_OWN),
            twice=True,
        ),
        "dpm_2": Method(
            "Second order with a midpoint, two evaluations a step (Karras et al. 2022).",
            Way("KDPM2DiscreteScheduler", spacings=_full()),
            no_flow=_NO_FLOW,
            twice=True,
        ),
        "dpm_2_ancestral": Method(
            "dpm_2 with fresh noise in each step.",
            Way("KDPM2AncestralDiscreteScheduler", spacings=_full()),
            no_flow=_NO_FLOW,
            draws=True,
            twice=True,
        ),
        "lms": Method(
            "Linear multistep over the last four predictions.",
            Way("LMSDiscreteScheduler", spacings=_full(), needs=("scipy",)),
            no_flow=_NO_FLOW,
        ),
        "dpmpp_2m": Method(
            "DPM-Solver++ of second order (Lu et al. 2022); with karras the best quality for its time.",
            Way("DPMSolverMultistepScheduler", _multistep(2, "dpmsolver++"), _full()),
            Way(
                "DPMSolverMultistepScheduler", {**_multistep(2, "dpmsolver++"), **_FLOW_FLAGS}, _FLOW_EVEN, no=_FLOW_OWN
            ),
            zero_snr=True,
        ),
        "dpmpp_2m_sde": Method(
            "The SDE form of dpmpp_2m: fresh noise in each step.",
            Way("DPMSolverMultistepScheduler", _multistep(2, "sde-dpmsolver++"), _full()),
            Way(
                "DPMSolverMultistepScheduler",
                {**_multistep(2, "sde-dpmsolver++"), **_FLOW_FLAGS},
                _FLOW_EVEN,
                no=_FLOW_OWN,
            ),
            draws=True,
            zero_snr=True,
        ),
        "dpmpp_3m_sde": Method(
            "The SDE form of DPM-Solver++ of third order.",
            Way("DPMSolverMultistepScheduler", _multistep(3, "sde-dpmsolver++"), _full()),
            no_flow="{sampler} is only tried on diffusion in diffusers; dpmpp_2m_sde has a flow form",
            draws=True,
            zero_snr=True,
        ),
        "dpmpp_sde": Method(
            "DPM-Solver++ on Brownian paths, two evaluations a step.",
            Way("DPMSolverSDEScheduler", spacings=_full(), needs=("scipy", "torchsde")),
            no_flow=_NO_FLOW,
            draws=True,
            twice=True,
        ),
        "ddim": Method(
            "Deterministic and invertible (Song et al. 2020, eq. 12); eta > 0 adds noise.",
            Way("DDIMScheduler", spacings=_STRIDE),
            no_flow=_NO_FLOW,
            eta=0.0,
            zero_snr=True,
        ),
        "ddpm": Method(
            "The ancestral chain of the training itself (Ho et al. 2020, eq. 7); needs many steps.",
            Way("DDPMScheduler", spacings=_EVEN),
            no_flow=_NO_FLOW,
            draws=True,
            zero_snr=True,
        ),
        "lcm": Method(
            "4 to 8 steps, with weights or a LoRA distilled for it (Luo et al. 2023); CFG 1 to 2.",
            Way("LCMScheduler", spacings=_DISTILLED, no=_NOT_DISTILLED),
            Way("FlowMatchLCMScheduler", spacings=_flow_sigmas(), even=_EVEN_FLOW, no=_FLOW_OWN),
            draws=True,
            zero_snr=True,
            most_steps=50,
            few=True,
        ),
        "uni_pc": Method(
            "Predictor and corrector (Zhao et al. 2023): good at few steps.",
            Way("UniPCMultistepScheduler", spacings=_full()),
            Way("UniPCMultistepScheduler", _FLOW_FLAGS, _FLOW_EVEN, no=_FLOW_OWN),
            zero_snr=True,
        ),
        "deis": Method(
            "Exponential integrator (Zhang & Chen 2022).",
            Way("DEISMultistepScheduler", spacings=_full()),
            no_flow="{sampler} in diffusers stops a flow model one step before its noise is gone",
        ),
        "pndm": Method(
            "Pseudo linear multistep, what SD 1.x shipped with (Liu et al. 2022); one evaluation more than steps.",
            Way("PNDMScheduler", {"skip_prk_steps": True}, _STRIDE),
            no_flow=_NO_FLOW,
            predicts=("epsilon", "v_prediction"),
            once_more=True,
        ),
        "tcd": Method(
            "2 to 8 steps, with weights or a LoRA distilled for it (Zheng et al. 2024); eta is its gamma.",
            Way("TCDScheduler", spacings=_DISTILLED, no=_NOT_DISTILLED),
            no_flow=_NO_FLOW,
            eta=0.3,
            draws=True,
            zero_snr=True,
            most_steps=50,
            few=True,
        ),
    }
)


@lru_cache(maxsize=16)
def installed(package: str) -> bool:
    """Is an optional package there? Looked up, never imported."""
    return importlib.util.find_spec(package) is not None


def cell(sampler: str, spacing: str, flow: bool = False) -> Cell:
    """The class and flags of a pair, or a `WeftError` that says in one sentence why there is none."""
    if sampler not in METHODS:
        raise refuse(f"there is no sampler '{sampler}'", socket="sampler", mend=f"choose one of {', '.join(METHODS)}")
    if spacing not in SPACINGS:
        raise refuse(
            f"there is no spacing '{spacing}'", socket="scheduler", mend=f"choose one of {', '.join(SPACINGS)}"
        )
    method = METHODS[sampler]
    way = method.flow if flow else method.noise
    if way is None:
        able = ", ".join(name for name, other in METHODS.items() if other.flow)
        raise refuse(
            "the model predicts a flow, and " + method.no_flow.format(sampler=sampler),
            socket="sampler",
            mend=f"choose one of {able}",
        )
    if spacing not in way.spacings:
        raise refuse(
            f"{sampler} cannot run with {spacing}: " + way.no.format(cls=way.cls, spacing=spacing),
            socket="scheduler",
            mend=f"choose one of {', '.join(way.spacings)}",
        )
    for package in (*way.needs, *_ALWAYS_BETA.get(spacing, ())):
        if not installed(package):
            where = "sampler" if package in way.needs else "scheduler"
            name = sampler if package in way.needs else spacing
            raise refuse(
                f"{name} needs the package {package}, which is not installed",
                socket=where,
                mend=f"run: pip install {package}",
            )
    return Cell(way.cls, {**way.flags, **way.spacings[spacing]}, spacing in way.even)


def document() -> str:
    """`docs/samplers.md`: the table for people, made from the table for the program.

    Packages that are missing here are named and not left out, so that the page is the same on every machine.
    """
    lines = [
        "# Samplers and spacings",
        "",
        "Made from `nodes/schedule/table.py`; a test keeps the two the same. A sampler says how one step is taken, a",
        "spacing where the steps lie between noise and picture. Pairs that are not here are refused with the reason.",
        "",
        "| sampler | character | diffusers | with | flow models: diffusers | with |",
        "|---|---|---|---|---|---|",
    ]
    for name, method in METHODS.items():
        cells = [f"`{name}`", method.about + _notes(method)]
        for way in (method.noise, method.flow):
            cells += [f"`{way.cls}`", " · ".join(way.spacings)] if way else ["–", "–"]
        lines.append("| " + " | ".join(cells) + " |")
    lines += [
        "",
        "| spacing | where the steps lie | flag |",
        "|---|---|---|",
        *(f"| `{name}` | {where} | {flag} |" for name, (where, flag) in _PLACES.items()),
        "",
        "`ddim` and `pndm` step by 1000 / n whatever the spacing, so their `normal` is `ddim_uniform`. `lcm` and `tcd`",
        "have the timesteps they were distilled on. A flow model's spacing is even before the model's shift.",
        "",
        "Known elsewhere and not here, because diffusers has no scheduler of the kind: `dpmpp_2s_ancestral`,",
        "`dpm_fast`, `dpm_adaptive`, `res_multistep`, `er_sde`, `gradient_estimation`. `ipndm` there is made for other",
        "models than these. `dpmpp_2m` stands in for the first three, `uni_pc` or `deis` for the others.",
    ]
    return "\n".join(lines) + "\n"


_PLACES: Mapping[str, tuple[str, str]] = {
    "normal": ("even in time, from the first timestep to the last", '`timestep_spacing="linspace"`'),
    "karras": ("sigma^(1/7) even (Karras et al. 2022, eq. 5): more steps at little noise", "`use_karras_sigmas`"),
    "exponential": ("log sigma even", "`use_exponential_sigmas`"),
    "sgm_uniform": ("even in time, the last timestep left out", '`timestep_spacing="trailing"`'),
    "simple": ("as `sgm_uniform`, under its other name", '`timestep_spacing="trailing"`'),
    "beta": ("quantiles of Beta(0.6, 0.6) (Lee et al. 2024); needs scipy", "`use_beta_sigmas`"),
    "ddim_uniform": ("even in time, the first timestep left out", '`timestep_spacing="leading"`'),
}


def _notes(method: Method) -> str:
    notes = [f"needs {' and '.join(method.noise.needs)}"] if method.noise.needs else []
    if method.eta is not None:
        notes.append(f"eta {method.eta:g} unless given")
    if method.most_steps < 1000:
        notes.append(f"at most {method.most_steps} steps")
    return f" ({'; '.join(notes)})" if notes else ""


def pairs(flow: bool = False) -> list[tuple[str, str]]:
    """Every pair that can run here, in the table's order."""
    return [(sampler, spacing) for sampler in SAMPLERS for spacing in SPACINGS if not reason(sampler, spacing, flow)]


def reason(sampler: str, spacing: str, flow: bool = False) -> str:
    """Why a pair cannot run here, or an empty string when it can."""
    try:
        cell(sampler, spacing, flow)
    except WeftError as error:
        return error.problem.message
    return ""
