// Embedders: vectors beside those of sentence-transformers, scores, and being stopped.
package bantam.tests

import bantam.BantamException
import bantam.Code
import bantam.Embedder
import bantam.EmbedderOptions
import bantam.Model
import bantam.Pool
import bantam.Pooling
import bantam.coroutines.openEmbedder
import bantam.coroutines.openModel
import bantam.coroutines.ranking
import bantam.coroutines.vectors
import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.util.concurrent.CountDownLatch
import kotlin.concurrent.thread
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertFalse
import kotlin.test.assertNull
import kotlin.test.assertTrue
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeoutOrNull

fun embedders(tests: Tests) {
    tests.test("a chat model makes vectors if it is told how") {
        assertEquals(Code.UNSUPPORTED, code { tests.opened.embedder() })
        assertEquals(Code.ARGUMENT, code { tests.opened.embedder(EmbedderOptions().apply { pooling = Pooling.RANK }) })
        val options = EmbedderOptions().apply {
            pooling = Pooling.LAST
            context = 64
            threads = 1
        }
        tests.opened.embedder(options).use { embedder ->
            assertEquals(listOf(576, 64, Pooling.LAST), listOf<Any>(embedder.dim, embedder.context, embedder.pooling))
            assertEquals(tests.opened.plan(options).totalBytes, embedder.totalBytes)
            val vector = embedder.embed("🐓 and a\u0000b")
            assertEquals(576, vector.size)
            assertTrue(embedder.trim() in 1..embedder.totalBytes)
            assertContentEquals(vector, embedder.embed("🐓 and a\u0000b"))
        }
        options.pooling = Pooling.NONE
        options.normalize = false
        tests.opened.embedder(options).use { embedder ->
            val tokens = tests.opened.tokenize("A hen sits on her eggs.").size
            val vectors = embedder.tokenVectors("A hen sits on her eggs.")
            assertEquals(tokens, vectors.size)
            assertTrue(vectors.all { it.size == 576 && it.sumOf { value -> value.toDouble() * value } > 2 })
            assertEquals(Code.ARGUMENT, code { embedder.embed("a") })
        }
    }

    val path = File(tests.root, "models/all-MiniLM-L6-v2.F16.gguf")
    if (!path.exists()) {
        println("skipped: $path is missing; make minilm writes it")
        return
    }
    val golden = File(tests.root, "tests/golden/embeddings")
    val sentences = File(golden, "sentences.txt").readLines()

    tests.test("vectors are those of sentence-transformers, many in one call and one by one") {
        val halves = ByteBuffer.wrap(File(golden, "minilm.f16").readBytes()).order(ByteOrder.LITTLE_ENDIAN).asShortBuffer()
        Model.open(path.path).use { it.embedder() }.use { embedder ->
            assertEquals(listOf<Any>(384, Pooling.MEAN), listOf<Any>(embedder.dim, embedder.pooling))
            val vectors = embedder.embed(sentences)
            assertEquals(100, vectors.size)
            vectors.forEachIndexed { i, vector ->
                assertEquals(1.0, vector.sumOf { it.toDouble() * it }, 1e-3)
                val expected = FloatArray(384) { ofHalf(halves[384 * i + it].toInt() and 0xffff) }
                assertTrue(Embedder.similarity(vector, expected) > 0.9999f, sentences[i])
            }
            for (i in listOf(0, 13, 99)) assertTrue(Embedder.similarity(embedder.embed(sentences[i]), vectors[i]) > 0.99999f)
            assertEquals(0, embedder.embed(emptyList()).size)
            // What means the same is nearer.
            val scores = embedder.scores("What does the hen do?", sentences.take(4))
            assertEquals(4, scores.size)
            assertTrue(scores[0] > scores[2] && scores[1] > scores[3], scores.joinToString())
            assertFailsWith<IllegalArgumentException> { Embedder.similarity(FloatArray(3), FloatArray(4)) }
        }
    }

    tests.test("a model that ranks scores queries with documents") {
        val weights = FloatArray(384) { (it * 7 % 11 - 5) / 5f }
        val file = ranking(path.readBytes(), weights)
        val model = Model.open(ByteBuffer.allocateDirect(file.size).apply { put(file).flip() })
        val (query, documents) = "what do chickens feed on" to listOf("Hens eat corn.", "Shares fell.", "The recipe needs flour.")
        model.embedder().use { embedder ->
            assertEquals(listOf<Any>(1, Pooling.RANK), listOf<Any>(embedder.dim, embedder.pooling))
            val scores = embedder.scores(query, documents)
            assertEquals(3, scores.toSet().size)
            for (i in 0..2) assertEquals(scores[i], embedder.scores(query, documents.subList(i, i + 1))[0], 1e-3f)
            // The head reads the first token of a text.
            val plain = EmbedderOptions().apply { pooling = Pooling.NONE; normalize = false }
            val first = model.embedder(plain).use { it.tokenVectors(query)[0] }
            assertEquals(weights.indices.sumOf { weights[it].toDouble() * first[it] }.toFloat(), embedder.embed(query)[0], 1e-2f)
        }
        model.close()
    }

    tests.test("texts that are too long are errors, or cut off") {
        Model.open(path.path).use { model ->
            Pool(1).use { pool ->
                model.embedder(EmbedderOptions().apply { context = 16; this.pool = pool }).use { embedder ->
                    val long = "a hen ".repeat(100)
                    val error = assertFailsWith<BantamException> { embedder.embed(listOf("short", long)) }
                    assertEquals(Code.CONTEXT_FULL, error.code)
                    assertContentEquals(embedder.embed(long, truncate = true), embedder.embed("a hen ".repeat(50), truncate = true))
                    assertEquals(Code.ARGUMENT, code { embedder.tokenVectors("a") })
                }
            }
        }
    }

    tests.test("an embedder is cancelled, closed by another thread, and goes on") {
        val model = Model.open(path.path)
        val many = List(200) { sentences }.flatten()
        model.embedder().use { embedder ->
            embedder.cancel()
            assertEquals(Code.CANCELLED, code { embedder.embed("a") })
            embedder.resume()
            assertEquals(384, embedder.embed("a").size)
        }
        val embedder = model.embedder()
        val begun = CountDownLatch(1)
        var end = 0
        val reading = thread {
            begun.countDown()
            end = code { embedder.embed(many) }
        }
        begun.await()
        Thread.sleep(100)
        assertEquals(Code.BUSY, code { embedder.embed("a") })
        assertEquals(384, embedder.dim)
        embedder.close()
        reading.join()
        assertEquals(Code.CANCELLED, end)
        assertEquals(Code.HANDLE, code { embedder.embed("a") })
        model.close()
    }

    tests.test("a cancelled coroutine stops C inside of a call for many vectors") {
        runBlocking {
            val many = List(200) { sentences }.flatten()
            openModel(path.path).use { it.openEmbedder() }.use { embedder ->
                assertNull(withTimeoutOrNull(100) { embedder.vectors(many) })
                assertFalse(embedder.isCancelled)
                assertEquals(3, embedder.vectors(sentences.take(3)).size)
                assertContentEquals(embedder.scores("hens", sentences.take(3)), embedder.ranking("hens", sentences.take(3)))
            }
        }
    }

    tests.test("a thousand calls for vectors leave nothing behind") {
        Model.open(path.path).use { it.embedder(EmbedderOptions().apply { threads = 1 }) }.use { embedder ->
            fun cycles(count: Int) = repeat(count) {
                embedder.embed(sentences.subList(3, 6))
                code { embedder.embed("x ".repeat(3000)) }
            }
            cycles(100)
            grows("1000 calls for vectors") { cycles(1000) }
        }
    }
}

