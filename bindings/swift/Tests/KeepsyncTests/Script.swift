import Foundation
import Keepsync

/// Reads what transcripts write as JSON into the generated types.
struct Unreadable: Error {
    let what: String
}

func collections(_ json: JSON) throws -> [CollectionOptions] {
    try (json.list ?? []).map { one in
        let parent = one["parent"]
        return CollectionOptions(
            name: one["name"].string ?? "", policy: try policy(one["policy"]),
            parent: parent == .null
                ? nil : Parent(collection: parent["collection"].string ?? "", field: parent["field"].string ?? ""),
            indexes: one["indexes"].strings, priority: Int32(one["priority"].int ?? 0),
            direction: try named(one["direction"], [.both, .pullOnly, .pushOnly, .local]),
            sending: try named(one["sending"], [.live, .onComplete]),
            firstSync: try named(one["firstSync"], [.notRequired, .required, .indispensable]),
            onRejected: try named(one["onRejected"], [.parkLane, .parkEntry]), sameWhen: one["sameWhen"].strings,
            withoutDeletes: one["withoutDeletes"].truth ?? false, settlesItself: one["settlesItself"].truth ?? false,
            announceChanges: one["announceChanges"].truth ?? false)
    }
}

/// One of the values, by its name.
func named<Name>(_ json: JSON, _ values: [Name]) throws -> Name? {
    guard json != .null else { return nil }
    guard let value = values.first(where: { "\($0)" == json.string }) else { throw Unreadable(what: "\(json)") }
    return value
}

func policy(_ json: JSON) throws -> Policy {
    let (name, fields) = json.variant
    switch name {
    case "latestOf": return .latestOf(field: fields["field"].string ?? "")
    case "lwwPer": return .lwwPer(key: fields["key"].string ?? "")
    case "mergeMax": return .mergeMax(path: fields["path"].string ?? "")
    case "mergeFields": return .mergeFields(groups: fields["groups"].list?.map(\.strings) ?? [])
    case "custom": return .custom(resolver: fields["resolver"].string ?? "")
    default:
        guard let plain = try named(json, [Policy.serverWins, .clientWins, .lastWriteWins, .ask, .counter]) else {
            throw Unreadable(what: "no policy")
        }
        return plain
    }
}

func backend(_ json: JSON) throws -> Backend? {
    guard json != .null else { return nil }
    let can = json["app"]["capabilities"]
    guard let batches = can["batches"].truth, let after = can["after"].truth, let pull = can["pull"].truth else {
        throw Unreadable(what: "a backend that is not the app's")
    }
    return .app(capabilities: Capabilities(batches: batches, after: after, pull: pull))
}

func settings(_ json: JSON) throws -> Settings {
    let known: Set = [
        "automatic", "fieldMode", "retryScheduleMs", "batchCount", "deviceLabel", "pullPage", "bodyBytes", "firstSyncLimitMs",
        "backoffScheduleMs", "order", "afterLast", "historyPerRecord", "jitter", "massRejection", "resolverMs",
    ]
    for name in (json.members ?? [:]).keys where !known.contains(name) { throw Unreadable(what: "settings.\(name)") }
    func numbers(_ name: String) -> [Int64]? { json[name].list?.compactMap(\.int) }
    let jitter: Double? =
        switch json["jitter"] {
        case .number(let value): value
        case .whole(let value): Double(value)
        default: nil
        }
    return Settings(
        fieldMode: json["fieldMode"].truth, automatic: json["automatic"].truth ?? false,
        order: try named(json["order"], [.pullThenPush, .pushThenPull]), retryScheduleMs: numbers("retryScheduleMs"),
        jitter: jitter, afterLast: try named(json["afterLast"], [.auto, .manual]),
        backoffScheduleMs: numbers("backoffScheduleMs"), batchCount: json["batchCount"].int,
        pullPage: json["pullPage"].int, firstSyncLimitMs: json["firstSyncLimitMs"].int,
        massRejection: json["massRejection"].int, bodyBytes: json["bodyBytes"].int,
        historyPerRecord: json["historyPerRecord"].int, resolverMs: json["resolverMs"].int,
        deviceLabel: json["deviceLabel"].string)
}

func query(_ json: JSON) throws -> Query {
    Query(
        collection: json["collection"].string ?? "",
        filters: try (json["filters"].list ?? []).map { one in
            let (name, fields) = one["value"].variant
            let value: FieldValue
            switch (name, fields["number"]) {
            case ("null", _): value = .null
            case ("text", _): value = .text(text: fields["text"].string ?? "")
            case ("whole", _): value = .whole(number: fields["number"].int ?? 0)
            case ("number", .whole(let number)): value = .number(number: Double(number))
            case ("number", .number(let number)): value = .number(number: number)
            case ("truth", _): value = .truth(truth: fields["truth"].truth ?? false)
            default: throw Unreadable(what: "a value: \(one)")
            }
            guard let compare = try named(one["compare"], [Compare.eq, .ne, .lt, .le, .gt, .ge]) else {
                throw Unreadable(what: "no comparison")
            }
            return Filter(field: one["field"].string ?? "", compare: compare, value: value)
        },
        orderBy: json["orderBy"].string, descending: json["descending"].truth ?? false,
        limit: json["limit"].int ?? 100, after: json["after"].string)
}

func mutation(_ json: JSON) throws -> Mutation {
    let (name, it) = json.variant
    let (collection, id) = (it["collection"].string ?? "", it["id"].string ?? "")
    switch name {
    case "put": return .put(collection: collection, id: id, body: it["body"].string ?? "")
    case "patch": return .patch(collection: collection, id: id, patch: it["patch"].string ?? "")
    case "delete": return .delete(collection: collection, id: id)
    default: throw Unreadable(what: "a mutation: \(name)")
    }
}

