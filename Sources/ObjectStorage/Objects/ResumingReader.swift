package import HTTP
package import RepositoryStorage

/// How a service gives one object.
package protocol DownloadSource: Sendable {
    /// - Parameters:
    ///   - range: bytes; its end may lie past that of the object. nil is all of it.
    ///   - version: what ``Download/version`` was before: another object throws ``ServiceFailure/Kind/replaced``.
    /// - Returns: nil when the object has no byte in `range`.
    /// - Throws: ``ServiceFailure``.
    func open(_ range: Range<UInt64>?, version: String?) async throws -> Download?

    /// The error for the caller, with what was tried on what.
    func error(_ failure: ServiceFailure) -> StorageError
}

package struct Download: Sendable {
    package var body: any HTTPBody
    /// Bytes that the body must have.
    package var length: UInt64
    /// Tells this object from one that replaces it; nil when the service does not say.
    package var version: String?

    package init(body: any HTTPBody, length: UInt64, version: String?) {
        self.body = body
        self.length = length
        self.version = version
    }
}

/// Reads an object as it comes in, and goes on where it stopped when the connection breaks.
package final class ResumingReader: ObjectReader {
    private let source: any DownloadSource
    private let retry: RequestRetry
    private let version: String?
    /// Of the next byte.
    private var offset: UInt64
    private let end: UInt64
    /// nil at the end and after a failure.
    private var body: (any HTTPBody)?

    private init(_ source: any DownloadSource, _ retry: RequestRetry, _ download: Download?, from start: UInt64) {
        self.source = source
        self.retry = retry
        offset = start
        end = start + (download?.length ?? 0)
        version = download?.version
        body = download?.body
    }

    /// Opens it: so that what is missing throws here.
    package static func open(
        _ source: any DownloadSource, range: Range<UInt64>?, retry: RequestRetry
    ) async throws -> ResumingReader {
        do {
            let download = try await retry.run { _ in try await source.open(range, version: nil) }
            let start = range?.lowerBound ?? 0
            if let download, download.length > UInt64(Int64.max) - min(start, UInt64(Int64.max)) {
                await download.body.close()
                throw ServiceFailure(.broken, "the answer claims to be \(download.length) bytes long")
            }
            return ResumingReader(source, retry, download, from: start)
        } catch let failure as ServiceFailure {
            throw source.error(failure)
        }
    }

    package func read(into buffer: UnsafeMutableRawBufferPointer) async throws -> Int {
        do {
            return try await fill(buffer)
        } catch let failure as ServiceFailure {
            if failure.kind == .cancelled { throw CancellationError() }
            throw source.error(failure)
        }
    }

    package func close() async {
        await body?.close()
        body = nil
    }

    private func fill(_ buffer: UnsafeMutableRawBufferPointer) async throws -> Int {
        let wanted = Int(min(UInt64(buffer.count), end - offset))
        var done = 0
        var failures = 0
        var deadline = ContinuousClock.now + retry.limit
        while done < wanted {
            do {
                let count = try await receive(.init(rebasing: buffer[done..<wanted]))
                done += count
                offset += UInt64(count)
                failures = 0
                deadline = .now + retry.limit
            } catch let failure as ServiceFailure where failure.isRetryable {
                await close()
                failures += 1
                try await retry.pause(after: failures, failure, until: deadline)
            }
        }
        if offset == end, body != nil { await finish() }
        return done
    }

    /// At least one byte.
    private func receive(_ buffer: UnsafeMutableRawBufferPointer) async throws -> Int {
        if body == nil {
            let download = try await source.open(offset..<end, version: version)
            guard let download, download.length == end - offset else {
                await download?.body.close()
                throw ServiceFailure(.replaced, "the object changed while it was read")
            }
            body = download.body
        }
        guard let body else { return 0 }
        do throws(TransportError) {
            let count = try await body.read(into: buffer)
            if count == 0 { throw TransportError(.broken, "the answer ended \(end - offset) bytes early") }
            return count
        } catch {
            throw ServiceFailure(error)
        }
    }

    /// Takes the end of the body, so that its connection can be used again. All bytes are there already.
    private func finish() async {
        guard let body else { return }
        self.body = nil
        let byte = UnsafeMutableRawBufferPointer.allocate(byteCount: 1, alignment: 1)
        defer { byte.deallocate() }
        _ = try? await body.read(into: byte)
        await body.close()
    }
}
