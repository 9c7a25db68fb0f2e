extension KeepsyncError {
    /// What it is: stable, never translated. The values are listed with ``KeepsyncError``.
    public var code: String {
        switch self {
        case .Failed(let code, _, _): code
        }
    }

    /// When the same call may be tried again.
    public var retry: RetryClass {
        switch self {
        case .Failed(_, let retry, _): retry
        }
    }

    /// More for a person: names fields, limits and ids, never what is in a record.
    public var detail: String {
        switch self {
        case .Failed(_, _, let detail): detail
        }
    }

    /// What a call of a closed store answers.
    static let closed = KeepsyncError.Failed(code: "closed", retry: .never, detail: "the store is closed")
}
