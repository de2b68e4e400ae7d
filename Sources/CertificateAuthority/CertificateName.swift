package import BackupModel
import Glibc

/// A name that a certificate is for: one of the DNS, or an IP address.
package enum CertificateName: Hashable, Sendable {
    /// ASCII, as it was given; the first label may be `*`.
    case dns(String)
    /// In network order: 4 bytes or 16.
    case address([UInt8])

    /// Throws `.parameterInvalid`.
    package init(_ text: String) throws(BackupError) {
        if let bytes = Self.address(text) {
            self = .address(bytes)
            return
        }
        if let fault = Self.fault(text) {
            throw BackupError(
                .parameterInvalid, "name '\(printable(text))' \(fault)",
                hint: "a name is that of a host, such as db1.example.com, or an IP address")
        }
        self = .dns(text)
    }

    /// Addresses in their shortest form.
    package var text: String {
        switch self {
        case .dns(let name): return name
        case .address(let bytes):
            var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
            inet_ntop(bytes.count == 4 ? AF_INET : AF_INET6, bytes, &text, socklen_t(INET6_ADDRSTRLEN))
            return String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
        }
    }

    /// The names of one certificate. The first becomes its common name, by which `tls-server-auth` knows a client, and
    /// the name of its files.
    package static func list(_ words: [String]) throws(BackupError) -> [CertificateName] {
        var names: [CertificateName] = []
        var seen: Set<String> = []
        for word in words {
            let name = try CertificateName(word)
            if seen.insert(name.text.lowercased()).inserted { names.append(name) }
        }
        if let first = names.first?.text { try checkFirst(first) }
        return names
    }

    private static func checkFirst(_ name: String) throws(BackupError) {
        let fault: String
        if name.hasPrefix("*") {
            fault = "cannot be the first: tls-server-auth knows a client by it"
        } else if name == AuthorityDirectory.authorityStem {
            fault = "is that of the authority's own files"
        } else if name.utf8.count > commonNameLimit {
            fault = "is too long to be the first: a common name has \(commonNameLimit) characters at most"
        } else {
            return
        }
        throw BackupError(.parameterInvalid, "name '\(name)' \(fault)", hint: "give another name first")
    }

    /// `ub-common-name` of RFC 5280.
    static let commonNameLimit = 64

    private static func address(_ text: String) -> [UInt8]? {
        for (family, size) in [(AF_INET, 4), (AF_INET6, 16)] {
            var bytes = [UInt8](repeating: 0, count: size)
            if inet_pton(family, text, &bytes) == 1 { return bytes }
        }
        return nil
    }

    /// What is wrong with a name of the DNS; underscores are let through, since hosts have them.
    private static func fault(_ text: String) -> String? {
        if text.isEmpty { return "is empty" }
        if text.utf8.count > 253 { return "is longer than 253 characters" }
        let labels = text.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        for (place, label) in labels.enumerated() {
            if label.isEmpty { return "has an empty part" }
            if label.count > 63 { return "has a part of more than 63 characters" }
            if label.elementsEqual("*".utf8) {
                if place > 0 || labels.count == 1 { return "may have '*' only as its first part of several" }
                continue
            }
            if label.contains(where: { !isAllowed($0) }) {
                return text.utf8.contains { $0 >= 0x80 }
                    ? "has other characters than ASCII: write it in its xn-- form"
                    : "has characters that no host name has"
            }
            if label.first == UInt8(ascii: "-") || label.last == UInt8(ascii: "-") {
                return "has a part that begins or ends with '-'"
            }
        }
        let isNumber = labels.last?.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) } == true
        return isNumber ? "ends in a number, but is no IP address" : nil
    }

    private static func isAllowed(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"):
            true
        default: false
        }
    }
}

/// For messages: a terminal must not obey what a name or a certificate says.
func printable(_ text: String) -> String {
    String(String.UnicodeScalarView(text.unicodeScalars.map { isControl($0) ? "?" : $0 }))
}

func isControl(_ scalar: Unicode.Scalar) -> Bool {
    scalar.properties.generalCategory == .control || scalar.properties.generalCategory == .format
}
