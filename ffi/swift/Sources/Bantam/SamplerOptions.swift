// How tokens are chosen.
import CBantam

/// The settings of a sampler, with llama.cpp's names and defaults: nil is the default. They apply in the order of ``Stage``.
public struct SamplerOptions: Sendable, Hashable {
    /// A step of choosing, which changes or removes candidates.
    public enum Stage: UInt32, Sendable, CaseIterable {
        case penalties = 1
        case dry, topNSigma, topK, typicalP, topP, minP, xtc, temperature
    }

    /// Choosing that aims at a surprise.
    public struct Mirostat: Sendable, Hashable {
        public enum Version: Int32, Sendable { case one = 1, two }
        public var version: Version
        /// The surprise that it aims at.
        public var target: Float
        /// How fast it learns.
        public var rate: Float

        public init(_ version: Version, target: Float = 5, rate: Float = 0.1) {
            self.version = version
            self.target = target
            self.rate = rate
        }
    }

    /// Where the random draws start: the same seed gives the same tokens. Take a random one for answers that differ.
    public var seed: UInt64 = 0
    /// Divides the logits; 0 always takes the most likely token, nil is 0.8.
    public var temperature: Float?
    /// Keeps the most likely tokens until their probabilities add up to this; 1 keeps all, 0 the likeliest, nil is 0.95.
    public var topP: Float?
    /// Keeps so many most likely tokens; 0 keeps all, nil is 40.
    public var topK: Int?
    /// Keeps tokens at least this share as likely as the most likely one; nil is 0.05.
    public var minP: Float?
    /// Keeps the tokens whose information is nearest to the entropy; nil keeps all.
    public var typicalP: Float?
    /// Keeps tokens whose logit is at most so many standard deviations below the greatest; nil keeps all.
    public var topNSigma: Float?
    /// How often XTC is applied; nil is never.
    public var xtcProbability: Float?
    /// Of the tokens at least so likely XTC keeps only the least likely; nil is 0.1.
    public var xtcThreshold: Float?
    /// The temperature moves by up to this, after the entropy; nil does not.
    public var dynamicTemperatureRange: Float?
    /// How entropy becomes temperature; nil is 1.
    public var dynamicTemperatureExponent: Float?
    /// Divides positive logits of repeated tokens, and multiplies others; nil leaves them.
    public var repeatPenalty: Float?
    /// Taken from the logit of a repeated token, once.
    public var presencePenalty: Float?
    /// Taken from the logit of a repeated token for each time that it stands there.
    public var frequencyPenalty: Float?
    /// The tokens whose repetition is penalised: so many last ones; 0 is none, -1 all of the context, nil 64.
    public var repeatLastN: Int?
    /// Penalises what goes on with a repetition; nil does not.
    public var dryMultiplier: Float?
    /// Its base; nil is 1.75.
    public var dryBase: Float?
    /// The longest repetition that is let be; 0 is none, nil is 2.
    public var dryAllowedLength: Int?
    /// The tokens in which repetitions are looked for: so many last ones; 0 is none, -1 all of the context, nil 64.
    public var dryLastN: Int?
    /// Texts behind which DRY looks for no repetition; nil is line breaks, colons, quotes and asterisks.
    public var dryBreakers: [String]?
    /// Chooses by mirostat.
    public var mirostat: Mirostat?
    /// How many of the most likely tokens a choice tells of, at most 64: see ``Session/topLogprobs()``.
    public var topLogprobs: Int = 0
    /// Numbers that are added to the logits of some tokens; minus infinity forbids one.
    public var logitBias: [UInt32: Float] = [:]
    /// The stages and their order, those that are missing being off; nil is all.
    public var stages: [Stage]?

    public init(seed: UInt64 = 0, temperature: Float? = nil, topP: Float? = nil, topK: Int? = nil, minP: Float? = nil) {
        self.seed = seed
        self.temperature = temperature
        self.topP = topP
        self.topK = topK
        self.minP = minP
    }

    /// Always the most likely token.
    public static var greedy: SamplerOptions { SamplerOptions(temperature: 0) }

