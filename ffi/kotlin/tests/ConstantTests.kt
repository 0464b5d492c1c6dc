// What Kotlin and C have to agree on: numbers, names, and the rules that keep them in a shrunk app.
package bantam.tests

import bantam.ABI_VERSION
import bantam.BantamException
import bantam.Code
import bantam.KvFormat
import bantam.Native
import bantam.Pooling
import bantam.Priority
import bantam.Role
import bantam.Stage
import bantam.StopReason
import bantam.TrimLevel
import java.io.File
import java.lang.reflect.Modifier
import kotlin.test.assertEquals
import kotlin.test.assertTrue

fun constants(tests: Tests) {
    val header = Regex("#define BANTAM_([A-Z0-9_]+) (-?\\d+)$", RegexOption.MULTILINE)
        .findAll(File(tests.root, "include/bantam.h").readText()).associate { it.groupValues[1] to it.groupValues[2].toInt() }

    fun agree(prefix: String, kotlin: Map<String, Int>) =
        assertEquals(header.filterKeys { it.startsWith(prefix) }.mapKeys { it.key.removePrefix(prefix) }, kotlin, "BANTAM_$prefix...")

    tests.test("every number is the header's") {
        assertEquals(header["ABI_VERSION"], ABI_VERSION)
        // The statuses have no prefix of their own: they are what is left.
        val prefixes = listOf(
            "ABI_", "ADAPTERS_", "EMBED_", "FEATURE_", "GRAMMAR_", "KV_", "MESSAGE_", "OK", "POOLING_", "PRIORITY_", "ROLE_", "STAGE_", "STOP_", "TEXT_", "TOGETHER_",
            "TRIM_", "VALUE_",
        )
        val codes = Code::class.java.fields.filter { it.type == Int::class.java }.associate { it.name to it.getInt(null) }
        assertEquals(header.filterKeys { key -> prefixes.none { key.startsWith(it) } }, codes)
        for ((name, code) in codes.toList() + listOf("OK" to 0, "?" to -1, "?" to codes.size + 1)) assertEquals("BANTAM_$name", BantamException(code, "").codeName)
        agree("STOP_", StopReason.entries.associate { it.name to it.number })
        agree("ROLE_", Role.entries.associate { it.name to it.number })
        agree("KV_", KvFormat.entries.associate { it.name to it.number })
        agree("TRIM_", TrimLevel.entries.associate { it.name to it.number })
        agree("STAGE_", Stage.entries.associate { it.name to it.number })
        agree("POOLING_", Pooling.entries.associate { it.name to it.number } + ("DEFAULT" to 0))
        agree("EMBED_", mapOf("TRUNCATE" to 1))
        agree("ADAPTERS_", mapOf("MAX" to 8))
        agree("TOGETHER_", mapOf("MAX" to 64))
        agree("PRIORITY_", Priority.entries.associate { it.name to it.number })
        agree("GRAMMAR_", mapOf("JSON" to 1, "JSON_SCHEMA" to 2, "REGEX" to 3, "LARK" to 4, "GBNF" to 5))
        agree("VALUE_", mapOf("INTEGER" to 1, "NUMBER" to 2, "BOOL" to 3, "TEXT" to 4, "ARRAY" to 5))
        agree("TEXT_", mapOf("ADD_SPECIAL" to 1, "PARSE_SPECIAL" to 2, "SHOW_SPECIAL" to 4))
    }

    // The shim binds each of its functions when it is loaded, and loading fails if one does not fit; here the other way round.
    tests.test("every native function is bound, and the rules keep it") {
        val shim = File(tests.root, "ffi/kotlin/jni").listFiles()!!.sorted().joinToString("") { it.readText() }
        val bound = Regex("NATIVE\\(\"(\\w+)\", \"([^\"]+)\"").findAll(shim).map { it.groupValues[1] to it.groupValues[2] }.toSet()
        val declared = Native::class.java.declaredMethods.filter { Modifier.isNative(it.modifiers) }
            .map { m -> m.name to m.parameterTypes.joinToString("", "(", ")") { jni(it) } + jni(m.returnType) }.toSet()
        assertEquals(declared, bound)
        assertTrue(Native.abiVersion() == ABI_VERSION)
        val classes = Regex("FindClass\\(env, \"([^\"]+)\"\\)").findAll(shim).map { it.groupValues[1].replace('/', '.') }.toSet()
        val rules = File(tests.root, "ffi/kotlin/consumer-rules.pro").readText()
        val kept = Regex("-keep,includedescriptorclasses class (\\S+) \\{\\s+native <methods>;").findAll(rules).map { it.groupValues[1] }.toSet()
        assertEquals(classes, kept)
    }
}

/** A type as JNI writes it. */
private fun jni(type: Class<*>): String = java.lang.reflect.Array.newInstance(if (type == Void.TYPE) Any::class.java else type, 0).javaClass.name
    .drop(1).replace('.', '/').let { if (type == Void.TYPE) "V" else it }
