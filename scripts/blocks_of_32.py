"""Blocks of 32 weights as GGUF has them: their scales searched for, values rounded onto their steps, and bytes.

A block's parameters are the halves that its bytes begin with; `fit` finds those of the least weighted square error.
The layouts are drawn in kernels/src/blocks.rs.
"""

import numpy as np

# How far the range of steps is drawn in, of the range of a block's values.
DRAWN_IN = (0, 0.08, 0.16)


def halved(values):
    """As a half keeps them."""
    return values.astype(np.float16).astype(np.float32)


def divided(a, b):
    """`a / b`, and 0 where b is 0."""
    return np.divide(a, b, out=np.zeros(np.broadcast(a, b).shape, np.float32), where=b != 0)


class Steps:
    """Q4_1 and Q5_1: `least + scale * q`, with q of so many bits."""

    def __init__(self, bits):
        self.bits, self.most = bits, (1 << bits) - 1

    def fit(self, blocks, weights):
        low, high = blocks.min(axis=1, keepdims=True), blocks.max(axis=1, keepdims=True)
        weights = np.broadcast_to(weights, blocks.shape)
        total = weights.sum(axis=1, keepdims=True)
        mean = (weights * blocks).sum(axis=1, keepdims=True) / total
        best = None
        for from_low in DRAWN_IN:
            for from_high in DRAWN_IN:
                least = low + (high - low) * np.float32(from_low)
                scale = (high - (high - low) * np.float32(from_high) - least) / self.most
                for _ in range(2):
                    # The line of least squares through what the steps are for.
                    q = np.clip(np.rint(divided(blocks - least, scale)), 0, self.most)
                    mean_q = (weights * q).sum(axis=1, keepdims=True) / total
                    spread = (weights * q * q).sum(axis=1, keepdims=True) - total * mean_q**2
                    common = (weights * q * blocks).sum(axis=1, keepdims=True) - total * mean_q * mean
                    scale = np.divide(common, spread, out=scale.copy(), where=spread > 1e-12 * total)
                    least = mean - scale * mean_q
                found = (halved(scale), halved(least))
                error = (weights * (self.round(blocks, found) - blocks) ** 2).sum(axis=1, keepdims=True)
                best = better(best, (error, *found))
        return best[1:]

    def steps(self, values, parameters):
        scale, least = parameters
        return np.clip(np.rint(divided(values - least, scale)), 0, self.most)

    def round(self, values, parameters):
        scale, least = parameters
        return self.steps(values, parameters) * scale + least

    def bytes(self, blocks, parameters):
        q = self.steps(blocks, parameters).astype(np.uint8)
        parts = [half_bytes(parameter) for parameter in parameters]
        if self.bits == 5:
            parts.append(np.packbits(q >> 4, axis=1, bitorder="little"))
        return np.concatenate([*parts, q[:, :16] & 15 | (q[:, 16:] & 15) << 4], axis=1)


class Bytes:
    """Q8_0: `scale * q`, with q of eight bits and a sign."""

    def fit(self, blocks, _weights):
        return (halved(np.abs(blocks).max(axis=1, keepdims=True) / 127),)

    def round(self, values, parameters):
        return self.steps(values, parameters) * parameters[0]

    def steps(self, values, parameters):
        return np.clip(np.rint(divided(values, parameters[0])), -127, 127)

    def bytes(self, blocks, parameters):
        q = self.steps(blocks, parameters).astype(np.int8).view(np.uint8)
        return np.concatenate([half_bytes(parameters[0]), q], axis=1)


def better(best, found):
    """Of two fits the one with the less error, block by block."""
    if best is None:
        return found
    closer = found[0] < best[0]
    return tuple(np.where(closer, new, old) for new, old in zip(found, best))


def half_bytes(values):
    return values.astype("<f2").view(np.uint8).reshape(-1, 2)


def nearest(rows, blocks, weights=np.float32(1)):
    """A matrix rounded weight by weight: its values and its bytes. A weight of the error for each column is enough."""
    flat = rows.reshape(-1, 32)
    if np.ndim(weights):
        weights = np.tile(weights.reshape(-1, 32), (len(rows), 1))
    parameters = blocks.fit(flat, weights)
    values = blocks.round(flat, parameters).reshape(rows.shape).astype(np.float32)
    return values, blocks.bytes(flat, parameters).reshape(len(rows), -1)


def compensated(rows, curvature, blocks, sweeps=2):
    """A matrix of doubles rounded so that what it makes of its inputs stays near: the error of a column is taken back by those
    behind it, as the inputs' second moments `curvature` tell (GPTQ, Frantar et al. 2022); then columns are rounded
    again one by one, with all others as they are. Its values and its bytes."""
    count, width = rows.shape
    factor = upper(curvature)
    left, made, parameters = rows.copy(), np.empty_like(rows), []
    weights = (1 / np.diag(factor) ** 2).astype(np.float32)
    for start in range(0, width, 32):
        end = start + 32
        of_block = blocks.fit(left[:, start:end].astype(np.float32), weights[None, start:end])
        parameters.append(of_block)
        errors = np.empty((count, 32))
        for i in range(32):
            j = start + i
            made[:, j : j + 1] = blocks.round(left[:, j : j + 1].astype(np.float32), of_block)
            errors[:, i] = (left[:, j] - made[:, j]) / factor[j, j]
            left[:, j:end] -= errors[:, i : i + 1] * factor[j, j:end]
        left[:, end:] -= errors @ factor[start:end, end:]
    for _ in range(sweeps):
        slope = (made - rows) @ curvature
        for start in range(0, width, 32):
            end = start + 32
            own, before = slope[:, start:end].copy(), made[:, start:end].copy()
            for i in range(32):
                j = start + i
                wanted = (made[:, j] - own[:, i] / curvature[j, j])[:, None].astype(np.float32)
                new = blocks.round(wanted, parameters[start // 32])[:, 0]
                own += (new - made[:, j])[:, None] * curvature[j, start:end]
                made[:, j] = new
            slope += (made[:, start:end] - before) @ curvature[start:end]
    flat = made.reshape(-1, 32).astype(np.float32)
    # Blocks in the order of the file: all of a row, then those of the next.
    ordered = [np.concatenate(column, axis=1).reshape(-1, 1) for column in zip(*parameters)]
    return made.astype(np.float32), blocks.bytes(flat, tuple(ordered)).reshape(count, -1)


def upper(curvature):
    """The upper factor of the inverse: what is left to take an error back once the columns before are rounded."""
    inverse = np.linalg.inv(curvature)
    return np.linalg.cholesky((inverse + inverse.T) / 2).T
