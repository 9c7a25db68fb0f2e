import KeepsyncCore

extension Store {
    /// Logs the set of a slot (exercise and set number, say) of the session `id`, or changes it.
    public func logSet(collection: String, id: String, slot: String, body: String) async throws -> Written {
        try await logSet(set: LoggedSet(collection: collection, id: id, slot: slot, body: body))
    }

    /// `logSet` for a thread of the app's own that may wait for the disk, never one that draws.
    public func logSetBlocking(collection: String, id: String, slot: String, body: String) throws -> Written {
        try logSetBlocking(set: LoggedSet(collection: collection, id: id, slot: slot, body: body))
    }
}
