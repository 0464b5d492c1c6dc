// A chat in a terminal, streamed with coroutines: it answers line by line until its input ends.
import bantam.AnswerOptions
import bantam.BantamException
import bantam.ChatOptions
import bantam.coroutines.openModel
import bantam.coroutines.stream
import kotlin.system.exitProcess
import kotlinx.coroutines.runBlocking

fun main(arguments: Array<String>): Unit = runBlocking {
    if (arguments.size != 1) {
        System.err.println("usage: Chat MODEL")
        exitProcess(2)
    }
    try {
        openModel(arguments[0]).use { model ->
            model.chat(ChatOptions().apply { system = "You are a helpful assistant." }).use { chat ->
                val options = AnswerOptions().apply {
                    temperature = 0f
                    maxTokens = 200
                }
                for (line in generateSequence(::readlnOrNull)) {
                    chat.stream(line, options).collect { print(it) }
                    println()
                }
            }
        }
    } catch (e: BantamException) {
        System.err.println("${e.codeName}: ${e.message}")
        exitProcess(1)
    }
}
