// Choosing tokens by hand.
package bantam

/** A sampler: its settings, and its random numbers. For [Session.sample]; answers bring their own. One thread at a time may use it. */
public class Sampler @JvmOverloads @Throws(BantamException::class) constructor(model: Model, options: SamplerOptions = SamplerOptions()) : AutoCloseable {
    private val claim = Claim(
        this,
        Handle(
            Kind.SAMPLER,
            number { out ->
                model.handle.use { Native.samplerNew(it, options.numbers(), options.breakers(), options.biasTokens(), options.biases(), options.order(), out) }
            },
        ),
    )
    internal val handle: Handle get() = claim.handle

    /** Starts over: with the random numbers of its seed. */
    @Throws(BantamException::class)
    public fun reset(): Unit = handle.use { check(Native.samplerReset(it)) }

    override fun close(): Unit = claim.close()
}

/** A token that was chosen. The numbers are the model's own: before biases, penalties and temperature. */
public class Choice internal constructor(
    public val token: Int,
    /** The natural logarithm of its probability. */
    public val logprob: Float,
    /** The entropy of the distribution, in nats. */
    public val entropy: Float,
    /** By how much the log-probability of the most likely token is above that of the second. */
    public val margin: Float,
)
