"""Rounds the weights of a BERT one matrix after the other, so that each takes back what those before it have changed.

All floats run beside what is rounded so far. A matrix is first fitted to its rounded inputs (ridge regression towards what the
floats make), then rounded with its errors compensated; biases and norms, which stay floats, are fitted too. What the texts
are is no matter but for their variety: short ones weigh more, since they have fewer tokens to share an error.
"""

import random
import unicodedata

import numpy as np

import blocks_of_32

# Special tokens, and the first piece of words.
UNKNOWN, CLS, SEP, FIRST = 100, 101, 102, 999
# Ridges, as parts of the mean second moment: of the fit, and of the rounding.
RIDGE, DAMPING = 0.1, 0.01
# A token of a text of n tokens counts n ** -SHORT.
SHORT = 0.7
HEADS, EPS = 12, 1e-12


def words_of(text):
    """A text's words as BERT has them: small letters without accents, punctuation by itself."""
    text = "".join(c for c in unicodedata.normalize("NFD", text.lower()) if unicodedata.category(c) != "Mn")
    return "".join(f" {c} " if c.isascii() and c.isprintable() and not c.isalnum() else c for c in text).split()


def tokens_of(words, vocabulary):
    """The longest pieces of each word that the vocabulary has."""
    out = [CLS]
    for word in words:
        pieces, start = [], 0
        while start < len(word):
            end = len(word)
            while end > start and ("##" if start else "") + word[start:end] not in vocabulary:
                end -= 1
            if end == start:
                pieces = [UNKNOWN]
                break
            pieces.append(vocabulary[("##" if start else "") + word[start:end]])
            start = end
        out += pieces
    return [*out, SEP]


def drawn(count, pieces, dice):
    """Texts of pieces drawn from the vocabulary: frequent ones, those of one script, letters, signs, repetitions, unknown words."""
    scripts, letters, signs = {}, [], []
    for token, piece in list(enumerate(pieces))[FIRST:]:
        bare = piece.removeprefix("##")
        if not bare[0].isascii():
            scripts.setdefault(unicodedata.name(bare[0], "?").split()[0], []).append(token)
        elif len(bare) <= 2:
            letters.append(token)
        if len(bare) == 1 and not bare.isalnum():
            signs.append(token)
    scripts = [tokens for tokens in scripts.values() if len(tokens) >= 8]
    # The vocabulary is in the order of frequency.
    frequent = lambda: FIRST + int((len(pieces) - FIRST) * dice.random() ** 2.2)
    for _ in range(count):
        length, kind = dice.choice((1, 1, 1, 2, 2, 3, 4, 6, 9, 14, 22)), dice.random()
        if kind < 0.45:
            text = [frequent() for _ in range(length)]
        elif kind < 0.65:
            text = dice.choices(dice.choice(scripts), k=length)
        elif kind < 0.75:
            text = dice.choices(letters, k=length)
        elif kind < 0.82:
            text = dice.choices(signs, k=length)
        elif kind < 0.92:
            part = [frequent() if dice.random() < 0.7 else dice.choice(signs) for _ in range(dice.choice((1, 1, 1, 2, 3)))]
            text = (part * 24)[: max(2 * len(part), dice.choice((2, 3, 4, 8, 16, 24)))]
        else:
            text = [UNKNOWN if dice.random() < 0.6 else dice.choice(signs) if dice.random() < 0.5 else frequent() for _ in range(length)]
        yield [CLS, *text, SEP]


def cut(texts, vocabulary, most, dice):
    """Pieces of 1 to 40 words of longer texts, up to so many tokens."""
    words = [word for text in texts for word in text.split()]
    start = count = 0
    while start < len(words) and count < most:
        length = dice.choice((1, 2, 3, 5, 8, 12, 16, 24, 40))
        tokens = tokens_of(words_of(" ".join(words[start : start + length])), vocabulary)[:200]
        yield tokens
        start, count = start + length, count + len(tokens)


def gelu(x):
    """The Gaussian unit, by Abramowitz and Stegun 7.1.26; few rows at a time, which stay in the cache."""
    out = np.empty_like(x)
    for start in range(0, len(x), 64):
        y = x[start : start + 64]
        a = np.abs(y) * np.float32(0.5**0.5)
        t = 1 / (1 + np.float32(0.3275911) * a)
        p = np.float32(1.061405429) * t
        for factor in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
            p = (p + np.float32(factor)) * t
        out[start : start + 64] = np.float32(0.5) * (y + np.abs(y) * (1 - p * np.exp(-a * a)))
    return out


def standard(x):
    """Columns of mean 0 and deviation 1."""
    x = x - x.mean(axis=1, keepdims=True)
    return x / np.sqrt((x**2).mean(axis=1, keepdims=True) + EPS)


def in_bytes(x):
    """Activations as the kernels multiply them: 8 bits, a scale for each 32."""
    blocks = x.reshape(-1, 32)
    scale = np.abs(blocks).max(axis=1, keepdims=True) / 127
    return (np.rint(blocks_of_32.divided(blocks, scale)) * scale).reshape(x.shape)


