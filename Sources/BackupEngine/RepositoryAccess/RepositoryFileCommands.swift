import BackupModel
import RepositoryFormats
import RepositoryStorage
import StreamFilters

/// `repo-get`, `repo-put` and `repo-rm`: one file of a repository.
package struct RepositoryFileCommands {
    private let context: EngineContext
    private let repository: Repository
    private var configuration: Configuration { context.configuration }

    package init(_ context: EngineContext) {
        self.context = context
        repository = context.repositories[0]
    }

    /// Prints a file, decrypted unless `--raw`, as it is compressed. False when it is missing and that is allowed.
    package func get(_ sink: OutputSink) async throws -> Bool {
        let path = try path(required: "source file required")
        let pass = try await pass(of: path)
        let reader: any ObjectReader
        do {
            reader = try await repository.store.read(path, range: nil)
        } catch let error as StorageError {
            if error.isMissing, configuration.bool(.ignoreMissing) { return false }
            throw error.error.within(repository.name)
        }
        do {
            _ = try await ObjectContentReader().read(reader, StoredForm(compress: .none, cipherPass: pass).decoder()) {
                try sink($0)
            }
        } catch {
            await reader.close()
            throw error
        }
        await reader.close()
        return true
    }

    /// Replaces a file by what `next` fills the buffer with, until that is 0 bytes.
    package func put(_ next: (UnsafeMutableRawBufferPointer) throws -> Int) async throws {
        let path = try path(required: "destination file required")
        let form = StoredForm(compress: .none, cipherPass: try await pass(of: path))
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 4096)
        defer { buffer.deallocate() }
        try await repository.describing {
            let writer = try await StoredObjectWriter(repository.store.write(path, .atomic), as: form)
            do {
                while true {
                    try Task.checkCancellation()
                    let count = try next(buffer)
                    if count == 0 { break }
                    try await writer.append(UnsafeRawBufferPointer(rebasing: buffer[..<count]).bytes)
                }
                try await writer.commit()
            } catch {
                await writer.abort()
                throw error
            }
        }
    }

    /// Removes a file, an empty directory, or with `--recurse` a directory with all that is in it. What is not there is
    /// no error.
    package func remove() async throws {
        guard configuration.parameters.count < 2 else {
            throw BackupError(.parameterInvalid, "only one path may be specified", hint: "run repo-rm for each path")
        }
        let path = try RepositoryObjectPath.relative(configuration.parameters.first ?? "", repository, configuration)
        let info = path.isEmpty ? nil : try await repository.describing { try await repository.store.info(path) }
        if let info, info.kind != .directory {
            try await repository.describing { try await repository.store.delete([path]) }
            return
        }
        guard configuration.bool(.recurse) else {
            guard try await repository.listAll(path).isEmpty else {
                throw BackupError(
                    .optionInvalid, "recurse option must be used to delete non-empty path",
                    hint: "everything below '\(path)' in \(repository.name) will be lost")
            }
            return try await repository.describing { try await repository.store.deleteTree(path) }
        }
        try await repository.describing { try await repository.store.deleteTree(path) }
    }

    private func path(required: String) throws(BackupError) -> String {
        guard configuration.parameters.count == 1 else {
            throw BackupError(
                .parameterRequired, required, hint: "give one path, relative to the repository; repo-ls lists them")
        }
        return try RepositoryObjectPath.relative(configuration.parameters[0], repository, configuration)
    }

    private func pass(of path: String) async throws -> Secret<String>? {
        if configuration.bool(.raw) { return nil }
        return try await RepositoryObjectPath.cipherPass(path, repository, configuration)
    }
}
