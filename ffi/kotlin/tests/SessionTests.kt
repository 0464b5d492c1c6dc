// Sessions: prompts, answers and their ends, what can be kept of them, and memory given back.
package bantam.tests

import bantam.AnswerOptions
import bantam.BantamException
import bantam.Code
import bantam.EmbedderOptions
import bantam.Grammar
import bantam.KvFormat
import bantam.Model
import bantam.ModelPart
import bantam.Pool
import bantam.Priority
import bantam.Sampler
import bantam.SamplerOptions
import bantam.Session
import bantam.SessionOptions
import bantam.Stage
import bantam.StopReason
import bantam.TrimLevel
import bantam.android.MemoryCallbacks
import bantam.android.trimLevel
import java.io.File
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFails
import kotlin.test.assertFailsWith
import kotlin.test.assertFalse
import kotlin.test.assertNotEquals
import kotlin.test.assertNull
import kotlin.test.assertTrue

fun greedy(tokens: Int): AnswerOptions = AnswerOptions().apply {
    temperature = 0f
    maxTokens = tokens
}

private const val SCHEMA = """{"type": "object", "properties": {"name": {"type": "string", "maxLength": 8}, "age": {"type": "integer", "minimum": 0,
    "maximum": 99}}, "required": ["name", "age"], "additionalProperties": false}"""

