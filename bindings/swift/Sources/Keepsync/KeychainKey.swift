#if canImport(Security)
import Foundation
import Security

/// The files' key, in the Keychain of this device: there from the first unlock on, in no backup that goes to another device.
///
/// 1. The Keychain is asked. ``KeyDecision`` says what its answer means.
/// 2. A new key is stored before it is used. Stopped after that: it is found the next time, and nothing was encrypted with another.
/// 3. Where another process of the app has stored one meanwhile, that one is used.
public final class KeychainKey: KeyProvider {
    private let service: String
    private let folder: URL

    /// `folder` is that of ``Options``: its files decide whether a new key may be made.
    public init(service: String, folder: URL) {
        self.service = service
        self.folder = folder
    }

    public func key() async throws -> Data {
        switch KeyDecision(answer: ask(), filesThere: StoreFolder.hasFiles(folder)) {
        case .use(let key): return key
        case .unavailable(let reason): throw HostError.Failed(reason: reason)
        case .make: return try make()
        }
    }

    private var item: [CFString: Any] {
        [
            kSecClass: kSecClassGenericPassword,
            kSecAttrService: service,
            kSecAttrAccount: "keepsync",
            kSecAttrSynchronizable: false,
        ]
    }

    private func ask() -> KeychainAnswer {
        var query = item
        query[kSecReturnData] = true
        query[kSecMatchLimit] = kSecMatchLimitOne
        var found: CFTypeRef?
        let status = SecItemCopyMatching(query as CFDictionary, &found)
        switch status {
        case errSecSuccess: return .found(found as? Data ?? Data())
        case errSecItemNotFound: return .none
        case errSecInteractionNotAllowed: return .locked
        default: return .failed(status)
        }
    }

    private func make() throws -> Data {
        var bytes = [UInt8](repeating: 0, count: KeyDecision.size)
        guard SecRandomCopyBytes(kSecRandomDefault, bytes.count, &bytes) == errSecSuccess else {
            throw HostError.Failed(reason: "the system gives no random bytes")
        }
        var new = item
        new[kSecValueData] = Data(bytes)
        new[kSecAttrAccessible] = kSecAttrAccessibleAfterFirstUnlockThisDeviceOnly
        switch SecItemAdd(new as CFDictionary, nil) {
        case errSecSuccess: return Data(bytes)
        case errSecDuplicateItem:
            guard case .found(let key) = ask(), key.count == KeyDecision.size else {
                throw HostError.Failed(reason: "the keychain has a key and does not give it")
            }
            return key
        case let status: throw HostError.Failed(reason: "the keychain answers \(status)")
        }
    }
}
#endif
