// Chats: turns, tools, and what is taken back when a turn did not happen.
package bantam.tests

import bantam.AnswerOptions
import bantam.ChatOptions
import bantam.Code
import bantam.Role
import bantam.SessionOptions
import bantam.StopReason
import kotlin.test.assertEquals
import kotlin.test.assertNull
import kotlin.test.assertTrue

const val SYSTEM = "You are a helpful assistant."

private const val TOOLS = """[{"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object",
    "properties": {"city": {"enum": ["Rome", "Paris"]}}, "required": ["city"]}}}]"""

fun chats(tests: Tests) {
    tests.test("a chat goes on from turn to turn, and reads only what is new") {
        tests.opened.chat().use { chat ->
            chat.add(Role.SYSTEM, SYSTEM)
            assertTrue("Paris" in chat.ask("What is the capital of France?", greedy(40)).text())
            assertEquals(StopReason.END, chat.summary.stopReason)
            assertEquals(3, chat.size)
            assertTrue(chat.lastAnswerJson!!.startsWith("{\"role\":\"assistant\",\"content\":"))
            val first = chat.summary.promptTokens
            chat.ask("And of Italy?", greedy(20)).text()
            assertTrue(chat.summary.promptTokens < first)
            assertEquals(5, chat.size)
            // An answer that nobody pulls to its end becomes a message when the next is said.
            chat.ask("And of Spain?", greedy(20)).take(3).toList()
            assertEquals(6, chat.size)
            chat.add(Role.USER, "<|im_end|>")
            assertEquals(8, chat.size)
            chat.truncate(1)
            assertEquals(1 to 0, chat.size to chat.leftOut)
            chat.add(Role.USER, "🐓\u0000🐓")
            assertTrue("🐓\u0000🐓" in chat.render())
        }
    }

    tests.test("who still pulls an answer takes nothing of the next one, which is kept as a whole") {
        tests.opened.chat().use { chat ->
            val older = chat.ask("Tell me a long story.", greedy(20)).iterator()
            older.next()
            val answer = chat.ask("What is the capital of France?", greedy(20)).iterator()
            var text = answer.next().text
            assertEquals(Code.STATE, code { older.next() })
            for (piece in answer) text += piece.text
            assertTrue("\"$text\"" in chat.lastAnswerJson!!, "$text: ${chat.lastAnswerJson}")
            assertEquals(4, chat.size)
        }
    }

    tests.test("an answer that nobody pulls leaves nothing, nor does its message") {
        tests.opened.chat(ChatOptions().apply { system = SYSTEM }).use { chat ->
            assertEquals(1, chat.size)
            assertTrue(SYSTEM in chat.render())
            chat.ask("This was never pulled.", greedy(8))
            assertEquals(2, chat.size)
            assertTrue("Paris" in chat.ask("What is the capital of France?", greedy(40)).text())
            assertEquals(3, chat.size)
            assertTrue("never pulled" !in chat.render())
            // What was added by hand stays.
            chat.add(Role.USER, "And of Italy?")
            chat.answer(greedy(8))
            chat.answer(greedy(8))
            chat.add(Role.USER, "And of Spain?")
            assertEquals(5, chat.size)
            assertNull(Regex("assistant").find(chat.render().substringAfter("Italy").substringBefore("Spain")))
            chat.reset()
            assertEquals(1, chat.size)
            assertTrue(SYSTEM in chat.render() && "Italy" !in chat.render())
        }
    }

    tests.test("a message that could not be read is taken back") {
        tests.opened.chat(session = SessionOptions().apply { context = 64 }).use { chat ->
            assertEquals(Code.CONTEXT_FULL, code { chat.ask("far too long ".repeat(100)) })
            assertEquals(0, chat.size)
            chat.cancel()
            assertTrue(chat.isCancelled)
            assertEquals(Code.CANCELLED, code { chat.ask("Hello") })
            assertEquals(0, chat.size)
            chat.resume()
            assertTrue(chat.ask("Hello", greedy(4)).text().isNotEmpty())
            repeat(8) { chat.ask("Hello, hello, hello", greedy(4)).text() }
            assertTrue(chat.leftOut > 0)
        }
    }

    tests.test("a tool is called as its schema says") {
        tests.opened.chat(ChatOptions().apply { tools = TOOLS }, SessionOptions().apply { context = 512 }).use { chat ->
            chat.addJson("""[{"role": "user", "content": "The weather in Rome?"}]""")
            chat.toolGrammar("required")!!.use { grammar ->
                chat.answer(AnswerOptions().apply { temperature = 0f; maxTokens = 80; this.grammar = grammar }).text()
            }
            assertEquals(true, chat.summary.isComplete)
            assertTrue("\"tool_calls\"" in chat.lastAnswerJson!! && "get_weather" in chat.lastAnswerJson!!, chat.lastAnswerJson)
            chat.add(Role.TOOL, """{"degrees": 21}""")
            assertTrue(chat.answer(greedy(8)).text().isNotEmpty())
            assertNull(chat.toolGrammar("none"))
            assertEquals(Code.ARGUMENT, code { chat.toolGrammar("no_such_tool")?.close() })
        }
        assertEquals(Code.TEMPLATE, code { tests.opened.chat(ChatOptions().apply { template = "{% for m in messages %}" }).close() })
        assertEquals(Code.ARGUMENT, code { tests.opened.chat(ChatOptions().apply { tools = "no JSON" }).close() })
    }
}
