import BackupModel
import HTTP
import RepositoryStorage

/// Gives an object, or a part of it, by a `GET` with a range.
struct RangedSource: DownloadSource {
    let describe: @Sendable (ServiceFailure) -> StorageError
    /// The header by which an answer names the version of the object.
    let versionHeader: String
    /// One attempt to get a range (`bytes=5-9`, `bytes=5-`; nil for the whole) of a version (nil for any), which takes
    /// the statuses 412 and 416 for answers.
    let attempt: @Sendable (_ range: String?, _ version: String?) async throws -> HTTPResponse

    init(
        versionHeader: String, describe: @escaping @Sendable (ServiceFailure) -> StorageError,
        attempt: @escaping @Sendable (_ range: String?, _ version: String?) async throws -> HTTPResponse
    ) {
        self.describe = describe
        self.versionHeader = versionHeader
        self.attempt = attempt
    }

    init(
        place: BucketPlace, key: String, versionHeader: String,
        attempt: @escaping @Sendable (_ range: String?, _ version: String?) async throws -> HTTPResponse
    ) {
        self.init(
            versionHeader: versionHeader, describe: { place.error($0, "read", key, code: .fileRead) }, attempt: attempt)
    }

    func open(_ range: Range<UInt64>?, version: String?) async throws -> Download? {
        // What no object can hold is asked for as what none has: some services refuse larger numbers.
        let largest = UInt64(Int64.max) - 1
        let start = min(range?.lowerBound ?? 0, largest)
        let end = min(range?.upperBound ?? largest, largest)
        let part = "bytes=\(start)-\(end == largest ? "" : String(max(end, start + 1) - 1))"
        let response = try await attempt(start > 0 || end < largest ? part : nil, version)
        switch response.status {
        case 416:
            await response.body.close()
            return nil
        case 412:
            await response.body.close()
            throw ServiceFailure(.replaced, "the object was replaced while it was read", status: 412)
        default: break
        }
        do {
            let length = try Self.length(response, start: start, end: end)
            if length == 0 || range?.isEmpty == true {
                await response.body.close()
                return nil
            }
            return Download(body: response.body, length: length, version: response.headers[versionHeader])
        } catch {
            await response.body.close()
            throw error
        }
    }

    func error(_ failure: ServiceFailure) -> StorageError { describe(failure) }

    /// Bytes that are to be taken from the body.
    private static func length(_ response: HTTPResponse, start: UInt64, end: UInt64) throws -> UInt64 {
        guard let count = response.headers["Content-Length"].flatMap({ UInt64($0) }) else {
            throw ServiceFailure(.broken, "the answer does not say how long it is", status: response.status)
        }
        // Some servers give a part and call it 200.
        if response.status == 206 || response.headers["Content-Range"] != nil {
            guard let range = response.headers["Content-Range"], range.hasPrefix("bytes \(start)-"),
                count <= max(end, start + 1) - start
            else {
                throw ServiceFailure(
                    .broken, "the answer is another part of the object than was asked for", status: response.status)
            }
            return count
        }
        // The service gave all of it, as it may.
        guard start == 0 else {
            throw ServiceFailure(.unsupported, "the service does not give parts of objects", status: response.status)
        }
        return min(count, end)
    }
}
