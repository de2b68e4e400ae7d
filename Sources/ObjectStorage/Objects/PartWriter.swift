package import RepositoryStorage

/// How a service takes one object. Its calls make requests again where that may help; what they throw is final.
package protocol UploadTarget: Sendable {
    /// Stores the whole object by one request; it shows when it returns.
    func put(_ bytes: [UInt8]) async throws
    /// Begins an object that comes in parts.
    func begin() async throws -> any PartUpload
}

/// An object on its way. Parts may be sent at the same time, up to ``concurrency``, each once.
package protocol PartUpload: Sendable {
    /// 1 for services that take parts in their order only.
    var concurrency: Int { get }

    /// - Parameters:
    ///   - number: from 1.
    ///   - offset: of its first byte in the object.
    ///   - isLast: nothing follows it.
    func upload(_ bytes: [UInt8], number: Int, offset: UInt64, isLast: Bool) async throws
    /// After all parts: the object shows when it returns.
    func complete() async throws
    /// Leaves nothing behind, in a cancelled task too. Never throws: what could not be removed is nobody's object.
    func abort() async
}

/// Gathers what is appended into parts and sends them in the background; an object of no more than one part goes by one
/// request at `commit`.
package final class PartWriter: ObjectWriter {
    /// Bytes that are sent by one request where they are announced: a WAL segment of the largest usual size.
    private static let largestWhole: UInt64 = 64 << 20

    private let target: any UploadTarget
    private var sizes: PartSizes
    private let slots: CallSlots

    private var buffer: [UInt8] = []
    private var spare: [[UInt8]] = []
    private var upload: (any PartUpload)?
    private var parts: [Task<[UInt8], any Error>] = []
    private var partNumber = 1
    private var offset: UInt64 = 0
    private var isOver = false

    /// - Parameter slots: parts on their way in the whole store. One is held only by a request that is running.
    package init(_ target: any UploadTarget, sizes: PartSizes, slots: CallSlots) {
        self.target = target
        self.sizes = sizes
        self.slots = slots
    }

    deinit {
        guard let upload, !isOver else { return }
        let parts = parts
        _ = Self.ending(upload, parts)
    }

    /// What is in memory as a whole anyway goes by one request.
    package func expect(atMost size: UInt64) {
        if size > UInt64(sizes.first), size <= Self.largestWhole, upload == nil { sizes = PartSizes(first: Int(size)) }
    }

    package func append(_ bytes: RawSpan) async throws {
        var done = 0
        while done < bytes.byteCount {
            let size = sizes.size(of: partNumber)
            // Only when there is more: the last part is known to be the last, and is never empty.
            if buffer.count >= size { try await sendPart(isLast: false) }
            let count = min(sizes.size(of: partNumber) - buffer.count, bytes.byteCount - done)
            bytes.extracting(done..<done + count).withUnsafeBytes { buffer.append(contentsOf: $0) }
            done += count
        }
    }

    package func commit() async throws {
        if upload == nil {
            try await slots.acquire()
            defer { slots.release() }
            try await target.put(buffer)
        } else {
            try await sendPart(isLast: true)
            while !parts.isEmpty { try await finishOldest() }
            try await upload?.complete()
        }
        isOver = true
        buffer = []
        spare = []
    }

    package func abort() async {
        guard !isOver else { return }
        isOver = true
        buffer = []
        spare = []
        guard let upload else { return }
        let parts = parts
        self.parts = []
        await Self.ending(upload, parts).value
    }

    /// A task of its own: requests of one that was cancelled do not go out.
    private static func ending(
        _ upload: any PartUpload, _ parts: [Task<[UInt8], any Error>]
    ) -> Task<Void, Never> {
        Task {
            for part in parts { part.cancel() }
            for part in parts { _ = await part.result }
            await upload.abort()
        }
    }

    private func sendPart(isLast: Bool) async throws {
        let upload = try await begun()
        let limit = min(upload.concurrency, sizes.inFlight(at: partNumber))
        while parts.count >= limit { try await finishOldest() }
        try await slots.acquire()
        parts.append(Self.send(buffer, upload, slots, number: partNumber, offset: offset, isLast: isLast))
        offset += UInt64(buffer.count)
        buffer = spare.popLast() ?? []
        partNumber += 1
        if !isLast { buffer.reserveCapacity(sizes.size(of: partNumber)) }
    }

    /// The slot is held already, and released when the part is sent. Gives its buffer back.
    private static func send(
        _ bytes: [UInt8], _ upload: any PartUpload, _ slots: CallSlots, number: Int, offset: UInt64, isLast: Bool
    ) -> Task<[UInt8], any Error> {
        Task {
            defer { slots.release() }
            try await upload.upload(bytes, number: number, offset: offset, isLast: isLast)
            return bytes
        }
    }

    private func begun() async throws -> any PartUpload {
        if let upload { return upload }
        // A task of its own: one that was cancelled would never learn what to abort.
        let upload = try await Task { [target] in try await target.begin() }.value
        self.upload = upload
        return upload
    }

    private func finishOldest() async throws {
        var bytes = try await parts[0].value
        parts.removeFirst()
        bytes.removeAll(keepingCapacity: true)
        spare.append(bytes)
    }
}