class Calibration:
    """`weights` are those of the model by their names, `blocks_of` names the blocks of a matrix."""

    def __init__(self, weights, blocks_of, texts):
        self.weights, self.blocks_of = weights, blocks_of
        self.values, self.bytes = dict(weights), {}
        self.ids = np.concatenate(texts)
        self.places = np.concatenate([np.arange(len(text)) for text in texts])
        shares = np.repeat([len(text) ** -SHORT for text in texts], [len(text) for text in texts])
        self.shares = (shares / shares.mean()).astype(np.float32)[:, None]
        # The rows of texts of one length, so that they are attended to at once.
        ends, rows = np.cumsum([len(text) for text in texts]), {}
        for text, end in zip(texts, ends):
            rows.setdefault(len(text), []).append(np.arange(end - len(text), end))
        self.rows = [
            np.stack(same[i : i + 4096 // length + 1])
            for length, same in rows.items()
            for i in range(0, len(same), 4096 // length + 1)
        ]

    def embed(self, values):
        return values["token_embd.weight"][self.ids] + values["position_embd.weight"][self.places] + values["token_types.weight"][0]

    def attend(self, query, key, value):
        out = np.empty_like(query)
        for rows in self.rows:
            count, length = rows.shape
            q, k, v = (x[rows].reshape(count, length, HEADS, -1).transpose(0, 2, 1, 3) for x in (query, key, value))
            scores = q @ k.transpose(0, 1, 3, 2) / np.sqrt(np.float32(q.shape[-1]))
            scores = np.exp(scores - scores.max(axis=3, keepdims=True))
            out[rows] = (scores / scores.sum(axis=3, keepdims=True) @ v).transpose(0, 2, 1, 3).reshape(count, length, -1)
        return out

    def plain(self, name, x):
        return x @ self.weights[name + ".weight"].T + self.weights[name + ".bias"]

    def norm(self, name, x):
        return standard(x) * self.weights[name + ".weight"] + self.weights[name + ".bias"]

    def mean(self, x):
        return (self.shares * x).mean(axis=0)

    def input(self, x):
        """What the matrices that read `x` need of it: the bytes' values, their mean, the weighted rest, its second moments."""
        x = in_bytes(x)
        mean = self.mean(x)
        rest = x - mean
        weighted = rest * self.shares
        return x, mean, weighted, (weighted.T @ rest).astype(np.float64)

    def rounded(self, name, of, wanted):
        """Rounds a matrix so that it makes what is wanted of its input; what it makes."""
        x, mean, weighted, moments = of
        size = np.trace(moments) / len(moments) * np.eye(len(moments))
        target = self.mean(wanted)
        rows = self.weights[name + ".weight"].astype(np.float64)
        missing = ((wanted - target).T @ weighted).astype(np.float64) - rows @ moments
        rows = rows + np.linalg.solve(moments + RIDGE * size, missing.T).T
        made, self.bytes[name + ".weight"] = blocks_of_32.compensated(rows, moments + DAMPING * size, self.blocks_of(name))
        self.values[name + ".bias"] = bias = (target - mean @ made.T).astype(np.float32)
        return x @ made.T + bias

    def normed(self, name, x, wanted):
        """Fits a norm; what it makes."""
        x = standard(x)
        mean, target = self.mean(x), self.mean(wanted)
        rest = self.shares * (x - mean)
        gain = ((rest * (wanted - target)).sum(axis=0) / (rest * (x - mean)).sum(axis=0)).astype(np.float32)
        bias = (target - mean * gain).astype(np.float32)
        self.values[name + ".weight"], self.values[name + ".bias"] = gain, bias
        return x * gain + bias

    def run(self, layers, tell):
        """Rounds all layers."""
        # The weight of an embedding's column is what the norm behind it makes of it.
        table, gain = self.weights["token_embd.weight"], self.weights["token_embd_norm.weight"]
        made = blocks_of_32.nearest(table, self.blocks_of("token_embd"), gain**2 + np.float32(1e-6))
        self.values["token_embd.weight"], self.bytes["token_embd.weight"] = made
        x = self.norm("token_embd_norm", self.embed(self.weights))
        y = self.normed("token_embd_norm", self.embed(self.values), x)
        for layer in range(layers):
            name = f"blk.{layer}.".__add__
            of, exact, made = self.input(y), [], []
            for part in ("attn_q", "attn_k", "attn_v"):
                exact.append(self.plain(name(part), x))
                made.append(self.rounded(name(part), of, exact[-1]))
            # What is added to the stream makes up for what the stream itself has lost.
            x = x + self.plain(name("attn_output"), self.attend(*exact))
            y = y + self.rounded(name("attn_output"), self.input(self.attend(*made)), x - y)
            x = self.norm(name("attn_output_norm"), x)
            y = self.normed(name("attn_output_norm"), y, x)
            exact = self.plain(name("ffn_up"), x)
            made = gelu(self.rounded(name("ffn_up"), self.input(y), exact))
            x = x + self.plain(name("ffn_down"), gelu(exact))
            y = y + self.rounded(name("ffn_down"), self.input(made), x - y)
            x = self.norm(name("layer_output_norm"), x)
            y = self.normed(name("layer_output_norm"), y, x)
            tell(f"layer {layer + 1} of {layers}: square error {((x - y) ** 2).sum() / (x**2).sum():.4f}")
        return self.values, self.bytes
