// Runs the tests whose names contain the last argument, or all, on the model that the first one names.
package bantam.tests

import bantam.Model
import bantam.Session
import bantam.SessionOptions
import java.io.File
import kotlin.system.exitProcess

class Failed(val name: String, val error: Throwable)

/** Collects tests and runs them one after the other. */
class Tests(val model: String, val root: File, private val filter: String) {
    private var passed = 0
    private val failed = mutableListOf<Failed>()
    val opened: Model by lazy { Model.open(model) }

    fun test(name: String, body: () -> Unit) {
        if (filter !in name) return
        try {
            body()
            passed++
            println("ok: $name")
        } catch (e: Throwable) {
            failed += Failed(name, e)
            println("FAILED: $name")
            e.printStackTrace(System.out)
        }
    }

    fun finish(): Nothing {
        for (f in failed) println("FAILED: ${f.name}: ${f.error}")
        println("$passed passed, ${failed.size} failed")
        exitProcess(if (failed.isEmpty()) 0 else 1)
    }

    fun session(context: Int = 512, body: (Session) -> Unit) {
        opened.session(SessionOptions().apply { this.context = context }).use(body)
    }
}

const val PROMPT = "The capital of France is"

fun main(arguments: Array<String>) {
    val tests = Tests(arguments[0], File(arguments[1]), arguments.getOrElse(2) { "" })
    constants(tests)
    models(tests)
    sessions(tests)
    chats(tests)
    adapters(tests)
    embedders(tests)
    coroutines(tests)
    lives(tests)
    tests.finish()
}
