extension Store {
    /// A page, read now and again whenever something in its collection changed. Ends with its task or with the store's closing;
    /// throws what reading throws. Only the newest page is kept for a loop that is slow.
    public func watch(_ query: Query) -> AsyncThrowingStream<Page, any Error> {
        watch([query.collection]) { try await $0.query(query: query) }
    }

    /// A record, or `nil` while there is none: as ``watch(_:)``.
    public func watch(collection: String, id: String) -> AsyncThrowingStream<Record?, any Error> {
        watch([collection]) { try await $0.get(collection: collection, id: id) }
    }

    /// Whatever `read` reads: now, and again whenever one of the collections changed.
    ///
    /// 1. Changes are listened to, before anything is read: what is written between the two is read again.
    /// 2. Read, and given.
    /// 3. However much changes while it is read, it is read once more. Then on from 2.
    public func watch<Value: Sendable>(
        _ collections: Set<String>, read: @escaping @Sendable (Store) async throws -> Value
    ) -> AsyncThrowingStream<Value, any Error> {
        watch(when: { !collections.isDisjoint(with: $0.collections) }, read: read)
    }

    /// Whatever `read` reads: now, and again whenever `changed` says so of what is told.
    public func watch<Value: Sendable>(
        when changed: @escaping @Sendable (Changes) -> Bool, read: @escaping @Sendable (Store) async throws -> Value
    ) -> AsyncThrowingStream<Value, any Error> {
        AsyncThrowingStream(bufferingPolicy: .bufferingNewest(1)) { stream in
            let reading = Task {
                do {
                    var first = true
                    for await told in self.changes() {
                        if told.closed { break }
                        guard first || changed(told) else { continue }
                        first = false
                        stream.yield(try await read(self))
                    }
                    stream.finish()
                } catch let error as KeepsyncError where error.code == "closed" {
                    stream.finish()
                } catch {
                    stream.finish(throwing: error)
                }
            }
            stream.onTermination = { _ in reading.cancel() }
        }
    }
}
