package dev.keepsync

import com.fasterxml.jackson.databind.JsonNode
import com.fasterxml.jackson.databind.ObjectMapper
import com.fasterxml.jackson.databind.node.JsonNodeFactory
import com.fasterxml.jackson.databind.node.MissingNode
import kotlin.reflect.KClass
import kotlin.reflect.KParameter
import kotlin.reflect.KType
import kotlin.reflect.full.isSubclassOf
import kotlin.reflect.full.memberProperties
import kotlin.reflect.full.primaryConstructor

// The generated types as the transcripts spell them: members in camelCase; a plain name as a string; a variant without
// members as its name, one with members as an object of that one name.

internal val mapper = ObjectMapper()
private val nodes = JsonNodeFactory.instance

/** As in JSON. */
internal fun toJson(value: Any?): JsonNode = when (value) {
    null, Unit -> nodes.nullNode()
    is JsonNode -> value
    is String -> nodes.textNode(value)
    is Boolean -> nodes.booleanNode(value)
    is Int -> nodes.numberNode(value)
    is Long -> nodes.numberNode(value)
    is Double -> nodes.numberNode(value)
    is Enum<*> -> nodes.textNode(camel(value.name))
    is List<*> -> nodes.arrayNode().apply { value.forEach { add(toJson(it)) } }
    is Map<*, *> -> nodes.objectNode().apply { value.forEach { (key, it) -> set<JsonNode>("$key", toJson(it)) } }
    else -> {
        val type = value::class
        val members = nodes.objectNode()
        type.primaryConstructor?.parameters.orEmpty().forEach { parameter ->
            val member = type.memberProperties.single { it.name == parameter.name }
            members.set<JsonNode>(parameter.name, toJson(member.getter.call(value)))
        }
        when {
            !isVariant(type) -> members
            members.isEmpty -> nodes.textNode(variantName(type))
            else -> nodes.objectNode().set(variantName(type), members)
        }
    }
}

/** The value of this type. What is not there has the type's default. */
internal fun fromJson(json: JsonNode, type: KType): Any? {
    if (json.isNull || json.isMissingNode) {
        check(type.isMarkedNullable) { "null is no $type" }
        return null
    }
    val of = type.classifier as KClass<*>
    fun argument(n: Int) = type.arguments[n].type!!
    return when {
        of == String::class -> json.also { check(it.isTextual) { "$it is no text" } }.textValue()
        of == Boolean::class -> json.also { check(it.isBoolean) { "$it is no truth" } }.booleanValue()
        of == Long::class -> json.also { check(it.canConvertToExactIntegral()) { "$it is no whole number" } }.longValue()
        of == Int::class -> json.also { check(it.canConvertToExactIntegral()) { "$it is no whole number" } }.intValue()
        of == Double::class -> json.also { check(it.isNumber) { "$it is no number" } }.doubleValue()
        of == List::class -> json.map { fromJson(it, argument(0)) }
        of == Map::class -> json.properties().associate { (key, value) -> key to fromJson(value, argument(1)) }
        of.isSubclassOf(Enum::class) ->
            of.java.enumConstants.single { camel((it as Enum<*>).name) == json.textValue() }
        of.isSealed -> {
            val name = if (json.isTextual) json.textValue() else json.fieldNames().next()
            val variant = of.sealedSubclasses.singleOrNull { variantName(it) == name } ?: error("$of has no $name")
            variant.objectInstance ?: build(variant, if (json.isTextual) nodes.objectNode() else json[name])
        }
        else -> build(of, json)
    }
}

private fun build(of: KClass<*>, json: JsonNode): Any {
    // A class without members, as a fault's variant, may have no primary constructor.
    val constructor = of.primaryConstructor ?: of.constructors.single()
    val names = constructor.parameters.map { it.name }
    json.fieldNames().forEach { check(it in names) { "$of has no $it" } }
    return constructor.callBy(arguments(constructor.parameters, json))
}

/** What [parameters] are called with. */
internal fun arguments(parameters: List<KParameter>, json: JsonNode): Map<KParameter, Any?> =
    parameters.mapNotNull { parameter ->
        val given = json[parameter.name] ?: MissingNode.getInstance()
        if (given.isMissingNode && parameter.isOptional) null else parameter to fromJson(given, parameter.type)
    }.toMap()

private fun isVariant(type: KClass<*>) = type.java.enclosingClass?.kotlin?.isSealed == true

private fun variantName(type: KClass<*>) = type.simpleName!!.replaceFirstChar(Char::lowercase)

private fun camel(name: String) =
    name.split('_').joinToString("") { it.lowercase().replaceFirstChar(Char::uppercase) }.replaceFirstChar(Char::lowercase)
