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
            assertEquals(576, embedder.embed("🐓 and a\u0000b").size)
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
