// Adapters: opened from anywhere, set, listed and taken away.
package bantam.tests

import bantam.Adapter
import bantam.Code
import bantam.Embedder
import bantam.Session
import bantam.SessionOptions
import bantam.TrimLevel
import java.io.ByteArrayOutputStream
import java.io.File
import java.io.RandomAccessFile
import java.nio.ByteBuffer
import java.nio.ByteOrder
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFalse
import kotlin.test.assertTrue

fun adapters(tests: Tests) {
    val file = adapterFile()

    fun opened(options: SessionOptions.() -> Unit = {}) = tests.opened.session(
        SessionOptions().apply {
            context = 64
            threads = 2
            adapterRank = 8
            options()
        },
    )

    fun Session.read(): FloatArray {
        prompt(PROMPT)
        return logits
    }

    tests.test("a session uses adapters at a scale, tells which, and is as before without them") {
        opened().use { session ->
            val plain = session.read()
            assertTrue(session.adapters.isEmpty())
            val adapter = Adapter.open(tests.opened, direct(file))
            assertEquals(listOf(4, 1, 0f), listOf<Any>(adapter.rank, adapter.matrices, adapter.alpha))
            session.setAdapters(adapter.scaled(1f))
            assertEquals(listOf(adapter to 1f), session.adapters.map { it.adapter to it.scale })
            assertEquals(0, session.info.position)
            val with = session.read()
            assertFalse(with.contentEquals(plain))
            // Twice half of it is as much; more than there is room for is refused, and changes nothing.
            session.setAdapters(adapter.scaled(0.5f), adapter.scaled(0.5f))
            val halves = session.read()
            val (same, other) = Embedder.similarity(with, halves) to Embedder.similarity(with, plain)
            assertTrue(same > 0.99f && same > other, "$same, $other")
            assertEquals(Code.ARGUMENT, code { session.setAdapters(adapter.scaled(1f), adapter.scaled(1f), adapter.scaled(1f)) })
            assertEquals(listOf(0.5f, 0.5f), session.adapters.map { it.scale })
            // Forks and copies have them too, and keep what they need of them.
            session.setAdapters(adapter.scaled(1f))
            session.read()
            session.fork().use { fork ->
                assertEquals(1, fork.adapters.size)
                adapter.close()
                assertContentEquals(with, fork.logits)
                fork.rewind(0)
                assertContentEquals(with, fork.read())
            }
            assertEquals(Code.HANDLE, code { session.setAdapters(adapter.scaled(1f)) })
            session.setAdapters()
            assertContentEquals(plain, session.read())
            assertTrue(session.adapters.isEmpty())
        }
    }

    tests.test("an adapter opens from a path, a descriptor and a buffer, and says what does not fit") {
        val path = File("adapter.gguf")
        path.writeBytes(file)
        tests.opened.adapter(path.path).use { byPath ->
            RandomAccessFile(path, "rw").use {
                it.seek(0)
                it.write(ByteArray(4) + file)
                Adapter.open(tests.opened, descriptorOf(path), 4, 0).use { byDescriptor -> assertEquals(byPath.fingerprint, byDescriptor.fingerprint) }
            }
        }
        assertEquals(Code.NOT_GGUF, code { tests.opened.adapter(path.path) })
        path.delete()
        assertEquals(Code.IO, code { tests.opened.adapter("no/such/🐓") })
        assertEquals(Code.INCONSISTENT, code { tests.opened.adapter(tests.model) })
        assertEquals(Code.ARGUMENT, code { Adapter.open(tests.opened, ByteBuffer.allocate(64)) })
        assertEquals(Code.NOT_GGUF, code { Adapter.open(tests.opened, ByteBuffer.allocateDirect(64)) })
        opened { adapterRank = 0 }.use { session ->
            Adapter.open(tests.opened, direct(file)).use { assertEquals(Code.ARGUMENT, code { session.setAdapters(it.scaled(1f)) }) }
        }
    }

    tests.test("adapters are opened, set and closed, and memory does not grow") {
        opened { threads = 1 }.use { session ->
            val buffer = direct(file)
            fun cycles(count: Int) = repeat(count) {
                Adapter.open(tests.opened, buffer).use { session.setAdapters(it.scaled(0.25f)) }
                session.setAdapters()
                session.trim(TrimLevel.SCRATCH)
            }
            cycles(100)
            grows("2000 adapters") { cycles(2000) }
        }
    }
}

private fun direct(bytes: ByteArray): ByteBuffer = ByteBuffer.allocateDirect(bytes.size).apply { put(bytes).flip() }

/** The bytes of an adapter of rank 4 for one matrix of the demo model. */
private fun adapterFile(): ByteArray {
    val out = ByteArrayOutputStream()
    fun put(bytes: Int, number: Number) = out.write(ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN).putLong(number.toLong()).array(), 0, bytes)
    fun put(text: String) {
        put(8, text.length)
        out.write(text.toByteArray())
    }
    out.write("GGUF".toByteArray())
    put(4, 3)
    put(8, 2)
    put(8, 3)
    for ((key, value) in listOf("general.type" to "adapter", "general.architecture" to "llama", "adapter.type" to "lora")) {
        put(key)
        put(4, 8)
        put(value)
    }
    val shapes = listOf(576 to 4, 4 to 576)
    for ((i, shape) in shapes.withIndex()) {
        put("blk.3.attn_q.weight.lora_" + "ab"[i])
        put(4, 2)
        put(8, shape.first)
        put(8, shape.second)
        put(4, 0)
        put(8, i * 4 * 4 * 576)
    }
    while (out.size() % 32 != 0) out.write(0)
    for (i in 0 until 2 * 4 * 576) put(4, ((i % 7) / 7f - 0.4f).toRawBits())
    return out.toByteArray()
}
