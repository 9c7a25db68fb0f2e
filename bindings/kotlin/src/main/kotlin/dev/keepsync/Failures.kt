package dev.keepsync

/** What it is; stable. See [KeepsyncException.Failed.code]. */
public val KeepsyncException.code: String
    get() = when (this) {
        is KeepsyncException.Failed -> code
    }

/** When the same call may be tried again. */
public val KeepsyncException.retry: RetryClass
    get() = when (this) {
        is KeepsyncException.Failed -> retry
    }

/** For a person. Names fields, limits and ids, never what is in a record. */
public val KeepsyncException.detail: String
    get() = when (this) {
        is KeepsyncException.Failed -> detail
    }
