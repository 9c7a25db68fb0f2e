import Foundation
import Keepsync
import Testing

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

extension Library {
    struct Stores {
        @Test func offline_session_is_there_after_a_reopen() async throws {
            let rig = try await Rig()
            _ = try await rig.store.startSession(
                collection: "workout", children: "set", id: "w1", body: #"{"name":"Legs"}"#)
            for set in 1...3 {
                _ = try await rig.store.logSet(
                    collection: "workout", id: "w1", slot: "squat/\(set)", body: #"{"reps":\#(set)}"#)
            }
            try await rig.store.note(collection: "workout", id: "w1", scratch: #"{"rest":90}"#)
            try await rig.store.close()

            let again = try await Rig(folder: rig.folder)
            let sessions = try await again.store.activeSessions()
            #expect(sessions.map(\.id) == ["w1"])
            #expect(sessions.first?.scratch == #"{"rest":90}"#)
            #expect(try sessions.first?.sets.map { try reps(of: $0) } == [1, 2, 3])
            #expect(try await again.store.queueCounts().waiting == 4)
            try await again.store.close()
        }

        @Test(.timeLimit(.minutes(1))) func a_killed_process_loses_nothing() async throws {
            let folder = try Folder()
            let child = Process()
            child.executableURL = built("Lifter")
            child.arguments = [folder.path]
            let out = Pipe()
            child.standardOutput = out
            try child.run()
            var said = 0
            while said < 200 { said = Int(out.fileHandleForReading.line()) ?? 1_000_000 }
            #expect(said == 200)
            kill(child.processIdentifier, SIGKILL)
            child.waitUntilExit()
            // What it still said before the signal came was on the disk too.
            while let more = Int(out.fileHandleForReading.line()) { said = more }

            let rig = try await Rig(folder: folder)
            let sets = try await rig.store.activeSessions().first?.sets ?? []
            #expect(try sets.prefix(said).map { try reps(of: $0) } == Array(1...said))
            // One set may have reached the disk and not been said.
            #expect(sets.count == said || sets.count == said + 1)
            #expect(try await rig.store.queueCounts().waiting == Int64(sets.count + 1))
            #expect(try await rig.store.salvaged() == nil)
            try await rig.store.close()
        }

        @Test func use_after_close_is_an_error() async throws {
            let rig = try await Rig()
            try await rig.store.close()
            try await rig.store.close()
            let error = await failure { _ = try await rig.store.put(collection: "workout", id: "w1", body: "{}") }
            #expect(error?.code == "closed")
            #expect(error?.retry == .never)
            #expect(await failure { try rig.store.network(there: true) }?.code == "closed")
            var told: [Changes] = []
            for await changes in rig.store.changes() { told.append(changes) }
            #expect(told.map(\.closed) == [true])
            for try await _ in rig.store.watch(Query(collection: "workout")) { Issue.record("read after the closing") }
        }

        @Test func the_same_file_opened_again_is_the_same_store() async throws {
            let rig = try await Rig()
            let again = try await Rig(folder: rig.folder)
            #expect(try again.store.deviceId() == rig.store.deviceId())
            _ = try await rig.store.put(collection: "workout", id: "w1", body: #"{"name":"Legs"}"#)
            #expect(try await again.store.get(collection: "workout", id: "w1") != nil)
            // It is not two stores on one file: what closes one closes the other.
            try await again.store.close()
            #expect(await failure { _ = try await rig.store.status() }?.code == "closed")
        }

        @Test func suspended_store_opens_again_by_itself() async throws {
            let rig = try await Rig()
            _ = try await rig.store.put(collection: "workout", id: "w1", body: #"{"name":"Legs"}"#)
            try await rig.store.suspend()
            try await rig.store.suspend()
            // Nothing of it is open, so no lock is held.
            #expect(openFiles(in: rig.folder.path) == [])
            let record = try await rig.store.get(collection: "workout", id: "w1")
            #expect(record?.body == #"{"name":"Legs"}"#)
            #expect(openFiles(in: rig.folder.path) != [])
            try await rig.store.suspend()
            try await rig.store.resume()
            _ = try await rig.store.put(collection: "workout", id: "w2", body: "{}")
            #expect(try await rig.store.queueCounts().waiting == 2)
            try await rig.store.close()
        }

        @Test func ten_thousand_records_are_read_page_by_page() async throws {
            let rig = try await Rig()
            for batch in 0..<20 {
                _ = try await rig.store.writeAll(
                    mutations: (0..<500).map { n in
                        .put(
                            collection: "workout", id: String(format: "w%05d", batch * 500 + n),
                            body: #"{"n":\#(batch * 500 + n)}"#)
                    })
            }
            var ids: [String] = []
            var pages = 0
            var next: String?
            repeat {
                let page = try await rig.store.query(query: Query(collection: "workout", limit: 500, after: next))
                #expect(page.records.count <= 500)
                ids += page.records.map(\.id)
                pages += 1
                next = page.next
            } while next != nil
            #expect(ids == (0..<10_000).map { String(format: "w%05d", $0) })
            #expect(pages == 20 || pages == 21)
            let top = try await rig.store.query(
                query: Query(
                    collection: "workout",
                    filters: [Filter(field: "n", compare: .lt, value: .whole(number: 5_000))], orderBy: "n",
                    descending: true, limit: 2))
            #expect(top.records.map(\.id) == ["w04999", "w04998"])
            try await rig.store.close()
        }

        @Test func a_wrong_body_names_its_field() async throws {
            let rig = try await Rig()
            let secret = "85 kilograms"
            let error = await failure {
                _ = try await rig.store.put(collection: "workout", id: "w1", body: #"["\#(secret)"]"#)
            }
            #expect(error?.code == "invalid")
            #expect(error?.retry == .never)
            #expect(error?.detail.contains("body") == true)
            #expect(error?.detail.contains(secret) == false)
            #expect(error?.localizedDescription.contains(secret) == false)
            let limit = await failure { _ = try await rig.store.query(query: Query(collection: "workout", limit: -1)) }
            #expect(limit?.detail.contains("limit") == true)
            let unknown = await failure { _ = try await rig.store.put(collection: "nowhere", id: "", body: "{}") }
            #expect(unknown?.code == "unknown_collection")
            #expect(try await rig.store.queueCounts().waiting == 0)
            try await rig.store.close()
        }

        @Test func a_watched_query_is_read_again_when_something_changed() async throws {
            let rig = try await Rig()
            let store = rig.store
            let counts = Shared<[Int]>([])
            let loop = Task {
                for try await page in store.watch(Query(collection: "workout")) {
                    counts.with { $0.append(page.records.count) }
                }
            }
            try await eventually("the first page") { counts.value == [0] }
            _ = try await store.put(collection: "workout", id: "w1", body: "{}")
            try await eventually("the page with the record") { counts.value.last == 1 }
            // Pairs are no collection's.
            let before = counts.value.count
            try await store.kvSet(key: "theme", value: "dark")
            _ = try await store.put(collection: "workout", id: "w2", body: "{}")
            try await eventually("the page with both") { counts.value.last == 2 }
            #expect(counts.value.count == before + 1)
            loop.cancel()
            try await loop.value
            _ = try await store.put(collection: "workout", id: "w3", body: "{}")
            #expect(counts.value.last == 2)

            let closed = Task { for try await _ in store.watch(collection: "workout", id: "w1") {} }
            try await store.close()
            try await closed.value
        }
    }
}

/// The `reps` of a set.
func reps(of set: Record) throws -> Int {
    struct Body: Decodable {
        let reps: Int
    }
    return try JSONDecoder().decode(Body.self, from: Data((set.body ?? "").utf8)).reps
}

/// An executable of this package, beside the tests.
func built(_ name: String) -> URL {
    #if os(Linux)
    let tests = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
    #else
    let tests = Bundle.allBundles.first { $0.bundlePath.hasSuffix(".xctest") }?.bundleURL ?? Bundle.main.bundleURL
    #endif
    return tests.deletingLastPathComponent().appendingPathComponent(name)
}

/// The files of a folder that this process has open.
func openFiles(in folder: String) -> [String] {
    #if os(Linux)
    let names = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd")) ?? []
    return names.compactMap { try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/fd/\($0)") }
        .filter { $0.hasPrefix(folder) }
    #else
    return []
    #endif
}
