package dev.keepsync

import java.nio.file.Files
import java.util.concurrent.TimeUnit
import kotlin.io.path.ExperimentalPathApi
import kotlin.io.path.deleteRecursively

/** The real server, as its own process. */
internal class Server : AutoCloseable {
    private val command = System.getProperty("keepsync.command")
    private val folder = Files.createTempDirectory("keepsync-server")
    private val process: Process = ProcessBuilder(command, "serve", "--data", "$folder", "--listen", "127.0.0.1:0")
        .redirectError(ProcessBuilder.Redirect.DISCARD)
        .start()
    private val url: String = process.inputReader().readLine()?.removePrefix("listening on ")
        ?: error("the server did not start: $command")

    val backend: Backend = Backend.Wire(HttpOptions(url))

    /** Its host for a user, signed in. */
    fun host(user: String = ADA): Host {
        val secret = token(user)
        return Host(
            tokens = object : TokenProvider {
                override suspend fun token(account: String, rejected: String?) = Token(secret, user)
            },
        )
    }

    fun token(user: String): String {
        val asked = ProcessBuilder(command, "token", "--data", "$folder", "--user", user)
            .redirectError(ProcessBuilder.Redirect.DISCARD)
            .start()
        return asked.inputReader().readText().trim().also { check(asked.waitFor() == 0) { "no token" } }
    }

    @OptIn(ExperimentalPathApi::class)
    override fun close() {
        process.destroyForcibly().waitFor(10, TimeUnit.SECONDS)
        folder.deleteRecursively()
    }
}
