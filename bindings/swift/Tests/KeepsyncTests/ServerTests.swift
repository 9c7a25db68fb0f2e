import Foundation
import Keepsync
import Testing

extension Library {
    struct Servers {
        @Test(.timeLimit(.minutes(1))) func drain_to_the_real_server() async throws {
            let server = try Server()
            let phone = try await Rig(backend: server.backend, host: try server.host())
            _ = try await phone.store.startSession(
                collection: "workout", children: "set", id: "w1", body: #"{"name":"Legs"}"#)
            for set in 1...20 {
                _ = try await phone.store.logSet(
                    collection: "workout", id: "w1", slot: "squat/\(set)", body: #"{"reps":\#(set)}"#)
            }
            let done = try await phone.store.completeSession(collection: "workout", id: "w1", patch: "{}")
            let report = try await phone.store.sync()
            #expect(report.push == .worked)
            #expect(report.waiting == 0)
            #expect(report.accepted == 22)
            let op = try #require(done.op)
            guard case .accepted = try await phone.store.settledUnlessCancelled(op: op) else {
                Issue.record("the completion is not accepted")
                return
            }

            let tablet = try await Rig(backend: server.backend, host: try server.host())
            #expect(try await tablet.store.sync().pull == .worked)
            let sets = try await tablet.store.query(query: Query(collection: "set")).records
            #expect(try sets.map { try reps(of: $0) }.sorted() == Array(1...20))
            try await phone.store.close()
            try await tablet.store.close()
        }

        @Test(.timeLimit(.minutes(1))) func a_conflict_is_shown_and_resolved() async throws {
            let server = try Server()
            let phone = try await Rig(backend: server.backend, host: try server.host())
            let tablet = try await Rig(backend: server.backend, host: try server.host())
            _ = try await phone.store.put(collection: "workout", id: "w1", body: #"{"name":"Legs"}"#)
            _ = try await phone.store.sync()
            _ = try await tablet.store.sync()
            _ = try await phone.store.put(collection: "workout", id: "w1", body: #"{"name":"phone"}"#)
            _ = try await tablet.store.put(collection: "workout", id: "w1", body: #"{"name":"tablet"}"#)
            _ = try await phone.store.sync()
            _ = try await tablet.store.sync()

            let conflict = try #require(try await tablet.store.conflicts().first)
            #expect(conflict.base == #"{"name":"Legs"}"#)
            #expect(conflict.local == #"{"name":"tablet"}"#)
            #expect(conflict.remote == #"{"name":"phone"}"#)
            #expect(conflict.difference.map(\.path) == ["/name"])
            let stale = await failure {
                try await tablet.store.resolve(
                    collection: "workout", id: "w1", token: "another", resolution: .keepRemote)
            }
            #expect(stale?.code == "conflict_changed")
            try await tablet.store.resolve(
                collection: "workout", id: "w1", token: conflict.token, resolution: .merge(body: #"{"name":"both"}"#))
            #expect(try await tablet.store.conflicts().isEmpty)
            _ = try await tablet.store.sync()
            _ = try await phone.store.sync()
            #expect(try await phone.store.get(collection: "workout", id: "w1")?.body == #"{"name":"both"}"#)
            try await phone.store.close()
            try await tablet.store.close()
        }
    }
}
