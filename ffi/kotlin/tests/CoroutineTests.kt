// Coroutines: flows, and cancellation that reaches C wherever it is.
package bantam.tests

import bantam.BantamException
import bantam.Code
import bantam.Role
import bantam.SessionOptions
import bantam.StopReason
import bantam.coroutines.complete
import bantam.coroutines.openModel
import bantam.coroutines.openSession
import bantam.coroutines.read
import bantam.coroutines.stream
import bantam.coroutines.warmUp
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertFalse
import kotlin.test.assertNull
import kotlin.test.assertTrue
import kotlinx.coroutines.CompletableDeferred
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.flow.take
import kotlinx.coroutines.flow.toList
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeoutOrNull

/** Some thousand tokens, which take seconds to read. */
val LONG = "It was the best of times, it was the worst of times. ".repeat(280)

fun coroutines(tests: Tests) {
    tests.test("an answer streams") {
        runBlocking {
            openModel(tests.model).use { model ->
                model.warmUp()
                model.openSession(SessionOptions().apply { context = 256 }).use { session ->
                    assertEquals(5, session.read(PROMPT))
                    val pieces = session.stream(greedy(12)).toList()
                    assertTrue("Paris" in pieces.joinToString(""))
                    assertEquals(StopReason.BUDGET, pieces.last().stopReason)
                    // A collector that leaves early leaves the session usable.
                    session.read(PROMPT)
                    assertEquals(3, session.stream(greedy(12)).take(3).toList().size)
                    session.read(PROMPT)
                    assertEquals(pieces.joinToString(""), session.stream(greedy(12)).toList().joinToString(""))
                }
                model.chat().use { chat ->
                    chat.add(Role.SYSTEM, SYSTEM)
                    assertTrue("Paris" in chat.complete("What is the capital of France?", greedy(40)))
                }
            }
        }
    }

    tests.test("a cancelled coroutine stops C inside of a prompt, and the session goes on afterwards") {
        tests.session(4096) { session ->
            val all = tests.opened.tokenize(LONG).size
            runBlocking {
                assertNull(withTimeoutOrNull(200) { session.read(LONG) })
                assertFalse(session.isCancelled)
                val read = session.info.position
                assertTrue(read < all, "all $all tokens were read")
                // Called again it reads the rest.
                session.read(PROMPT)
                assertTrue("Paris" in session.stream(greedy(12)).toList().joinToString(""))
            }
        }
        tests.opened.chat().use { chat ->
            chat.add(Role.SYSTEM, SYSTEM)
            runBlocking {
                assertNull(withTimeoutOrNull(200) { chat.stream(LONG).toList() })
                assertEquals(1 to false, chat.size to chat.isCancelled)
                assertTrue("Paris" in chat.complete("What is the capital of France?", greedy(40)))
            }
        }
    }

    tests.test("a cancelled coroutine stops C inside of an answer") {
        tests.session { session ->
            runBlocking {
                session.read(PROMPT)
                val begun = CompletableDeferred<Unit>()
                val collector = launch(Dispatchers.Default) {
                    session.stream(greedy(0).apply { ignoreEnd = true; shift = true }).collect { begun.complete(Unit) }
                }
                begun.await()
                collector.cancelAndJoin()
                assertFalse(session.isCancelled)
                session.read(PROMPT)
                // Who was cancelled by hand stays so.
                session.cancel()
                assertEquals(StopReason.CANCELLED, session.stream(greedy(4)).toList().last().stopReason)
                assertTrue(session.isCancelled)
                assertEquals(Code.CANCELLED, assertFailsWith<BantamException> { session.read("Something else") }.code)
            }
        }
    }
}
