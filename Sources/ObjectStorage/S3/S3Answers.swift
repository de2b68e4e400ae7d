import HTTP

extension ObjectPage {
    /// A page of ListObjectsV2.
    package init(s3 body: [UInt8]) throws {
        self.init()
        var isEncoded = false
        var isTruncated = false
        var token: String?
        var key = ""
        var size: UInt64?
        var modified: Int64 = 0
        try XMLPull.forEachElement(in: body) { path, text in
            guard path.first == "ListBucketResult" else {
                throw XMLPull.Malformed(description: "an answer to another question: \(path.first ?? "")")
            }
            switch (path.count, path.last) {
            case (2, "EncodingType"): isEncoded = text == "url"
            case (2, "IsTruncated"): isTruncated = text == "true"
            case (2, "NextContinuationToken"): token = text
            case (3, "Key"): key = text
            case (3, "Size"): size = UInt64(text)
            case (3, "LastModified"): modified = ServiceTime.parseISO8601(text) ?? 0
            case (2, "Contents"):
                guard let bytes = size else {
                    throw XMLPull.Malformed(description: "a list in which an object has no size")
                }
                objects.append((key, ObjectFacts(size: bytes, modified: modified)))
                (key, size, modified) = ("", nil, 0)
            case (3, "Prefix") where path[1] == "CommonPrefixes": prefixes.append(text)
            default: break
            }
        }
        if isEncoded {
            // Where the element comes does not matter.
            objects = try objects.map { (try S3XML.decoded($0.key), $0.facts) }
            prefixes = try prefixes.map(S3XML.decoded)
        }
        guard isTruncated else { return }
        guard let token, !token.isEmpty else {
            throw XMLPull.Malformed(description: "a list that goes on without saying where")
        }
        next = token
    }
}

/// What went wrong, as S3, STS and their like say it: `<Error>`, or `<ErrorResponse><Error>`.
package struct S3ErrorAnswer: Sendable {
    package var code: String?
    package var message: String?
    package var region: String?
    package var requestID: String?

    /// nil when it is no such answer.
    package init?(_ body: [UInt8]) {
        var isError = false
        do {
            try XMLPull.forEachElement(in: body) { path, text in
                switch path.last {
                case "Error": isError = true
                case "Code": code = text
                case "Message": message = text
                case "Region": region = text
                case "RequestId", "RequestID": requestID = text
                default: break
                }
            }
        } catch {
            return nil
        }
        if !isError { return nil }
    }
}

/// Which of many objects DeleteObjects could not delete.
package struct S3DeleteAnswer: Sendable {
    package var errors: [(key: String, code: String, message: String)] = []

    package init(_ body: [UInt8]) throws {
        var key = ""
        var code = ""
        var message = ""
        try XMLPull.forEachElement(in: body) { path, text in
            guard path.first == "DeleteResult" else {
                throw XMLPull.Malformed(description: "an answer to another question: \(path.first ?? "")")
            }
            guard path.count >= 2, path[1] == "Error" else { return }
            switch path.last {
            case "Key": key = text
            case "Code": code = text
            case "Message": message = text
            case "Error":
                errors.append((key, code, message))
                (key, code, message) = ("", "", "")
            default: break
            }
        }
    }
}

/// Where a bucket lies, as GetBucketLocation has it.
enum S3Location {
    /// nil when the document says nothing.
    static func parse(_ body: [UInt8]) throws -> String? {
        var found: String?
        try XMLPull.forEachElement(in: body) { path, text in if path == ["LocationConstraint"] { found = text } }
        return found
    }
}

enum S3XML {
    /// The text of the element `name` directly in the root, nil when there is none. What the root is called differs
    /// between services.
    static func text(of name: String, in body: [UInt8]) throws -> String? {
        var found: String?
        try XMLPull.forEachElement(in: body) { path, text in
            if path.count == 2, path[1] == name { found = text }
        }
        return found
    }

    /// A key in a listing with `encoding-type=url`.
    static func decoded(_ key: String) throws -> String {
        guard let decoded = PercentEncoding.decode(key, plusIsSpace: true) else {
            throw XMLPull.Malformed(description: "a key that is not encoded as said")
        }
        return decoded
    }

    static func escaped(_ text: String) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "&": result += "&amp;"
            case "<": result += "&lt;"
            case ">": result += "&gt;"
            case "\"": result += "&quot;"
            case "\u{0}"..<" ": result += "&#\(scalar.value);"
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }
}
