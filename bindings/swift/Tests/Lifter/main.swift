// Logs sets into a session until it is killed, and says of each that it is on the disk: its number, one a line.
import Foundation
import Keepsync

let arguments = CommandLine.arguments
guard arguments.count == 2 else {
    FileHandle.standardError.write(Data("usage: Lifter FOLDER\n".utf8))
    exit(2)
}
let collections = [
    CollectionOptions(name: "workout", policy: .ask),
    CollectionOptions(name: "set", policy: .clientWins, parent: Parent(collection: "workout", field: "workout_id")),
]
let accounts = try Accounts(options: Options(folder: arguments[1], collections: collections), host: Host())
let store = try await accounts.open(account: "lifter@example.org")
_ = try await store.startSession(collection: "workout", children: "set", id: "w1", body: #"{"name":"Legs"}"#)
var number = 0
while true {
    number += 1
    _ = try await store.logSet(collection: "workout", id: "w1", slot: "squat/\(number)", body: #"{"reps":\#(number)}"#)
    FileHandle.standardOutput.write(Data("\(number)\n".utf8))
}
