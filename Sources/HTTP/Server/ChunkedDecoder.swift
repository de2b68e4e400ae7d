import NIOCore

/// Takes the chunks off a body that comes in chunks. Strict for the same reason as ``RequestHead``; trailers are
/// thrown away.
struct ChunkedDecoder {
    private enum State {
        case size
        case data(UInt64)
        case dataEnd
        case trailers
        case end
    }

    private var state = State.size
    private var trailerBytes = 0

    /// Of a line with a size or a trailer, and of all trailers.
    private static let lineLimit = 4096
    private static let trailerLimit = 16 << 10

    var isAtEnd: Bool { if case .end = state { true } else { false } }

    /// - Returns: the next bytes of the body; nil at its end, and when more has to come first.
    mutating func next(_ input: inout ByteBuffer) throws(RequestFault) -> ByteBuffer? {
        while true {
            switch state {
            case .size:
                guard let line = try Self.line(&input) else { return nil }
                let size = try Self.size(line)
                state = size == 0 ? .trailers : .data(size)
            case .data(let left):
                let count = Int(min(left, UInt64(input.readableBytes)))
                guard count > 0, let piece = input.readSlice(length: count) else { return nil }
                state = left == UInt64(count) ? .dataEnd : .data(left - UInt64(count))
                return piece
            case .dataEnd:
                guard input.readableBytes >= 2 else { return nil }
                guard input.readBytes(length: 2) == [0x0d, 0x0a] else { throw Self.fault }
                state = .size
            case .trailers:
                guard let line = try Self.line(&input) else { return nil }
                trailerBytes += line.count
                guard trailerBytes <= Self.trailerLimit else { throw RequestFault(431, "trailers that are too long") }
                if line.isEmpty { state = .end }
            case .end: return nil
            }
        }
    }

    private static var fault: RequestFault { RequestFault(400, "chunks that are none") }

    private static func line(_ input: inout ByteBuffer) throws(RequestFault) -> [UInt8]? {
        let view = input.readableBytesView.prefix(lineLimit)
        guard let end = view.firstIndex(of: UInt8(ascii: "\n")) else {
            guard view.count < lineLimit else { throw fault }
            return nil
        }
        let count = end - view.startIndex
        guard let line = input.readBytes(length: count + 1)?.dropLast(), line.last == UInt8(ascii: "\r"),
            line.dropLast().allSatisfy({ $0 >= 0x20 && $0 != 0x7f || $0 == 0x09 })
        else { throw fault }
        return Array(line.dropLast())
    }

    /// `1f`, `1f;extension`.
    private static func size(_ line: [UInt8]) throws(RequestFault) -> UInt64 {
        let digits = line.prefix { $0 != UInt8(ascii: ";") }
        guard (1...15).contains(digits.count),
            digits.allSatisfy({ $0 != UInt8(ascii: "+") && $0 != UInt8(ascii: "-") }),
            let size = UInt64(String(decoding: digits, as: UTF8.self), radix: 16)
        else { throw fault }
        return size
    }
}
