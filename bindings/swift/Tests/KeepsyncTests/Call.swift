import Keepsync

/// Makes the call of a transcript. What is exported and not here fails the transcript that names it.
func call(_ name: String, _ args: JSON, of store: Store, _ accounts: Accounts) async throws -> JSON {
    switch name {
    case "conflicts":
        return JSON(of: try await store.conflicts() as Any)
    case "lastChangeElsewhere":
        return JSON(of: try await store.lastChangeElsewhere(collection: args["collection"].string ?? "", id: args["id"].string ?? "") as Any)
    case "mergeInto":
        return JSON(of: try await store.mergeInto(collection: args["collection"].string ?? "", keep: args["keep"].string ?? "", drop: args["drop"].string ?? "") as Any)
    case "resolve":
        try await store.resolve(collection: args["collection"].string ?? "", id: args["id"].string ?? "", token: args["token"].string ?? "", resolution: resolution(args["resolution"]))
        return .null
    case "twins":
        return JSON(of: try await store.twins(collection: args["collection"].string ?? "") as Any)
    case "bundle":
        return JSON(of: try await store.bundle() as Any)
    case "counters":
        return JSON(of: try await store.counters() as Any)
    case "dismissNotice":
        try await store.dismissNotice(n: args["n"].int ?? 0)
        return .null
    case "events":
        return JSON(of: try await store.events(limit: args["limit"].int ?? 0) as Any)
    case "exportRecords":
        return JSON(of: try await store.exportRecords() as Any)
    case "importRecords":
        return JSON(of: try await store.importRecords(text: args["text"].string ?? "") as Any)
    case "notices":
        return JSON(of: try await store.notices() as Any)
    case "unlisten":
        try store.unlisten(listener: args["listener"].int ?? 0)
        return .null
    case "kvClear":
        try await store.kvClear()
        return .null
    case "kvGet":
        return JSON(of: try await store.kvGet(key: args["key"].string ?? "") as Any)
    case "kvKeys":
        return JSON(of: try await store.kvKeys() as Any)
    case "kvMerge":
        try await store.kvMerge(key: args["key"].string ?? "", value: args["value"].string ?? "")
        return .null
    case "kvMultiGet":
        return JSON(of: try await store.kvMultiGet(keys: args["keys"].strings) as Any)
    case "kvMultiRemove":
        try await store.kvMultiRemove(keys: args["keys"].strings)
        return .null
    case "kvMultiSet":
        try await store.kvMultiSet(pairs: args["pairs"].members?.compactMapValues(\.string) ?? [:])
        return .null
    case "kvRemove":
        try await store.kvRemove(key: args["key"].string ?? "")
        return .null
    case "kvSet":
        try await store.kvSet(key: args["key"].string ?? "", value: args["value"].string ?? "")
        return .null
    case "confirmed":
        return JSON(of: try await store.confirmed(op: args["op"].string ?? "", limitMs: args["limitMs"].int ?? 0) as Any)
    case "discardEntry":
        return JSON(of: try await store.discardEntry(op: args["op"].string ?? "", cascade: args["cascade"].truth ?? false) as Any)
    case "editEntry":
        return JSON(of: try await store.editEntry(op: args["op"].string ?? "", body: args["body"].string ?? "") as Any)
    case "entries":
        return JSON(of: try await store.entries(afterSeq: args["afterSeq"].int ?? 0, limit: args["limit"].int ?? 0) as Any)
    case "entry":
        return JSON(of: try await store.entry(op: args["op"].string ?? "") as Any)
    case "exportQueue":
        return JSON(of: try await store.exportQueue() as Any)
    case "outcome":
        return JSON(of: try await store.outcome(op: args["op"].string ?? "") as Any)
    case "queueCounts":
        return JSON(of: try await store.queueCounts() as Any)
    case "retryAll":
        return JSON(of: try await store.retryAll() as Any)
    case "retryEntry":
        try await store.retryEntry(op: args["op"].string ?? "")
        return .null
    case "rollback":
        return JSON(of: try await store.rollback(op: args["op"].string ?? "", cascade: args["cascade"].truth ?? false) as Any)
    case "settled":
        return JSON(of: try await store.settled(op: args["op"].string ?? "") as Any)
    case "delete":
        return JSON(of: try await store.delete(collection: args["collection"].string ?? "", id: args["id"].string ?? "") as Any)
    case "get":
        return JSON(of: try await store.get(collection: args["collection"].string ?? "", id: args["id"].string ?? "") as Any)
    case "getBlocking":
        return JSON(of: try store.getBlocking(collection: args["collection"].string ?? "", id: args["id"].string ?? "") as Any)
    case "history":
        return JSON(of: try await store.history(collection: args["collection"].string ?? "", id: args["id"].string ?? "") as Any)
    case "patch":
        return JSON(of: try await store.patch(collection: args["collection"].string ?? "", id: args["id"].string ?? "", patch: args["patch"].string ?? "") as Any)
    case "put":
        return JSON(of: try await store.put(collection: args["collection"].string ?? "", id: args["id"].string ?? "", body: args["body"].string ?? "") as Any)
    case "putBlocking":
        return JSON(of: try store.putBlocking(collection: args["collection"].string ?? "", id: args["id"].string ?? "", body: args["body"].string ?? "") as Any)
    case "query":
        return JSON(of: try await store.query(query: query(args["query"])) as Any)
    case "queryBlocking":
        return JSON(of: try store.queryBlocking(query: query(args["query"])) as Any)
    case "writeAll":
        return JSON(of: try await store.writeAll(mutations: (args["mutations"].list ?? []).map(mutation)) as Any)
    case "activeSessions":
        return JSON(of: try await store.activeSessions() as Any)
    case "completeSession":
        return JSON(of: try await store.completeSession(collection: args["collection"].string ?? "", id: args["id"].string ?? "", patch: args["patch"].string ?? "") as Any)
    case "discardSession":
        try await store.discardSession(collection: args["collection"].string ?? "", id: args["id"].string ?? "")
        return .null
    case "logSet":
        return JSON(of: try await store.logSet(set: loggedSet(args["set"])) as Any)
    case "logSetBlocking":
        return JSON(of: try store.logSetBlocking(set: loggedSet(args["set"])) as Any)
    case "note":
        try await store.note(collection: args["collection"].string ?? "", id: args["id"].string ?? "", scratch: args["scratch"].string)
        return .null
    case "removeSet":
        return JSON(of: try await store.removeSet(collection: args["collection"].string ?? "", id: args["id"].string ?? "", slot: args["slot"].string ?? "") as Any)
    case "skipSession":
        return JSON(of: try await store.skipSession(collection: args["collection"].string ?? "", id: args["id"].string ?? "", patch: args["patch"].string ?? "") as Any)
    case "startSession":
        return JSON(of: try await store.startSession(collection: args["collection"].string ?? "", children: args["children"].string ?? "", id: args["id"].string ?? "", body: args["body"].string ?? "") as Any)
    case "account":
        return JSON(of: try store.account() as Any)
    case "close":
        try await store.close()
        return .null
    case "deviceId":
        return JSON(of: try store.deviceId() as Any)
    case "resume":
        try await store.resume()
        return .null
    case "salvaged":
        return JSON(of: try await store.salvaged() as Any)
    case "suspend":
        try await store.suspend()
        return .null
    case "background":
        return JSON(of: try await store.background(budgetMs: args["budgetMs"].int ?? 0) as Any)
    case "cancel":
        try store.cancel()
        return .null
    case "continueWithoutFirstSync":
        try await store.continueWithoutFirstSync()
        return .null
    case "firstSync":
        return JSON(of: try await store.firstSync() as Any)
    case "foreground":
        try store.foreground(there: args["there"].truth ?? false)
        return .null
    case "lastSyncedAt":
        return JSON(of: try await store.lastSyncedAt() as Any)
    case "look":
        try store.look()
        return .null
    case "network":
        try store.network(there: args["there"].truth ?? false)
        return .null
    case "retryFirstSync":
        return JSON(of: try await store.retryFirstSync() as Any)
    case "signedIn":
        try store.signedIn()
        return .null
    case "status":
        return JSON(of: try await store.status() as Any)
    case "sync":
        return JSON(of: try await store.sync() as Any)
    case "accounts.list":
        return JSON(of: try await accounts.list() as Any)
    case "accounts.losses":
        return JSON(of: try await accounts.losses(account: args["account"].string ?? "") as Any)
    case "accounts.signOut":
        return JSON(of: try await accounts.signOut(account: args["account"].string ?? "") as Any)
    case "accounts.wipe":
        try await accounts.wipe(account: args["account"].string ?? "", yes: losses(args["yes"]))
        return .null
    default:
        throw Unreadable(what: "the call \(name)")
    }
}
