// Models: opened from anywhere, what they are, and text that is UTF-8 all the way.
package bantam.tests

import bantam.AnswerOptions
import bantam.Bantam
import bantam.BantamException
import bantam.Cancel
import bantam.Code
import bantam.Model
import bantam.ModelOptions
import bantam.ModelPart
import bantam.Progress
import bantam.Session
import bantam.SessionOptions
import bantam.TrimLevel
import java.io.File
import java.io.RandomAccessFile
import java.nio.ByteBuffer
import java.nio.channels.FileChannel
import kotlin.concurrent.thread
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertNull
import kotlin.test.assertTrue

fun code(body: () -> Unit): Int = assertFailsWith<BantamException> { body() }.code

fun models(tests: Tests) {
    tests.test("a model tells of itself") {
        val model = tests.opened
        val info = model.info
        assertEquals(listOf(30, 576, 49152), listOf(info.layers, info.dim, info.vocabSize))
        assertEquals("llama", info.architecture)
        assertTrue(info.isFileBacked && info.hasChatTemplate)
        assertEquals(File(tests.model).length(), info.fileBytes)
        assertEquals("llama", model.metadata("general.architecture"))
        assertEquals(30L, model.metadata("llama.block_count"))
        val words = model.metadata("tokenizer.ggml.tokens") as List<*>
        assertEquals(listOf(49152, "<|im_start|>", "<|im_end|>"), listOf(words.size, words[1], words[2]))
        assertEquals(listOf(3L, 1L), listOf(3, 48000).map { (model.metadata("tokenizer.ggml.token_type") as List<*>)[it] })
        assertNull(model.metadata("no.such.key"))
        assertTrue("general.architecture" in model.metadataKeys)
        assertEquals(272, model.tensors.size)
        assertTrue(model.tensors.all { it.bytes > 0 && it.shape.isNotEmpty() && it.kernels in Bantam.backends })
        val progress = Progress()
        assertEquals(listOf(0L, 0L), listOf(progress.done, progress.all))
        model.warm(progress = progress)
        assertEquals(info.fileBytes, model.residentBytes)
        assertTrue(progress.done > 0 && progress.done == progress.all)
        assertTrue("avx2" !in Bantam.backends || "avx2" in Bantam.cpuFeatures)
        assertTrue(Bantam.version.isNotEmpty() && Bantam.hasChat && Bantam.hasGrammars && Bantam.threadsDefault >= 1)
        assertTrue("scalar" in Bantam.backends)
        val plan = model.plan(SessionOptions().apply { context = 128 })
        assertEquals(2L * 30 * 3 * 64 * 128 * 2, plan.kvBytes)
        assertEquals(plan.totalBytes, plan.kvBytes + plan.scratchBytes)
    }

    tests.test("the log waits until it is taken, and says what is missing") {
        assertEquals(emptyList(), Bantam.takeLog())
        val model = Model.open(tests.model, ModelOptions().apply { log = true })
        val small = SessionOptions().apply { context = 32; threads = 1 }
        model.session(small).use { it.trim(TrimLevel.SCRATCH) }
        val said = Bantam.takeLog()
        assertEquals(listOf("model opened: ", "session opened: ", "session trimmed: "), said.map { it.substringBefore(": ") + ": " })
        assertTrue("30 layers" in said[0] && "context of 32" in said[1], "$said")
        assertEquals(emptyList(), Bantam.takeLog())
        // Sessions outlive their model, and write from several threads at once.
        val sessions = List(4) { model.session(small) }
        model.close()
        sessions.map { session -> thread { repeat(50) { session.trim(TrimLevel.SCRATCH) } } }.forEach { it.join() }
        sessions.forEach { it.close() }
        val many = Bantam.takeLog()
        assertEquals("140 older lines are missing", many[0])
        assertEquals(65, many.size)
        assertTrue(many.drop(1).all { it.startsWith("session trimmed: ") })
        assertEquals(emptyList(), Bantam.takeLog())
    }

    // Modified UTF-8 would write the second and third of these in another way.
    tests.test("text is UTF-8: umlauts, emoji, U+0000, and half an emoji") {
        for (text in listOf("Größe", "🐓 1234 👩‍👩‍👧", "before\u0000after", "", "漢字かな")) {
            val tokens = tests.opened.tokenize(text)
            assertEquals(text, tests.opened.detokenize(tokens))
        }
        // Bytes of the emoji's own UTF-8, found by hand.
        val bytes = tests.opened.tokenize("🐓").flatMap { tests.opened.token(it).bytes.toList() }
        assertEquals(listOf(0xf0, 0x9f, 0x90, 0x93).map { it.toByte() }, bytes)
        assertEquals("?", tests.opened.detokenize(tests.opened.tokenize("\ud83d")))
        tests.session { it.prompt("a\u0000b 🐓") }
    }

    tests.test("a token that cannot be is named as it was given") {
        tests.session { session ->
            session.prompt(PROMPT)
            val calls = listOf<() -> Unit>(
                { tests.opened.token(-1) }, { tests.opened.detokenize(intArrayOf(5, -1)) }, { session.prompt(intArrayOf(-1)) },
                { session.prefill(intArrayOf(7, -1)) }, { session.decode(-1) }, { Session.decodeTogether(listOf(session), intArrayOf(-1)) },
                { session.begin(AnswerOptions().apply { stopTokens = intArrayOf(-1) }) },
                { session.begin(AnswerOptions().apply { sampler.logitBias = mapOf(-1 to 1f) }) },
            )
            for (call in calls) {
                val error = assertFailsWith<BantamException> { call() }
                assertEquals(Code.ARGUMENT to "a token is -1; it must be 0 or greater", error.code to error.message)
            }
            assertEquals(Code.ARGUMENT, code { tests.opened.token(49152) })
        }
    }

    tests.test("what looks like a control token is text, unless it is asked for") {
        assertTrue(tests.opened.tokenize("<|im_end|>").size > 1)
        val token = tests.opened.tokenize("<|im_end|>", parseSpecial = true).single()
        assertTrue(tests.opened.token(token).isControl && tests.opened.token(token).isEnd)
        assertEquals("", tests.opened.detokenize(intArrayOf(token)))
        assertEquals("<|im_end|>", tests.opened.detokenize(intArrayOf(token), showSpecial = true))
    }

    tests.test("a model opens from a descriptor with an offset, and from a direct buffer") {
        val packed = File("archive.bin")
        val offset = 4100L
        RandomAccessFile(packed, "rw").use { out ->
            out.seek(offset)
            File(tests.model).inputStream().channel.use { from -> from.transferTo(0, from.size(), out.channel) }
            out.write(ByteArray(100))
        }
        val fingerprint = tests.opened.info.fingerprint
        RandomAccessFile(packed, "r").use { file ->
            val length = file.length() - offset - 100
            val model = Model.open(descriptorOf(packed), offset, length)
            assertEquals(fingerprint, model.info.fingerprint)
            assertTrue(model.info.isFileBacked)
            assertEquals(Code.ARGUMENT, code { Model.open(descriptorOf(packed), offset, length + 101) })
            // The descriptor is borrowed, and a session keeps what it needs of its model.
            file.close()
            val session = model.session(SessionOptions().apply { context = 64 })
            model.close()
            session.prompt(PROMPT)
            assertTrue("Paris" in session.answer(greedy(8)).text())
            session.close()
        }
        FileChannel.open(packed.toPath()).use { channel ->
            val map = channel.map(FileChannel.MapMode.READ_ONLY, 0, channel.size())
            map.position(offset.toInt()).limit((channel.size() - 100).toInt())
            Model.open(map).use { assertEquals(fingerprint, it.info.fingerprint) }
        }
        packed.delete()
        assertEquals(Code.ARGUMENT, code { Model.open(ByteBuffer.allocate(64)) })
        assertEquals(Code.NOT_GGUF, code { Model.open(ByteBuffer.allocateDirect(64)) })
    }

    tests.test("opening tells how far it is, in parts as well") {
        val progress = Progress()
        val options = ModelOptions().apply { this.progress = progress }
        Model.open(tests.model, options).close()
        assertEquals(listOf(File(tests.model).length(), File(tests.model).length()), listOf(progress.done, progress.all))
        val fingerprint = tests.opened.info.fingerprint
        Model.open(listOf(ModelPart(tests.model))).use { assertEquals(fingerprint, it.info.fingerprint) }
        RandomAccessFile(tests.model, "r").use {
            val part = ModelPart(descriptorOf(File(tests.model)), 0, 0)
            Model.open(listOf(part), options).use { assertEquals(fingerprint, it.info.fingerprint) }
        }
        val error = assertFailsWith<BantamException> { Model.open(listOf(ModelPart(tests.model), ModelPart("no such file"))) }
        assertTrue(error.message!!.startsWith("part 2: "), error.message)
        // It is whole in one part.
        assertEquals(Code.UNSUPPORTED, code { Model.open(listOf(ModelPart(tests.model), ModelPart(tests.model))) })
        assertEquals(Code.ARGUMENT, code { Model.open(emptyList<ModelPart>()) })
    }

    tests.test("what cannot be opened says why") {
        assertEquals(Code.IO, code { Model.open("no/such/🐓") })
        assertEquals(Code.NOT_A_FILE, code { Model.open(".") })
        assertEquals(Code.ARGUMENT, code { Model.open(-1, 0, 0) })
        assertEquals(Code.ARGUMENT, code { Model.open(tests.model, ModelOptions().apply { backend = "none" }) })
        val error = assertFailsWith<BantamException> { Model.open("no/such/file") }
        assertEquals("BANTAM_IO", error.codeName)
        assertTrue(error.message!!.length > 10)
        Cancel().use { switch ->
            switch.cancel()
            assertEquals(Code.CANCELLED, code { Model.open(tests.model, ModelOptions().apply { cancel = switch }) })
            assertEquals(Code.CANCELLED, code { tests.opened.warm(switch) })
            switch.resume()
            tests.opened.warm(switch)
        }
        val closed = Model.open(tests.model, ModelOptions().apply { backend = "scalar" })
        closed.close()
        closed.close()
        assertEquals(Code.HANDLE, code { closed.tokenize("a") })
        assertContentEquals(tests.opened.tokenize("a"), tests.opened.tokenize("a"))
    }
}

/** The number of an open descriptor of a file. */
fun descriptorOf(file: File): Int =
    File("/proc/self/fd").listFiles()!!.first { runCatching { it.canonicalPath == file.canonicalPath }.getOrDefault(false) }.name.toInt()
