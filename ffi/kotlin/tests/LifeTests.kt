// Lives: objects closed by hand, by another thread, by the collector, and ten thousand times.
package bantam.tests

import bantam.Bantam
import bantam.BantamException
import bantam.Cancel
import bantam.Code
import bantam.Grammar
import bantam.Model
import bantam.Session
import bantam.SessionOptions
import bantam.StopReason
import java.io.File
import java.util.concurrent.CountDownLatch
import kotlin.concurrent.thread
import kotlin.test.assertEquals
import kotlin.test.assertTrue

fun lives(tests: Tests) {
    tests.test("close() while another thread generates cancels, and waits") {
        repeat(5) {
            val session = tests.opened.session(SessionOptions().apply { context = 256 })
            session.prompt(PROMPT)
            val begun = CountDownLatch(3)
            var end: Any? = null
            val generating = thread {
                end = try {
                    session.answer(greedy(0).apply { ignoreEnd = true; shift = true }).onEach { begun.countDown() }.last().stopReason
                } catch (e: BantamException) {
                    e.code
                }
            }
            begun.await()
            session.close()
            generating.join()
            // Whether it was inside of a call or between two.
            assertEquals(StopReason.CANCELLED, end)
            assertEquals(Code.HANDLE, code { session.next() })
        }
    }

    tests.test("close() while another thread reads cancels, and waits; a second user is told to wait") {
        val session = tests.opened.session(SessionOptions().apply { context = 4096 })
        val begun = CountDownLatch(1)
        var end = 0
        val reading = thread {
            begun.countDown()
            end = code { session.prompt(LONG) }
        }
        begun.await()
        Thread.sleep(100)
        assertEquals(Code.BUSY, code { session.info })
        session.close()
        reading.join()
        assertEquals(Code.CANCELLED, end)
        session.close()
    }

    tests.test("what nobody closes is freed when it is collected") {
        System.gc()
        val before = settled { true }
        repeat(20) {
            val session = tests.opened.session(SessionOptions().apply { context = 128; threads = 1 })
            session.prompt("Hello")
            Grammar.regex(tests.opened, "a|b")
            Cancel()
        }
        val held = Bantam.memoryUsed
        val after = settled { it < before + (held - before) / 10 }
        println("memory of the library: $before bytes, with 20 sessions $held, after a collection $after")
        assertTrue(after < before + (held - before) / 10)
        // The buffer of a model stays as long as the model does.
        tests.session { it.prompt(PROMPT) }
    }

    tests.test("ten thousand sessions are opened and closed, and memory does not grow") {
        fun cycles(count: Int) = repeat(count) {
            Session.open(tests.opened, SessionOptions().apply { context = 16; batch = 8; threads = 1 }).use { session ->
                if (it % 100 == 0) {
                    session.prompt("Hi")
                    session.answer(greedy(2).apply { stop = listOf("🐓") }).text()
                    code { session.restore("no/such/file") }
                }
                session.info
            }
        }
        cycles(2000)
        grows("10000 sessions") { cycles(10000) }
    }

    tests.test("models are opened and closed, and memory does not grow") {
        fun cycles(count: Int) = repeat(count) {
            Model.open(tests.model).use { model ->
                model.tokenize("Hello")
                model.metadata("general.name")
            }
        }
        cycles(20)
        grows("200 models") { cycles(200) }
    }

    tests.test("ten thousand conversions leave nothing behind") {
        val text = "🐓 and so on. ".repeat(50)
        fun cycles(count: Int) = repeat(count) {
            tests.opened.detokenize(tests.opened.tokenize(text))
            code { tests.opened.token(-1) }
        }
        cycles(1000)
        grows("10000 conversions") { cycles(10000) }
    }
}

/** The library's memory, once the collector has freed what it can, or after 10 s. */
private fun settled(isEnough: (Long) -> Boolean): Long {
    repeat(100) {
        System.gc()
        Thread.sleep(100)
        if (isEnough(Bantam.memoryUsed)) return Bantam.memoryUsed
    }
    return Bantam.memoryUsed
}

/** Fails if the process is more than 8 MiB larger after [work] than before: of ten thousand leaks, each would have fewer than 900 bytes. */
fun grows(what: String, work: () -> Unit) {
    System.gc()
    val used = Bantam.memoryUsed
    val before = resident()
    work()
    System.gc()
    val after = resident()
    println("$what: resident $before KiB before, $after KiB after; memory of the library $used bytes before, ${Bantam.memoryUsed} after")
    assertTrue(after < before + 8192)
    assertTrue(Bantam.memoryUsed <= used)
}

/** KiB of the process that are in memory and not pages of files. */
private fun resident(): Long = File("/proc/self/status").readLines().first { it.startsWith("RssAnon:") }.filter { it.isDigit() }.toLong()