fun sessions(tests: Tests) {
    tests.test("an answer is pulled piece by piece") {
        tests.session { session ->
            assertEquals(Code.STATE, code { session.begin() })
            assertEquals(5, session.prompt(PROMPT))
            session.begin(greedy(12))
            val text = StringBuilder()
            do {
                val piece = session.next()
                text.append(piece.text)
            } while (piece.stopReason == StopReason.NONE)
            assertTrue("Paris" in text)
            assertEquals(Code.STATE, code { session.next() })
            val summary = session.summary
            assertEquals(StopReason.BUDGET, summary.stopReason)
            assertEquals(listOf(12L, 5L), listOf(summary.tokens, summary.promptTokens))
            assertNull(summary.isComplete)
            val confidence = summary.confidence
            assertTrue(confidence.min <= confidence.q10 && confidence.q10 <= confidence.q25 && confidence.mean < 0 && confidence.meanEntropy > 0)
            // The same prompt costs its last token, and the sequence gives the same text.
            assertEquals(1, session.prompt(PROMPT))
            val answer = session.answer(greedy(12))
            assertEquals(text.toString(), answer.text())
            assertFails { answer.text() }
        }
    }

    tests.test("who still pulls an answer takes nothing of the next one") {
        tests.session { session ->
            session.prompt("Once upon a time")
            val older = session.answer(greedy(20)).iterator()
            older.next()
            session.prompt(PROMPT)
            val answer = session.answer(greedy(12)).iterator()
            var text = answer.next().text
            assertEquals(Code.STATE, code { older.next() })
            for (piece in answer) text += piece.text
            assertEquals(12L, session.summary.tokens)
            session.prompt(PROMPT)
            assertEquals(session.answer(greedy(12)).text(), text)
        }
    }

    tests.test("tokens are chosen by hand, in one session and in several at once") {
        Pool(2).use { pool ->
            val options = SessionOptions().apply {
                context = 64
                togetherMax = 3
                rewindMax = 32
                this.pool = pool
            }
            pool.setThreads(1)
            pool.setPriority(Priority.NORMAL)
            val prompts = listOf(PROMPT, "The capital of Italy is", "Two and two make")
            val alone = prompts.map { prompt -> tests.opened.session(options).use { it.prompt(prompt); it.answer(greedy(6)).map { piece -> piece.token }.toList() } }
            val sessions = prompts.map { prompt -> tests.opened.session(options).also { it.prompt(prompt) } }
            Sampler(tests.opened, SamplerOptions().apply { temperature = 0f }).use { sampler ->
                val together = List(6) {
                    val tokens = sessions.map { it.sample(sampler).token }
                    Session.decodeTogether(sessions, tokens.toIntArray())
                    tokens
                }
                assertEquals(alone, sessions.indices.map { i -> together.map { it[i] } })
                val choice = sessions[0].sample(sampler)
                assertTrue(choice.logprob <= 0 && choice.entropy > 0 && choice.margin >= 0)
                sessions[0].decode(choice.token)
                assertEquals(12, sessions[0].info.position)
                sampler.reset()
            }
            assertEquals(Code.BUSY, code { Session.decodeTogether(listOf(sessions[0], sessions[0]), intArrayOf(1, 2)) })
            assertEquals(Code.ARGUMENT, code { Session.decodeTogether(sessions, intArrayOf(1)) })
            sessions[0].cancel()
            assertEquals(Code.CANCELLED, code { Session.decodeTogether(sessions, intArrayOf(1, 2, 3)) })
            sessions.forEach { it.close() }
            assertEquals(Code.HANDLE, code { Session.decodeTogether(sessions, intArrayOf(1, 2, 3)) })
        }
    }

    tests.test("answers end as they were told to") {
        tests.session { session ->
            session.prompt(PROMPT)
            val stopped = greedy(40).apply { stop = listOf("no such text 🐓", ".") }
            assertFalse("." in session.answer(stopped).text())
            assertEquals(StopReason.STRING to 1, session.summary.let { it.stopReason to it.stopIndex })
            session.prompt(PROMPT)
            val paris = tests.opened.tokenize(" Paris").single()
            assertEquals("", session.answer(greedy(40).apply { stopTokens = intArrayOf(paris) }).text())
            assertEquals(StopReason.TOKEN, session.summary.stopReason)
        }
        tests.session(16) { session ->
            session.prompt(PROMPT)
            session.answer(greedy(0).apply { ignoreEnd = true }).text()
            assertEquals(StopReason.CONTEXT_FULL, session.summary.stopReason)
            session.prompt(PROMPT)
            session.answer(greedy(40).apply { ignoreEnd = true; shift = true; shiftKeep = 1 }).text()
            assertEquals(40, session.summary.tokens)
            assertEquals(Code.CONTEXT_FULL, code { session.prompt(PROMPT.repeat(9)) })
        }
    }

    tests.test("the sampler is as its options say") {
        tests.session { session ->
            fun answer(options: AnswerOptions): String {
                session.prompt(PROMPT)
                return session.answer(options).text()
            }
            fun seeded(number: Long) = AnswerOptions().apply { seed = number; maxTokens = 16; temperature = 1.5f; sampler.topK = 0; sampler.minP = 0f; sampler.topP = 1f }
            assertEquals(answer(seeded(1)), answer(seeded(1)))
            assertNotEquals(answer(seeded(1)), answer(seeded(2)))
            val paris = tests.opened.tokenize(" Paris").single()
            val forbidding = greedy(4).apply { sampler.logitBias = mapOf(paris to Float.NEGATIVE_INFINITY) }
            assertFalse(answer(forbidding).startsWith(" Paris"))
            // The sampler's other settings arrive too: one that is out of range is refused by name.
            assertEquals(Code.ARGUMENT, code { answer(AnswerOptions().apply { sampler.mirostat = 3 }) })
            assertEquals(answer(greedy(8)), answer(AnswerOptions().apply { maxTokens = 8; sampler.topK = 1; sampler.stages = listOf(Stage.TOP_K) }))
            // What is 0 and not null is 0, and not the default: only the likeliest token has to be kept to have no share at all, and no last token is penalised.
            val wide = greedy(8).apply { temperature = 1.5f; seed = 1; sampler.topK = 0; sampler.minP = 0f }
            assertNotEquals(answer(greedy(8)), answer(wide))
            assertEquals(answer(greedy(8)), answer(wide.apply { sampler.topP = 0f }))
            val penalised = greedy(24).apply { sampler.repeatPenalty = 3f; sampler.dryMultiplier = 3f }
            assertNotEquals(answer(greedy(24)), answer(penalised))
            assertEquals(answer(greedy(24)), answer(penalised.apply { sampler.repeatLastN = 0; sampler.dryLastN = 0 }))
            val default = SamplerOptions().numbers().withIndex()
            val zero = SamplerOptions().apply { xtcThreshold = 0f; dynatempExponent = 0f; dryAllowedLength = 0; mirostatTarget = 0f; mirostatRate = 0f }.numbers()
            assertEquals(5, default.count { it.value != zero[it.index] })
            val all = SamplerOptions().apply {
                seed = 3; temperature = 0.7f; topP = 0.9f; topK = 50; minP = 0.01f; typicalP = 0.9f; topNSigma = 3f; xtcProbability = 0.1f
                xtcThreshold = 0.2f; dynatempRange = 0.1f; dynatempExponent = 1.1f; repeatPenalty = 1.1f; presencePenalty = 0.1f
                frequencyPenalty = 0.1f; repeatLastN = 32; dryMultiplier = 0.5f; dryBase = 1.5f; dryAllowedLength = 3; dryLastN = 50
                dryBreakers = listOf("\n", "🐓"); mirostatTarget = 4f; mirostatRate = 0.2f
            }
            assertEquals(answer(AnswerOptions().apply { sampler = all; maxTokens = 8 }), answer(AnswerOptions().apply { sampler = all; maxTokens = 8 }))
            session.prompt(PROMPT)
            session.begin(greedy(4).apply { sampler.topLogprobs = 5 })
            val piece = session.next()
            val top = session.topLogprobs
            assertEquals(5, top.size)
            assertEquals(piece.token to piece.logprob, top[0].token to top[0].logprob)
            assertTrue(piece.margin > 0 && piece.entropy > 0)
        }
    }

    tests.test("an answer follows a JSON schema, and a grammar") {
        tests.session { session ->
            session.prompt("Tell me of a person, as JSON: ")
            val text = session.answer(greedy(60).apply { jsonSchema = SCHEMA }).text()
            assertTrue(Regex("""\{\s*"name":\s*".{0,8}",\s*"age":\s*\d{1,2}\s*}""").matches(text), text)
            assertEquals(true, session.summary.isComplete)
            assertEquals(StopReason.COMPLETE, session.summary.stopReason)
            Grammar.regex(tests.opened, "yes|no").use { grammar ->
                repeat(2) {
                    session.prompt("Is water wet? ")
                    assertTrue(session.answer(greedy(9).apply { this.grammar = grammar }).text() in listOf("yes", "no"))
                }
            }
            Grammar.gbnf(tests.opened, "root ::= \"a\" | \"b\"").close()
            Grammar.json(tests.opened).close()
            assertEquals(Code.GRAMMAR, code { Grammar.regex(tests.opened, "(") })
            assertEquals(Code.GRAMMAR, code { session.begin(AnswerOptions().apply { jsonSchema = "{" }) })
        }
    }

    tests.test("what a session holds is kept and taken up again") {
        tests.session(256) { session ->
            session.prompt(PROMPT)
            assertEquals(49152, session.logits.size)
            assertContentEquals(tests.opened.tokenize(PROMPT), session.tokens)
            val saved = session.save()
            assertEquals(session.info.savedBytes, saved.size.toLong())
            session.save("kept.session")
            val fork = session.fork()
            val expected = session.answer(greedy(8)).text()
            assertEquals(expected, fork.answer(greedy(8)).text())
            session.restore(saved)
            assertEquals(expected, session.answer(greedy(8)).text())
            session.restore("kept.session")
            fork.copy(session)
            assertEquals(expected, session.answer(greedy(8)).text())
            assertEquals(expected, fork.answer(greedy(8)).text())
            fork.rewind(5)
            assertEquals(5, fork.info.position)
            // A fork has a switch of its own.
            fork.cancel()
            assertFalse(session.isCancelled)
            session.prompt(PROMPT)
            fork.close()
            saved[saved.size / 2] = (saved[saved.size / 2] + 1).toByte()
            assertEquals(Code.SAVED, code { session.restore(saved) })
            File("kept.session").delete()
        }
    }

    tests.test("memory is given back in the middle of an answer, which goes on all the same") {
        tests.session { session ->
            session.prompt(PROMPT)
            val expected = session.answer(greedy(8)).text()
            for (level in TrimLevel.entries) {
                session.prompt(PROMPT)
                val text = session.answer(greedy(8)).withIndex().joinToString("") { (i, piece) ->
                    if (i == 4) {
                        assertTrue(session.trim(level, "trimmed 🐓.session") > 0)
                        assertEquals(level == TrimLevel.ALL, session.info.isTrimmed)
                    }
                    piece.text
                }
                assertEquals(expected, text)
                assertFalse(File("trimmed 🐓.session").exists())
            }
            // As Android asks for it: in the background all is given back, and an answer in progress is no error.
            assertEquals(listOf(null, TrimLevel.SCRATCH, TrimLevel.ALL, TrimLevel.SCRATCH, TrimLevel.ALL), listOf(0, 10, 15, 20, 40).map { trimLevel(it) })
            MemoryCallbacks(File(".")) { listOf(session) }.onTrimMemory(80)
            assertTrue(session.info.isTrimmed)
            session.prompt(PROMPT)
            assertFalse(session.info.isTrimmed)
            // One that was trimmed while another was shown is not lost when that one is trimmed.
            tests.session { other ->
                var shown = session
                val callbacks = MemoryCallbacks(File(".")) { listOf(shown) }
                other.prompt("Once upon a time")
                callbacks.onTrimMemory(80)
                shown = other
                callbacks.onTrimMemory(80)
                assertTrue(session.info.isTrimmed && other.info.isTrimmed)
                assertEquals(expected, session.answer(greedy(8)).text())
                assertTrue(other.answer(greedy(8)).text().isNotEmpty())
            }
            session.prompt(PROMPT)
            // Without a path there is no file to write to.
            assertEquals(Code.ARGUMENT, code { session.trim(TrimLevel.ALL) })
        }
    }

    tests.test("a negative number is an error that says which, and not a huge one") {
        fun wrong(what: String, call: () -> Unit) {
            val error = assertFailsWith<BantamException>(what) { call() }
            assertEquals(Code.ARGUMENT, error.code, what)
            assertTrue(what in error.message!! && "-1" in error.message!!, error.message)
        }
        fun session(what: String, options: SessionOptions.() -> Unit) {
            wrong(what) { tests.opened.session(SessionOptions().apply(options)).close() }
            wrong(what) { tests.opened.plan(SessionOptions().apply(options)) }
        }
        session("context") { context = -1 }
        session("batch") { batch = -1 }
        session("draftMax") { draftMax = -1 }
        session("threads") { threads = -1 }
        session("togetherMax") { togetherMax = -1 }
        session("adapterRank") { adapterRank = -1 }
        session("rewindMax") { rewindMax = -1 }
        wrong("context") { tests.opened.plan(EmbedderOptions().apply { context = -1 }) }
        wrong("threads") { Pool(-1).close() }
        wrong("offset") { Model.open(0, -1, 0) }
        wrong("length") { Model.open(listOf(ModelPart(0, 0, -1))) }
        tests.session(64) { session ->
            session.prompt(PROMPT)
            wrong("maxTokens") { session.begin(AnswerOptions().apply { maxTokens = -1 }) }
            wrong("shiftKeep") { session.begin(AnswerOptions().apply { shiftKeep = -1 }) }
            wrong("topLogprobs") { session.begin(AnswerOptions().apply { sampler.topLogprobs = -1 }) }
            wrong("position") { session.rewind(-1) }
            wrong("keep") { session.shift(-1, 1) }
            wrong("discard") { session.shift(1, -1) }
            wrong("threads") { session.setThreads(-1) }
            assertEquals(5, session.info.position)
        }
        tests.opened.chat().use { chat -> wrong("messages") { chat.truncate(-1) } }
    }

    tests.test("a session is as its options say") {
        val options = SessionOptions().apply { context = 64; batch = 16; threads = 2; kvFormat = KvFormat.Q8_0; exact = true; draftMax = 4 }
        tests.opened.session(options).use { session ->
            assertEquals(listOf(64, 16, 2), listOf(session.info.context, session.info.batch, session.info.threads))
            session.setThreads(1)
            assertEquals(Code.ARGUMENT, code { session.setThreads(3) })
            session.prompt(PROMPT)
            assertTrue("Paris" in session.answer(greedy(6).apply { lookup = true }).text())
        }
        assertEquals(Code.MEMORY, code { tests.opened.session(SessionOptions().apply { context = Int.MAX_VALUE }).close() })
    }
}
