import Foundation
import Keepsync
import Testing

extension Library {
    /// The same scenarios in every language: bindings/transcripts.
    struct Transcripts {
        static var files: [URL] {
            let here = URL(fileURLWithPath: #filePath)
            let folder = here.appendingPathComponent("../../../../transcripts").standardized
            let all = (try? FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)) ?? []
            return all.filter { $0.pathExtension == "json" }.sorted { $0.path < $1.path }
        }

        @Test(.timeLimit(.minutes(1))) func transcripts_are_replayed() async throws {
            #expect(!Self.files.isEmpty)
            for file in Self.files {
                let transcript = try JSONDecoder().decode(JSON.self, from: Data(contentsOf: file))
                #expect(try await Replay(transcript).run(file.lastPathComponent) == [])
            }
        }

        @Test func a_transcript_that_is_wrong_fails() async throws {
            let wrong = #"""
                {"options": {"collections": [{"name": "workout", "policy": "ask"}]}, "account": "a", "steps": [
                    {"call": "put", "args": {"collection": "workout", "id": "w1", "body": "{}"}, "gives": {"id": "w2"}}]}
                """#
            let unknown = #"{"options": {"collections": []}, "account": "a", "steps": [{"call": "fly", "gives": null}]}"#
            let problems = try await Replay(JSON.parsed(wrong) ?? .null).run("wrong")
            #expect(problems.count == 1)
            #expect(problems.first?.contains("/id") == true)
            await #expect(throws: Unreadable.self) { try await Replay(JSON.parsed(unknown) ?? .null).run("unknown") }
        }
    }
}

private struct Replay {
    let transcript: JSON
    let script = Script()
    let told = Shared<[String: JSON]>([:])
    let problems = Shared<[String]>([])

    init(_ transcript: JSON) { self.transcript = transcript }

    /// Gives what did not match.
    func run(_ name: String) async throws -> [String] {
        let folder = try Folder()
        var bindings = Bindings()
        var (accounts, store) = try await open(folder)
        for (number, step) in (transcript["steps"].list ?? []).enumerated() {
            let place = "\(name), step \(number): "
            if let call = step["call"].string {
                try await self.call(call, step, of: store, accounts, &bindings, place)
            } else if let answers = bindings.filled(step["answers"]).members {
                script.answers.with { queued in
                    for (kind, more) in answers { queued[kind, default: []] += more.list ?? [] }
                }
            } else if let wanted = step["asked"].members {
                let asked = script.asked.with { asked in
                    defer { asked = [:] }
                    return asked
                }
                for (kind, list) in wanted {
                    note(bindings.mismatch(list, .list(asked[kind] ?? []), at: kind), place)
                }
            } else if step["told"] != .null {
                try await eventually("\(place)told \(told.value)") { covers(step["told"]) }
                told.with { $0 = [:] }
            } else if step["reopen"] == .bool(true) {
                try await store.close()
                (accounts, store) = try await open(folder)
            } else {
                throw Unreadable(what: place + "what is it?")
            }
        }
        try await store.close()
        return problems.value
    }

    private func call(
        _ name: String, _ step: JSON, of store: Store, _ accounts: Accounts, _ bindings: inout Bindings, _ place: String
    ) async throws {
        let got: JSON
        do {
            got = try await KeepsyncTests.call(name, bindings.filled(step["args"]), of: store, accounts)
        } catch let error as KeepsyncError {
            let said = JSON.object(["code": .text(error.code), "retry": .text("\(error.retry)"), "detail": .text(error.detail)])
            let wanted = step["fails"]
            note(wanted == .null ? "\(error)" : bindings.mismatch(wanted, said), place + name)
            return
        }
        note(step["fails"] != .null ? "did not fail" : bindings.mismatch(step["gives"], got), place + name)
    }

    private func note(_ problem: String?, _ place: String) {
        if let problem { problems.with { $0.append("\(place) \(problem)") } }
    }

    private func open(_ folder: Folder) async throws -> (Accounts, Store) {
        let options = transcript["options"]
        let accounts = try Accounts(
            options: Options(
                folder: folder.path, collections: try collections(options["collections"]),
                backend: try backend(options["backend"]), settings: try settings(options["settings"]),
                deviceId: options["deviceId"].string),
            host: Host(tokens: script, remote: script))
        let store = try await accounts.open(account: transcript["account"].string ?? "")
        let told = told
        _ = try await store.listen(
            listener: OnChange { changes in
                told.with { union in
                    guard case .object(let news) = JSON(of: changes) else { return }
                    for (name, value) in news where value != .null && value != .bool(false) {
                        if case .list(let more) = value {
                            union[name] = .list((union[name]?.list ?? []) + more)
                        } else {
                            union[name] = value
                        }
                    }
                }
            })
        return (accounts, store)
    }

    private func covers(_ wanted: JSON) -> Bool {
        let told = told.value
        return (wanted.members ?? [:]).allSatisfy { name, value in
            if let names = value.list { return names.allSatisfy { told[name]?.list?.contains($0) == true } }
            var none = Bindings()
            return value == .bool(false) || none.mismatch(value, told[name] ?? .null) == nil
        }
    }
}
