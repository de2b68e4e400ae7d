import BackupModel
import HTTP
import ObjectStorage
import RepositoryStorage

extension StorageService.Call {
    func write() async throws -> ServerResponse {
        let mode = try mode()
        let rule = try await access.rule(writing: path)
        let isNewLock = try lockIsWritten()
        do {
            try await receiveWhole(mode, rule)
        } catch {
            if isNewLock { isRemoved(path) }
            throw error
        }
        return Self.done
    }

    private func receiveWhole(_ mode: WriteMode, _ rule: WriteRule) async throws {
        let upload = try PosixUpload(store, path)
        do {
            let size = try await receive(try upload.writer(at: 0))
            if let announced = request.headers["Content-Length"], UInt64(announced) != size {
                throw StorageError(
                    BackupError(.protocolError, "\(size) bytes came of \(announced)"), isRetryable: true)
            }
            try await finish(upload, size: size, mode, rule)
        } catch {
            upload.abort()
            throw error
        }
    }

    func begin() async throws -> ServerResponse {
        _ = try await access.rule(writing: path)
        return ServerResponse(201, body: .bytes(id(try PosixUpload(store, path))))
    }

    func part() async throws -> ServerResponse {
        _ = try await access.rule(writing: path)
        guard let offset = UInt64(try parameter("offset")) else {
            throw StorageService.invalid("'offset' is no number of bytes")
        }
        let part: PosixUpload.Part
        do throws(StorageError) {
            part = try upload().writer(at: offset)
        } catch {
            throw error.isMissing ? Self.gone(path) : error
        }
        _ = try await receive(part)
        return Self.done
    }

    func complete() async throws -> ServerResponse {
        let mode = try mode()
        guard let size = UInt64(try parameter("size")) else {
            throw StorageService.invalid("'size' is no number of bytes")
        }
        let rule = try await access.rule(writing: path)
        let id = try parameter("id")
        // The answer to it may have been lost.
        if volume.completed.contains(id) { return Self.done }
        let upload = try upload()
        do {
            try await finish(upload, size: size, mode, rule)
        } catch let error as StorageError where error.isMissing {
            throw Self.gone(path)
        }
        volume.completed.insert(id)
        return Self.done
    }

    func abort() async throws -> ServerResponse {
        _ = try await access.rule(writing: path)
        try upload().abort()
        return Self.done
    }

    /// To whoever writes, an upload that is gone is no absent object.
    private static func gone(_ path: String) -> StorageError {
        StorageError(BackupError(.protocolError, "the upload of '\(path)' is not there any more"))
    }

    private func receive(_ part: PosixUpload.Part) async throws -> UInt64 {
        try await service.buffers.run { buffer in
            var size: UInt64 = 0
            while true {
                let count: Int
                do throws(TransportError) {
                    count = try await request.body.read(into: buffer)
                } catch {
                    throw StorageError(BackupError(.protocolError, error.reason), isRetryable: true)
                }
                if count == 0 { return size }
                try part.append(UnsafeRawBufferPointer(rebasing: buffer[..<count]).bytes)
                size += UInt64(count)
            }
        }
    }

    private func finish(
        _ upload: PosixUpload, size: UInt64, _ mode: WriteMode, _ rule: WriteRule
    ) async throws {
        var mode = mode
        switch rule {
        case .create:
            // What is durable is the caller's wish; that nothing is there is ours.
            mode = .create
        case .grow: try await access.requireGrowth(path, upload.temporaryPath)
        case .replace, .refuse: break
        }
        do {
            try upload.complete(size: size, mode)
        } catch {
            guard error.isAlreadyThere, rule == .create, request.parameter("mode") != HostWire.text(.create) else {
                throw error
            }
            throw StorageError(
                BackupError(
                    .access, "access denied: '\(path)' is there and a client with the right 'add' cannot replace it"),
                isDenied: true)
        }
    }
}

extension StorageService.Call {
    func delete() async throws -> ServerResponse {
        guard let paths = HostWire.paths(try await body()), paths.count <= HostWire.deletionSize else {
            throw StorageService.invalid("the request is no list of paths")
        }
        for path in paths {
            try StoragePath.validate(path)
            try await access.requireRemoval(path)
        }
        try await store.delete(paths)
        for path in paths { isRemoved(path) }
        return Self.done
    }

    func deleteTree() async throws -> ServerResponse {
        try await access.requireRemoval(path)
        try await store.deleteTree(path)
        isRemoved(path)
        return Self.done
    }

    func makeDirectory() async throws -> ServerResponse {
        try access.requireDirectory(path)
        try await store.makeDirectory(path)
        return Self.done
    }

    func sync() async throws -> ServerResponse {
        try access.requireDirectory(path)
        try await store.syncAll(under: path)
        return Self.done
    }

    func link() async throws -> ServerResponse {
        let target = try parameter("to")
        // A link out of the stanza's directory would be a way to read the rest of the host.
        guard try await access.rule(writing: path) == .replace, !target.isEmpty, target != "..",
            !target.utf8.contains(UInt8(ascii: "/"))
        else { throw Self.linkRefused(path, target) }
        try await store.link(path, to: target)
        return Self.done
    }

    func hardLink() async throws -> ServerResponse {
        let existing = try parameter("existing")
        try StoragePath.validate(existing)
        try access.requireRead(existing)
        guard try await access.rule(writing: path) == .replace else { throw Self.linkRefused(path, existing) }
        try await store.hardLink(path, to: existing)
        return Self.done
    }

    private static func linkRefused(_ path: String, _ target: String) -> StorageError {
        StorageError(
            BackupError(.access, "access denied: no link is made at '\(path)' to '\(target)'"), isDenied: true)
    }
}