func loggedSet(_ json: JSON) -> LoggedSet {
    LoggedSet(
        collection: json["collection"].string ?? "", id: json["id"].string ?? "", slot: json["slot"].string ?? "",
        body: json["body"].string ?? "")
}

func resolution(_ json: JSON) throws -> Resolution {
    let (name, it) = json.variant
    switch name {
    case "keepLocal": return .keepLocal
    case "keepRemote": return .keepRemote
    case "merge": return .merge(body: it["body"].string ?? "")
    case "mergeWith":
        let children = (it["children"].list ?? []).map {
            ChildBody(collection: $0["collection"].string ?? "", id: $0["id"].string ?? "", body: $0["body"].string)
        }
        return .mergeWith(body: it["body"].string, children: children)
    default: throw Unreadable(what: "a resolution: \(name)")
    }
}

func losses(_ json: JSON) -> Losses {
    func count(_ name: String) -> Int64 { json[name].int ?? 0 }
    return Losses(
        unsent: count("unsent"), conflicts: count("conflicts"), sessions: count("sessions"),
        localRecords: count("localRecords"), pairs: count("pairs"), damagedFiles: count("damagedFiles"),
        token: json["token"].string ?? "")
}

func fault(_ json: JSON) -> RemoteFault {
    let (name, it) = json.variant
    switch name {
    case "timeout": return .Timeout
    case "untrusted": return .Untrusted
    case "throttled": return .Throttled(afterMs: it["afterMs"].int)
    case "signIn": return .SignIn
    case "tooLarge": return .TooLarge
    case "server": return .Server(status: it["status"].int ?? 0)
    case "unrecognised": return .Unrecognised(status: it["status"].int ?? 0)
    default: return .Offline
    }
}

func remoteVersion(_ json: JSON) -> RemoteVersion {
    RemoteVersion(
        body: json["body"].string, version: json["version"].int ?? 0, updatedAt: json["updatedAt"].int ?? 0,
        op: json["op"].string, deviceId: json["deviceId"].string, deviceLabel: json["deviceLabel"].string,
        hlc: json["hlc"].string, serverId: json["serverId"].string, createdAt: json["createdAt"].int)
}

func outcome(_ json: JSON) throws -> Outcome {
    let (name, it) = json.variant
    switch name {
    case "accepted":
        return .accepted(version: it["version"].int ?? 0, serverId: it["serverId"].string, body: it["body"].string)
    case "hasOther": return .hasOther(remote: remoteVersion(it["remote"]))
    case "rejected": return .rejected(code: it["code"].string ?? "", reason: it["reason"].string ?? "")
    case "retry": return .retry(afterMs: it["afterMs"].int)
    case "blocked": return .blocked
    case "signIn": return .signIn
    case "tooLarge": return .tooLarge
    default: throw Unreadable(what: "an outcome: \(name)")
    }
}

/// The backend and the sign-in of a transcript: answers as they were queued, and keeps what was asked.
final class Script: Remote, TokenProvider {
    let answers = Shared<[String: [JSON]]>([:])
    let asked = Shared<[String: [JSON]]>([:])

    /// The next answer; `nil`: none is queued.
    private func answer(_ kind: String, _ question: JSON) -> JSON? {
        asked.with { $0[kind, default: []].append(question) }
        return answers.with { $0[kind]?.isEmpty == false ? $0[kind]?.removeFirst() : nil }
    }

    func token(account: String, rejected: String?) async throws -> Token? {
        let question = JSON.object(["account": .text(account), "rejected": rejected.map(JSON.text) ?? .null])
        // Without one: a backend that needs none.
        guard let answer = answer("token", question), answer != .null else { return nil }
        if let fault = answer["fault"].string {
            throw fault == "signInNeeded" ? TokenError.SignInNeeded : TokenError.Offline
        }
        return Token(secret: answer["secret"].string ?? "", subject: answer["subject"].string)
    }

    func push(token: String?, batch: PushBatch) async throws -> PushAnswer {
        guard let answer = answer("push", JSON(of: batch)) else { throw RemoteFault.Offline }
        if answer["fault"] != .null { throw fault(answer["fault"]) }
        if answer["results"] == .text("acceptAll") {
            return PushAnswer(
                results: batch.items.map {
                    PushResult(op: $0.op, outcome: .accepted(version: $0.baseVersion + 1, serverId: nil, body: nil))
                })
        }
        let results = try (answer["results"].list ?? []).map {
            PushResult(op: $0["op"].string ?? "", outcome: try outcome($0["outcome"]))
        }
        return PushAnswer(results: results, serverTime: answer["serverTime"].int)
    }

    func pull(token: String?, request: PullRequest) async throws -> PullPage {
        guard let answer = answer("pull", JSON(of: request)) else { throw RemoteFault.Offline }
        if answer["fault"] != .null { throw fault(answer["fault"]) }
        return PullPage(
            changes: (answer["changes"].list ?? []).map {
                RemoteChange(
                    collection: $0["collection"].string ?? "", id: $0["id"].string ?? "",
                    version: remoteVersion($0["version"]))
            },
            cursors: (answer["cursors"].list ?? []).map {
                Cursor(collection: $0["collection"].string ?? "", position: $0["position"].string)
            },
            hasMore: answer["hasMore"].truth ?? false, whole: answer["whole"].strings,
            serverTime: answer["serverTime"].int)
    }

    func probe() async throws {
        guard let answer = answer("probe", .object([:])) else { throw RemoteFault.Offline }
        if answer["fault"] != .null { throw fault(answer["fault"]) }
    }
}
