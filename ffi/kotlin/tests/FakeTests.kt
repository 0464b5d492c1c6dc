// The scripted model, as an app's own tests use it: it runs where there is neither model nor library.
package bantam.tests.fake

import bantam.AnswerOptions
import bantam.BantamException
import bantam.Code
import bantam.LanguageModel
import bantam.ScriptedModel
import bantam.StopReason
import bantam.coroutines.complete
import bantam.coroutines.stream
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertTrue
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.delay
import kotlinx.coroutines.flow.take
import kotlinx.coroutines.flow.toList
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking

/** Something of an app's. */
private suspend fun headline(model: LanguageModel, article: String): String = model.complete("A headline for: $article").trim().uppercase()

fun main() {
    val fake = ScriptedModel("Cats sleep\nall day 🐈", "No.")
    runBlocking {
        assertEquals("CATS SLEEP\nALL DAY 🐈", headline(fake, "cats"))
        assertEquals(listOf("A headline for: cats"), fake.asked)
        val pieces = fake.stream("Really?").toList()
        assertEquals(listOf("No.", ""), pieces.map { it.text })
        assertEquals(StopReason.END, pieces.last().stopReason)
        assertEquals(2, fake.stream("Again?").take(2).toList().size)
        assertEquals("No.", fake.complete("And now?"))
        fake.delay = 100
        val heard = mutableListOf<String>()
        val listening = launch { fake.stream("Slowly?").collect { heard += it.text } }
        while (heard.size < 2) delay(1)
        listening.cancelAndJoin()
        assertTrue("Cats sleep\nall day 🐈".startsWith(heard.joinToString("")) && heard.size < 5, "$heard")
        fake.delay = 0
        fake.failure = BantamException(Code.CONTEXT_FULL, "full")
        val failed = assertFailsWith<BantamException> { fake.complete("Long") }
        assertEquals(Code.CONTEXT_FULL, failed.code)
        // What an app's log has of it.
        assertEquals("BANTAM_CONTEXT_FULL", failed.codeName)
        assertEquals("BantamException(BANTAM_CONTEXT_FULL): full", failed.toString())
    }
    assertEquals("No.", fake.ask("And?").text())
    assertEquals("Cats sleep", fake.ask("Short?", AnswerOptions().apply { maxTokens = 2 }).text())
    assertEquals(StopReason.BUDGET, fake.summary.stopReason)
    fake.cancel()
    assertEquals(Code.CANCELLED, assertFailsWith<BantamException> { fake.ask("More?") }.code)
    fake.resume()
    fake.close()
    assertEquals(Code.HANDLE, assertFailsWith<BantamException> { fake.ask("More?") }.code)
    println("the scripted model answers")
}
