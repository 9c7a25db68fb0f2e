package dev.keepsync

import com.fasterxml.jackson.databind.JsonNode
import com.fasterxml.jackson.databind.node.ArrayNode
import com.fasterxml.jackson.databind.node.ObjectNode
import com.fasterxml.jackson.databind.node.TextNode
import java.lang.reflect.InvocationTargetException
import java.nio.file.Files
import java.nio.file.Path
import kotlin.io.path.name
import kotlin.io.path.readText
import kotlin.reflect.KFunction
import kotlin.reflect.full.callSuspendBy
import kotlin.reflect.full.instanceParameter
import kotlin.reflect.full.memberFunctions
import kotlin.reflect.full.valueParameters
import kotlin.reflect.typeOf
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.DynamicTest
import org.junit.jupiter.api.DynamicTest.dynamicTest
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.TestFactory

/** The golden transcripts that every language replays. Their form: bindings/transcripts/README.md. */
class TranscriptTest {
    @TestFactory
    fun transcripts_are_replayed(): List<DynamicTest> {
        val folder = Path.of(System.getProperty("keepsync.transcripts"))
        val files = Files.list(folder).use { all -> all.filter { it.name.endsWith(".json") }.sorted().toList() }
        assertTrue(files.isNotEmpty(), "no transcripts in $folder")
        return files.map { file ->
            dynamicTest(file.name) { test { Player(it, mapper.readTree(file.readText())).play() } }
        }
    }