    /// The struct of C, whose pointers are `lent`'s.
    func c(_ lent: Lent) -> bantam_sampler_options {
        // In C 0 is the default: a negative number stands for 0 where that switches something off, the least number where it does not.
        func off(_ value: Float?) -> Float { value.map { $0 == 0 ? -1 : $0 } ?? 0 }
        func off(_ value: Int?) -> Int32 { value.map { $0 == 0 ? -1 : Int32(clamping: $0) } ?? 0 }
        func least(_ value: Float?) -> Float { value.map { $0 == 0 ? .leastNormalMagnitude : $0 } ?? 0 }
        var c = bantam_sampler_options.sized()
        c.seed = seed
        c.temperature = off(temperature)
        c.top_p = least(topP)
        c.top_k = off(topK)
        c.min_p = off(minP)
        c.typical_p = typicalP ?? 0
        c.top_n_sigma = topNSigma ?? 0
        c.xtc_probability = xtcProbability ?? 0
        c.xtc_threshold = least(xtcThreshold)
        c.dynatemp_range = dynamicTemperatureRange ?? 0
        c.dynatemp_exponent = least(dynamicTemperatureExponent)
        // What looks back at no tokens is not applied at all.
        if repeatLastN != 0 {
            c.repeat_penalty = repeatPenalty ?? 0
            c.presence_penalty = presencePenalty ?? 0
            c.frequency_penalty = frequencyPenalty ?? 0
        }
        c.repeat_last_n = Int32(clamping: repeatLastN ?? 0)
        c.dry_multiplier = dryLastN == 0 ? 0 : dryMultiplier ?? 0
        c.dry_base = dryBase ?? 0
        c.dry_allowed_length = off(dryAllowedLength)
        c.dry_last_n = Int32(clamping: dryLastN ?? 0)
        c.mirostat = mirostat?.version.rawValue ?? 0
        c.mirostat_target = mirostat.map { least($0.target) } ?? 0
        c.mirostat_rate = mirostat.map { least($0.rate) } ?? 0
        c.top_logprobs = UInt32(clamping: topLogprobs)
        if let dryBreakers {
            // No breaker at all is a list of none, which is something else than no list.
            c.dry_breakers = lent.texts(dryBreakers.isEmpty ? [""] : dryBreakers)
            c.dry_breaker_count = dryBreakers.count
        }
        let biases = logitBias.sorted { $0.key < $1.key }.map { bantam_bias(token: $0.key, bias: $0.value) }
        c.logit_bias = UnsafePointer(lent.array(biases))
        c.logit_bias_count = biases.count
        if let stages {
            c.stages = UnsafePointer(lent.array(stages.isEmpty ? [0] : stages.map(\.rawValue)))
            c.stage_count = stages.count
        }
        return c
    }
}

/// A sampler for choosing by hand: see ``Session/sample(_:)``. Answers bring their own.
public final class Sampler: Sendable {
    let handle: Handle

    public init(for model: Model, _ options: SamplerOptions = SamplerOptions()) throws {
        let lent = Lent()
        var c = options.c(lent)
        handle = try withExtendedLifetime(lent) {
            try model.handle.with { model in
                try Handle(free: { bantam_sampler_free($0) }) { bantam_sampler_new(model, &c, $0, $1) }
            }
        }
    }

    /// Starts over: the random numbers, and what mirostat has learnt.
    public func reset() throws {
        try handle.call { bantam_sampler_reset($0, $1) }
    }
}

/// A token that was chosen. The numbers are the model's own: before biases, penalties, grammars and temperature.
public struct Choice: Sendable, Hashable {
    public let token: UInt32
    /// The natural logarithm of its probability.
    public let logprob: Float
    /// The entropy of the distribution, in nats.
    public let entropy: Float
    /// By how much the log-probability of the most likely token is above that of the second.
    public let margin: Float
}

/// A token and the natural logarithm of its probability.
public struct TokenLogprob: Sendable, Hashable {
    public let token: UInt32
    public let logprob: Float
}
