"""Whether a job's sampling can be done at all, whatever the backend."""

from __future__ import annotations

import math

import msgspec

from mongarsd.ground.errors import BadRequest
from mongarsd.ground.sampling import SAMPLER_ORDER, Sampling

MAX_SAMPLERS = 32  # in one chain; there are 9 to choose from


def checked(sampling: Sampling, vocabulary: int) -> Sampling:
    """The same if every value is of its type and in its range. `vocabulary`: tokens.

    Raises BadRequest with the field in `param`.
    """
    try:
        msgspec.convert(msgspec.structs.asdict(sampling), Sampling)  # its ranges exclude NaN and infinity
    except msgspec.ValidationError as error:
        field = str(error).partition("$.")[2].partition("[")[0].strip("`")
        raise BadRequest(str(error), param=field or None) from error
    if unknown := [name for name in sampling.samplers if name not in SAMPLER_ORDER]:
        raise BadRequest(f"no sampler is named {unknown[0]!r}: {', '.join(SAMPLER_ORDER)} are", param="samplers")
    if len(sampling.samplers) > MAX_SAMPLERS:
        raise BadRequest(f"{len(sampling.samplers)} samplers: at most {MAX_SAMPLERS}", param="samplers")
    for token, bias in sampling.logit_bias:
        if not 0 <= token < vocabulary:
            raise BadRequest(f"token {token} is outside the vocabulary of {vocabulary}", param="logit_bias")
        if math.isnan(bias) or bias == math.inf:
            raise BadRequest(f"the bias of token {token} must be a number or -inf, not {bias}", param="logit_bias")
    return sampling
