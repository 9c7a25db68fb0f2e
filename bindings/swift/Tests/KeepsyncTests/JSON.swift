import Foundation

/// A JSON value.
enum JSON: Decodable, Equatable, Sendable {
    case null
    case bool(Bool)
    case whole(Int64)
    case number(Double)
    case text(String)
    case list([JSON])
    case object([String: JSON])

    init(from decoder: any Decoder) throws {
        let one = try decoder.singleValueContainer()
        if one.decodeNil() {
            self = .null
        } else if let value = try? one.decode(Bool.self) {
            self = .bool(value)
        } else if let value = try? one.decode(Int64.self) {
            self = .whole(value)
        } else if let value = try? one.decode(Double.self) {
            self = .number(value)
        } else if let value = try? one.decode(String.self) {
            self = .text(value)
        } else if let value = try? one.decode([JSON].self) {
            self = .list(value)
        } else {
            self = .object(try one.decode([String: JSON].self))
        }
    }

    static func parsed(_ text: String) -> JSON? {
        try? JSONDecoder().decode(JSON.self, from: Data(text.utf8))
    }

    /// A value of the generated code: what it says of itself.
    init(of any: Any) {
        let mirror = Mirror(reflecting: any)
        switch any {
        case let value as Bool: self = .bool(value)
        case let value as Int64: self = .whole(value)
        case let value as Int32: self = .whole(Int64(value))
        case let value as Double: self = .number(value)
        case let value as String: self = .text(value)
        case is Void: self = .null
        default:
            switch mirror.displayStyle {
            case .optional:
                self = mirror.children.first.map { JSON(of: $0.value) } ?? .null
            case .collection:
                self = .list(mirror.children.map { JSON(of: $0.value) })
            case .dictionary:
                let pairs = mirror.children.map { pair in
                    let both = Mirror(reflecting: pair.value).children.map(\.value)
                    return ("\(both[0])", JSON(of: both[1]))
                }
                self = .object(Dictionary(uniqueKeysWithValues: pairs))
            case .enum:
                if let child = mirror.children.first {
                    self = .object([child.label!: JSON(of: child.value)])
                } else {
                    self = .text("\(any)")
                }
            default:
                self = .object(
                    Dictionary(uniqueKeysWithValues: mirror.children.map { ($0.label!, JSON(of: $0.value)) }))
            }
        }
    }

    /// A member; `null` where there is none.
    subscript(_ name: String) -> JSON {
        if case .object(let members) = self { members[name] ?? .null } else { .null }
    }

    var string: String? { if case .text(let value) = self { value } else { nil } }
    var int: Int64? { if case .whole(let value) = self { value } else { nil } }
    var truth: Bool? { if case .bool(let value) = self { value } else { nil } }
    var list: [JSON]? { if case .list(let value) = self { value } else { nil } }
    var members: [String: JSON]? { if case .object(let value) = self { value } else { nil } }
    var strings: [String] { list?.compactMap(\.string) ?? [] }

    /// An enum as it is written: its variant and what that carries.
    var variant: (name: String, fields: JSON) {
        if let name = string { return (name, .null) }
        guard let one = members?.first else { return ("", .null) }
        return (one.key, one.value)
    }
}

/// What placeholders stand for.
struct Bindings {
    private var bound: [String: JSON] = [:]

    /// With what is bound in the place of its name.
    func filled(_ value: JSON) -> JSON {
        switch value {
        case .text(let text):
            if text.hasPrefix("$"), let whole = bound[String(text.dropFirst())] { return whole }
            var text = text
            // The longest first: `$op10` is not `$op1` and a nought.
            for (name, value) in bound.sorted(by: { $0.key.count > $1.key.count }) {
                if let replacement = value.string { text = text.replacingOccurrences(of: "$\(name)", with: replacement) }
            }
            return .text(text)
        case .list(let values): return .list(values.map(filled))
        case .object(let members): return .object(members.mapValues(filled))
        default: return value
        }
    }

    /// Where the two do not match; `nil`: they do.
    mutating func mismatch(_ wanted: JSON, _ got: JSON, at path: String = "") -> String? {
        switch wanted {
        case .text("$_"):
            return got == .null ? "\(path): nothing" : nil
        case .text(let text) where text.hasPrefix("$"):
            let name = String(text.dropFirst())
            guard let before = bound[name] else {
                if got == .null { return "\(path): nothing for \(text)" }
                bound[name] = got
                return nil
            }
            return before == got ? nil : "\(path): \(text) is \(before), not \(got)"
        case .object(let members):
            for (name, value) in members {
                if let problem = mismatch(value, got[name], at: "\(path)/\(name)") { return problem }
            }
            return got.members == nil ? "\(path): no object: \(got)" : nil
        case .list(let values):
            guard let others = got.list, others.count == values.count else { return "\(path): not as long: \(got)" }
            for (n, (value, other)) in zip(values, others).enumerated() {
                if let problem = mismatch(value, other, at: "\(path)/\(n)") { return problem }
            }
            return nil
        case .text(let text):
            if wanted == got { return nil }
            if let other = got.string, let one = JSON.parsed(text), let two = JSON.parsed(other), one.members != nil,
                one == two
            {
                return nil
            }
            return "\(path): \(wanted), not \(got)"
        default:
            return wanted == got ? nil : "\(path): \(wanted), not \(got)"
        }
    }
}