/** The float of 16 bits. */
private fun ofHalf(bits: Int): Float {
    val (sign, exponent, fraction) = Triple(if (bits shr 15 == 0) 1f else -1f, bits shr 10 and 31, bits and 1023)
    return sign * if (exponent == 0) Math.scalb(fraction.toFloat(), -24) else Math.scalb(1024f + fraction, exponent - 25)
}

/** The GGUF file of a bert with a head that scores: one more tensor, and a kind of pooling that says so. */
private fun ranking(file: ByteArray, weights: FloatArray): ByteArray {
    val from = ByteBuffer.wrap(file).order(ByteOrder.LITTLE_ENDIAN)
    fun text() = ByteArray(from.getLong().toInt()).also { from.get(it) }.decodeToString()
    fun skip(type: Int) {
        when (type) {
            8 -> text()
            9 -> {
                val kind = from.getInt()
                repeat(from.getLong().toInt()) { skip(kind) }
            }
            else -> from.position(from.position() + intArrayOf(1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8)[type])
        }
    }
    from.position(8)
    val (tensors, entries) = from.getLong() to from.getLong()
    var pooling = 0
    repeat(entries.toInt()) {
        val key = text()
        val type = from.getInt()
        if (key == "bert.pooling_type") pooling = from.position()
        skip(type)
    }
    repeat(tensors.toInt()) {
        text()
        // Dimensions, type and offset.
        from.position(from.position() + 8 * from.getInt() + 16)
    }
    fun aligned(count: Int) = (count + 31) / 32 * 32
    val data = aligned(from.position())
    val name = "cls.output.weight"
    val head = aligned(from.position() + 8 + name.length + 4 + 16 + 12)
    val to = ByteBuffer.allocate(head + aligned(file.size - data) + 4 * weights.size).order(ByteOrder.LITTLE_ENDIAN)
    to.put(file, 0, from.position()).putLong(8, tensors + 1).putInt(pooling, 4)
    to.putLong(name.length.toLong()).put(name.toByteArray()).putInt(2).putLong(weights.size.toLong()).putLong(1).putInt(0)
    to.putLong(aligned(file.size - data).toLong())
    to.position(head)
    to.put(file, data, file.size - data).position(head + aligned(file.size - data))
    weights.forEach { to.putFloat(it) }
    return to.array()
}
