import Glibc

/// The name of one run of a command, shared by its helper processes: `<pid>-<8 hex digits>`, as pgBackRest's `exec-id`.
package enum ExecutionID {
    package static func new() -> String {
        let digits = String(UInt32.random(in: .min ... .max), radix: 16)
        return "\(getpid())-" + String(repeating: "0", count: 8 - digits.count) + digits
    }
}
