// Who uses an object of C, and when it is freed: after the last call that uses it, and once. Also the net under those that nobody closed.
package bantam

import java.lang.ref.PhantomReference
import java.lang.ref.ReferenceQueue
import java.util.Collections
import java.util.concurrent.ConcurrentHashMap
import java.util.concurrent.locks.ReentrantLock
import kotlin.concurrent.withLock

/** What a handle is of; `free_handle` of jni/library.c has the same numbers. */
internal enum class Kind(val number: Int, val noun: String, val isShared: Boolean) {
    CANCEL(0, "cancel switch", true),
    MODEL(1, "model", true),
    GRAMMAR(2, "grammar", true),
    SESSION(3, "session", false),
    CHAT(4, "chat", false),
    POOL(5, "pool", true),
    SAMPLER(6, "sampler", false),
    ADAPTER(7, "adapter", true),
    EMBEDDER(8, "embedder", false),
}

/** A pointer of C's, and how many calls are using it. It does not know its owner, so that the owner can be collected. */
internal class Handle(val kind: Kind, private val pointer: Long) {
    private val lock = ReentrantLock()
    private val unused = lock.newCondition()
    private var users = 0
    private var isClosed = false
    private var isFreed = false

    /** Runs [call] with the pointer, which stays right until it returns. */
    inline fun <T> use(call: (Long) -> T): T {
        val pointer = enter()
        try {
            return call(pointer)
        } finally {
            leave()
        }
    }

    /** As [use]; null if it is closed. */
    inline fun <T> useIfOpen(call: (Long) -> T): T? {
        val pointer = enter(orNothing = true)
        if (pointer == 0L) return null
        try {
            return call(pointer)
        } finally {
            leave()
        }
    }

    fun enter(orNothing: Boolean = false): Long = lock.withLock {
        if (isClosed) {
            if (orNothing) return 0L
            throw BantamException(Code.HANDLE, "the ${kind.noun} is closed: open another")
        }
        // What C hands out of a session stays only until its next call, so that nobody else may make one while it is copied.
        if (!kind.isShared && users > 0) throw BantamException(Code.BUSY, "another thread uses the ${kind.noun}: call again when that call has returned")
        users++
        pointer
    }

    fun leave(): Unit = lock.withLock {
        users--
        if (users == 0) unused.signalAll()
        freeIfUnused()
    }

    /** Lets no call begin any more, and frees the object: now, or when the last call has returned. */
    fun close(): Unit = lock.withLock {
        isClosed = true
        freeIfUnused()
    }

    /** As [close], and waits until it is freed. */
    fun closeAndWait(): Unit = lock.withLock {
        isClosed = true
        while (users > 0) unused.awaitUninterruptibly()
        freeIfUnused()
    }

    private fun freeIfUnused() {
        if (!isClosed || isFreed || users > 0) return
        isFreed = true
        Native.free(kind.number, pointer)
    }
}

/** Runs [call] with the pointer, or 0 for none. */
internal inline fun <T> Handle?.useOrNone(call: (Long) -> T): T = if (this == null) call(0) else use(call)

/** Runs [call] with the pointers of all of them, which stay right until it returns. What may have one user only cannot be there twice. */
internal inline fun <T> List<Handle>.useAll(call: (LongArray) -> T): T {
    val pointers = LongArray(size)
    var entered = 0
    try {
        while (entered < size) {
            pointers[entered] = this[entered].enter()
            entered++
        }
        return call(pointers)
    } finally {
        for (i in 0 until entered) this[i].leave()
    }
}

/** The claim of an owner on its handle: closed by hand, or else when the owner is collected. */
internal class Claim(owner: Any, val handle: Handle) : PhantomReference<Any>(owner, Leaks.queue) {
    init {
        Leaks.watch(this)
    }

    fun close(wait: Boolean = false) {
        Leaks.forget(this)
        if (wait) handle.closeAndWait() else handle.close()
    }
}

/** A thread that frees what was collected without being closed. Whoever relies on it holds memory for longer than there is need. */
internal object Leaks {
    val queue = ReferenceQueue<Any>()
    private val claims: MutableSet<Claim> = Collections.newSetFromMap(ConcurrentHashMap())

    init {
        val thread = Thread({
            while (true) (queue.remove() as Claim).close()
        }, "bantam-leaks")
        thread.isDaemon = true
        thread.start()
    }

    fun watch(claim: Claim) {
        claims.add(claim)
    }

    fun forget(claim: Claim) {
        claims.remove(claim)
        claim.clear()
    }
}
