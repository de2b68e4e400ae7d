package import BackupModel
import Glibc

/// An extended POSIX regular expression. For one task.
package final class RegularExpression {
    private var compiled = regex_t()

    /// Throws `.format` for what is no expression.
    package init(_ pattern: String) throws(BackupError) {
        let status = regcomp(&compiled, pattern, REG_EXTENDED | REG_NOSUB)
        guard status == 0 else {
            var buffer = [CChar](repeating: 0, count: 256)
            regerror(status, &compiled, &buffer, buffer.count)
            let reason = String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            throw BackupError(
                .format, "'\(pattern)' is no regular expression: \(reason)",
                hint: "put a backslash before characters that are meant literally")
        }
    }

    deinit { regfree(&compiled) }

    /// Whether it is found anywhere in `text`.
    package func matches(_ text: String) -> Bool { regexec(&compiled, text, 0, nil, 0) == 0 }
}