    @Test
    fun what_does_not_match_is_noticed() {
        fun json(text: String) = mapper.readTree(text)
        fun matches(expected: String, found: String) = Names().matches(json(expected), json(found))
        assertTrue(matches("""{"a":1,"b":null}""", """{"a":1.0,"c":2}"""))
        assertTrue(matches("""["${'$'}x","${'$'}x",{"y":"${'$'}_"}]""", """["1","1",{"y":0}]"""))
        assertTrue(matches(""""{\"a\":1,\"b\":2}"""", """"{\"b\":2,\"a\":1}""""))
        for ((expected, found) in listOf(
            """{"a":1}""" to """{"a":2}""",
            """{"a":1}""" to "null",
            """{"a":null}""" to """{"a":0}""",
            """["${'$'}x","${'$'}x"]""" to """["1","2"]""",
            """["${'$'}_"]""" to "[null]",
            "[1]" to "[1,2]",
            """"{\"a\":1}"""" to """"{\"a\":2}"""",
            "null" to "1",
        )) {
            assertEquals(false, matches(expected, found), "$expected and $found")
        }
    }
}

/** What is bound to the names that begin with `$`. */
internal class Names {
    private val bound = LinkedHashMap<String, JsonNode>()

    fun fill(json: JsonNode): JsonNode = when (json) {
        is TextNode -> bound[json.textValue()] ?: TextNode(
            bound.entries.fold(json.textValue()) { text, (name, value) ->
                text.replace(name, if (value.isTextual) value.textValue() else value.toString())
            },
        )
        is ArrayNode -> mapper.createArrayNode().apply { json.forEach { add(fill(it)) } }
        is ObjectNode -> mapper.createObjectNode().apply { json.properties().forEach { (k, v) -> set<JsonNode>(k, fill(v)) } }
        else -> json
    }

    /** Whether [found] is what was expected. Binds names. */
    fun matches(expected: JsonNode, found: JsonNode): Boolean = when {
        expected.isTextual && expected.textValue().startsWith("$") -> when {
            found.isNull -> false
            expected.textValue() == "\$_" -> true
            else -> bound.getOrPut(expected.textValue()) { found } == found
        }
        expected is ObjectNode && found is ObjectNode ->
            expected.properties().all { (key, value) -> matches(value, found[key] ?: mapper.nullNode()) }
        expected is ArrayNode && found is ArrayNode ->
            expected.size() == found.size() && expected.zip(found).all { (a, b) -> matches(a, b) }
        expected.isNumber && found.isNumber -> expected.doubleValue() == found.doubleValue()
        expected.isTextual && found.isTextual ->
            expected == found || body(expected).let { it != null && it == body(found) }
        else -> expected == found
    }

    private fun body(text: JsonNode): JsonNode? =
        runCatching { mapper.readTree(text.textValue()) }.getOrNull()?.takeIf { it.isObject }
}

/** The app's backend and sign-in, by the book. */
private class Script : Remote, TokenProvider {
    private val answers = HashMap<String, ArrayDeque<JsonNode>>()
    private var asked = mapper.createObjectNode()

    @Synchronized
    fun queue(what: String, queued: JsonNode) {
        answers.getOrPut(what, ::ArrayDeque).addAll(queued)
    }

    @Synchronized
    fun asked(): ObjectNode = asked.also { asked = mapper.createObjectNode() }

    @Synchronized
    private fun ask(what: String, question: Any?): JsonNode? {
        asked.withArray("/$what").add(toJson(question))
        return answers[what]?.removeFirstOrNull()
    }

    private inline fun <reified T> remote(what: String, question: Any?, answer: (JsonNode) -> JsonNode = { it }): T {
        val said = ask(what, question) ?: throw RemoteFault.Offline()
        said["fault"]?.let { throw fromJson(it, typeOf<RemoteFault>()) as RemoteFault }
        return fromJson(answer(said), typeOf<T>()) as T
    }

    override suspend fun push(token: String?, batch: PushBatch): PushAnswer = remote("push", batch) { said ->
        if (said["results"].textValue() != "acceptAll") return@remote said
        toJson(PushAnswer(batch.items.map { PushResult(it.op, Outcome.Accepted(it.baseVersion + 1, null, null)) }))
    }

    override suspend fun pull(token: String?, request: PullRequest): PullPage = remote("pull", request)

    override suspend fun probe() {
        remote<String>("probe", null)
    }

    override suspend fun token(account: String, rejected: String?): Token? {
        val said = ask("token", mapOf("account" to account, "rejected" to rejected)) ?: return null
        return when (said["fault"]?.textValue()) {
            "signInNeeded" -> throw TokenException.SignInNeeded()
            "offline" -> throw TokenException.Offline()
            else -> fromJson(said, typeOf<Token?>()) as Token?
        }
    }
}

/** The union of everything that was told since it was last looked at. */
private class Told : Listener {
    private val none = Changes(emptyList(), false, false, false, false, null, false)
    private var union = none

    @Synchronized
    override fun changed(changes: Changes) {
        union = union.and(changes)
    }

    @Synchronized
    fun forget() {
        union = none
    }

    @Synchronized
    fun holds(expected: JsonNode): Boolean {
        val told = toJson(union)
        return expected.properties().all { (key, value) ->
            check(told.has(key)) { "nothing like $key is told" }
            if (key == "collections") told[key].toSet().containsAll(value.toSet()) else Names().matches(value, told[key])
        }
    }
}

private class Player(folder: Path, private val transcript: JsonNode) {
    private val names = Names()
    private val script = Script()
    private val account = transcript["account"].textValue()
    private val accounts: Accounts
    private lateinit var store: Store
    private lateinit var told: Told

    init {
        val options = transcript["options"].deepCopy<ObjectNode>().put("folder", "$folder")
        options.withObject("/settings").put("automatic", false)
        accounts = Accounts(fromJson(options, typeOf<Options>()) as Options, Host(tokens = script, remote = script))
    }

    suspend fun play() {
        open()
        transcript["steps"].forEachIndexed { at, step ->
            try {
                play(step)
            } catch (failure: Throwable) {
                throw AssertionError("${transcript["title"].textValue()}, step ${at + 1}: ${failure.message}\n$step", failure)
            }
        }
        store.close()
    }

    private suspend fun open() {
        store = accounts.open(account)
        told = Told()
        store.listen(told)
    }

    private suspend fun play(step: JsonNode) {
        when {
            step.has("call") -> call(step)
            step.has("answers") -> step["answers"].properties().forEach { (what, queued) -> script.queue(what, names.fill(queued)) }
            step.has("asked") -> {
                val asked = script.asked()
                for ((what, expected) in step["asked"].properties()) {
                    val found = asked[what] ?: mapper.createArrayNode()
                    assertTrue(names.matches(expected, found), "asked $what: ${found.toPrettyString()}")
                }
            }
            step.has("told") -> {
                until("told ${step["told"]}") { told.holds(step["told"]) }
                told.forget()
            }
            step.has("reopen") -> {
                store.close()
                open()
            }
            else -> error("no such step")
        }
    }

    private suspend fun call(step: JsonNode) {
        val args = names.fill(step["args"] ?: mapper.createObjectNode())
        val found = try {
            toJson(ask(step["call"].textValue(), args))
        } catch (failure: KeepsyncException) {
            val expected = step["fails"] ?: throw failure
            val said = toJson(mapOf("code" to failure.code, "retry" to failure.retry, "detail" to failure.detail))
            assertTrue(names.matches(expected, said), "it failed with $said")
            return
        }
        assertTrue(!step.has("fails"), "it gave $found instead of failing")
        assertTrue(names.matches(step["gives"] ?: mapper.nullNode(), found), "it gave ${found.toPrettyString()}")
    }

    /** Calls by name, whatever the name: of what is generated nothing is left out. */
    private suspend fun ask(call: String, args: JsonNode): Any? {
        val on: Any = if (call.startsWith("accounts.")) accounts else store
        val name = call.removePrefix("accounts.")
        val function: KFunction<*> = on::class.memberFunctions.singleOrNull { it.name == name } ?: error("no call '$call'")
        val names = function.valueParameters.map { it.name }
        args.fieldNames().forEach { check(it in names) { "'$call' has no argument '$it'" } }
        val given = arguments(function.valueParameters, args) + (function.instanceParameter!! to on)
        return try {
            function.callSuspendBy(given)
        } catch (failure: InvocationTargetException) {
            throw failure.targetException
        }
    }
}
