import Foundation

/// What the Keychain says when it is asked for the key.
public enum KeychainAnswer: Sendable, Equatable {
    /// It is there.
    case found(Data)
    /// There is none.
    case none
    /// It cannot be had now: before the first unlock, or where the app may not ask ("interaction not allowed").
    case locked
    /// Something else.
    case failed(Int32)
}

/// What is done about the installation's key.
public enum KeyDecision: Sendable, Equatable {
    /// It is this one.
    case use(Data)
    /// A new one is made: nothing depends on an old one.
    case make
    /// It cannot be had now. Opening answers `unavailable`; why is for a person.
    case unavailable(String)

    /// How many bytes a key has.
    public static let size = 32

    /// Decides. A key that is not there, or not whole, is never replaced while there are files: what they hold and the backend does
    /// not have would be gone for good.
    public init(answer: KeychainAnswer, filesThere: Bool) {
        switch answer {
        case .found(let key) where key.count == Self.size: self = .use(key)
        case .found: self = .unavailable("the key in the keychain is not whole")
        case .none where filesThere: self = .unavailable("there are files, and no key for them in the keychain")
        case .none: self = .make
        case .locked: self = .unavailable("the keychain is locked")
        case .failed(let status): self = .unavailable("the keychain answers \(status)")
        }
    }
}

/// The folder of an installation's files.
public enum StoreFolder {
    /// Below Application Support of the app itself. Not in an app group: the system ends an app that is suspended with a lock on a
    /// file there.
    public static func standard(named name: String = "Keepsync") throws -> URL {
        try FileManager.default.url(for: .applicationSupportDirectory, in: .userDomainMask, appropriateFor: nil, create: true)
            .appendingPathComponent(name, isDirectory: true)
    }

    /// Makes the folder ready, before anything is opened in it. The files below it inherit its protection: readable from the first
    /// unlock after a start on, so that a drain in the background finds them. Stopped in between: the next call does the rest.
    public static func prepare(_ folder: URL, excludedFromBackup: Bool = false) throws {
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        #if os(iOS)
        try FileManager.default.setAttributes(
            [.protectionKey: FileProtectionType.completeUntilFirstUserAuthentication], ofItemAtPath: folder.path)
        #endif
        #if canImport(Darwin)
        var folder = folder
        var values = URLResourceValues()
        values.isExcludedFromBackup = excludedFromBackup
        try folder.setResourceValues(values)
        #endif
    }

    /// Whether files of a store are there. A folder that cannot be read counts as one with files.
    public static func hasFiles(_ folder: URL) -> Bool {
        guard FileManager.default.fileExists(atPath: folder.path) else { return false }
        guard let names = try? FileManager.default.contentsOfDirectory(atPath: folder.path) else { return true }
        return names.contains { $0.contains(".keepsync") }
    }
}
