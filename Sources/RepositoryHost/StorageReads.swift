import BackupModel
import HTTP
import ObjectStorage
import RepositoryStorage

extension StorageService.Call {
    func read() async throws -> ServerResponse {
        try access.requireRead(path)
        let whole = try store.open(path, range: nil)
        let size = whole.size
        let version = whole.version
        await whole.close()
        if let wanted = request.headers["If-Match"], wanted != version { return ServerResponse(412) }
        var headers: HTTPHeaders = ["ETag": version, "Content-Type": "application/octet-stream"]
        var range: Range<UInt64>?
        if let text = request.headers["Range"] {
            guard let asked = Self.range(text) else {
                throw StorageService.invalid("'\(text)' is no range of bytes that is understood here")
            }
            guard asked.lowerBound < size else { return ServerResponse(416) }
            let part = asked.lowerBound..<min(asked.upperBound, size)
            headers["Content-Range"] = "bytes \(part.lowerBound)-\(part.upperBound - 1)/\(size)"
            range = part
        }
        let length = range.map { $0.upperBound - $0.lowerBound } ?? size
        let wanted = range
        return ServerResponse(
            range == nil ? 200 : 206, headers: headers,
            body: .stream(length: length) { writer in
                try await send(wanted, version, length, to: writer)
            })
    }

    /// Opened again: what waits for its turn to be sent holds no file.
    private func send(
        _ range: Range<UInt64>?, _ version: String, _ length: UInt64, to writer: any ResponseWriter
    ) async throws {
        try await withTaskExecutorPreference(service.threads) {
            try await service.buffers.run { buffer in
                let reader = try store.open(path, range: range)
                guard reader.version == version else {
                    throw StorageError(BackupError(.fileRead, "'\(path)' was replaced while it was read"))
                }
                var left = length
                while left > 0 {
                    let count = try await reader.read(into: buffer)
                    if count == 0 { break }
                    let taken = Int(min(UInt64(count), left))
                    try await writer.write(UnsafeRawBufferPointer(rebasing: buffer[..<taken]).bytes)
                    left -= UInt64(taken)
                }
                await reader.close()
            }
        }
    }

    /// `bytes=5-9`, `bytes=5-`; nil for all other forms.
    static func range(_ text: String) -> Range<UInt64>? {
        guard text.hasPrefix("bytes=") else { return nil }
        let ends = text.dropFirst(6).split(separator: "-", omittingEmptySubsequences: false)
        guard ends.count == 2, let start = UInt64(ends[0]), start < UInt64(Int64.max) else { return nil }
        if ends[1].isEmpty { return start..<UInt64(Int64.max) }
        guard let last = UInt64(ends[1]), last >= start, last < UInt64(Int64.max) else { return nil }
        return start..<last + 1
    }

    func info() async throws -> ServerResponse {
        try access.requireRead(path)
        guard let info = try await store.info(path) else { return Self.done }
        return ServerResponse(200, body: .bytes(Array(HostWire.line(info).utf8)))
    }

    func list() async throws -> ServerResponse {
        try access.requireRead(path)
        let from = request.parameter("from")
        var entries = try await store.list(path, prefix: request.parameter("prefix") ?? "", from: nil).entries[...]
        if let from { entries = entries.drop { !from.utf8.lexicographicallyPrecedes($0.name.utf8) } }
        let page = entries.prefix(service.pageSize)
        var headers: HTTPHeaders = ["Content-Type": "text/plain"]
        if page.count < entries.count, let last = page.last {
            headers[HostWire.nextHeader] = PercentEncoding.encode(last.name)
        }
        let lines = page.filter { access.shows($0.name, in: path) }.map(HostWire.line).joined()
        return ServerResponse(200, headers: headers, body: .bytes(Array(lines.utf8)))
    }
}
