// The face of Keepsync for Swift. Everything that the core offers is here as it is generated (`Accounts`, `Store` and what they
// take and give); this module adds what Swift expects of it: streams, waits that end with their task, errors that are easy to
// ask, and on Apple's systems the network, the background, the key and the app's life.
//
// Cancellation. A call of `Store` runs to its end in the library, whatever becomes of the task that made it: a write is done or
// not, never half. So `Task.cancel()` does not end one. Where waiting may take long there is a variant that ends with its task:
// `settledUnlessCancelled`, `confirmedUnlessCancelled`, `syncUnlessCancelled`. The streams end with theirs.
@_exported import KeepsyncCore

/// What the app gives the core. On a Mac and on Linux, Foundation has a `Host` too: there this name tells them apart.
public typealias KeepsyncHost = KeepsyncCore.Host
