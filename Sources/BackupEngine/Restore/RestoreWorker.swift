import BackupModel
import Checksums
import Glibc
import Logging
import RepositoryFormats
import Telemetry

/// One thread of a restore, with the buffers that it uses again and again. Used by one task.
final class RestoreWorker {
    private let plan: RestorePlan
    private let options: RestoreOptions
    private let owners: RestoreOwners
    private let logger: Logger
    private let progress: RestoreProgress
    private let pairing: HashPairing
    private let reader: StoredFileReader
    private let present: PresentFileReader
    private let alternatives: RestoreAlternatives

    init(_ execution: RestoreExecution, progress: RestoreProgress, pairing: HashPairing) throws(BackupError) {
        self.pairing = pairing
        plan = execution.plan
        options = execution.options
        owners = execution.owners
        logger = execution.logger
        alternatives = execution.alternatives
        self.progress = progress
        reader = try StoredFileReader(
            RestoreSource(repository: execution.repository, manifest: plan.manifest, stanza: plan.stanza),
            pairing: pairing)
        present = PresentFileReader(pairing: pairing)
    }

    /// Takes jobs until there are none.
    func run(_ queue: WorkQueue<RestorePlan.Job>) async throws {
        while let job = queue.take() {
            try Task.checkCancellation()
            var missing: [ManifestFile] = []
            for row in plan.order[job.files] {
                let file = plan.manifest.files[Int(row)]
                if try await restoreWithoutRepository(file) { continue }
                missing.append(file)
            }
            var rest = missing[...]
            while let first = rest.first {
                var end = first.bundleOffset + first.repoSize
                var run = rest.prefix(1)
                for file in rest.dropFirst() where job.isBundle {
                    guard file.bundleOffset == end else { break }
                    end = file.bundleOffset + file.repoSize
                    run = rest[run.startIndex..<(run.endIndex + 1)]
                }
                rest = rest[(run.startIndex + (try await restore(run)))...]
            }
        }
    }

    /// The content of one small file, verified; nothing is written.
    func load(_ file: ManifestFile) async throws -> [UInt8] {
        var content: [UInt8] = []
        func read(_ reader: StoredFileReader, _ file: ManifestFile) async throws {
            try await reader.read(
                [file], begin: { _ in content = [] }, write: { content.append(contentsOf: $0) }, finish: { _ in })
        }
        do {
            try await read(reader, file)
        } catch let failure as UnreadableFile {
            try await restoreElsewhere(file, failure, read)
        }
        return content
    }

    /// Files of no bytes, those that a delta finds alike or can mend, and those of databases that are left out.
    private func restoreWithoutRepository(_ file: ManifestFile) async throws -> Bool {
        let path = plan.path(of: file.name)
        if plan.selection.leavesOut(file.name) {
            let target = try TargetFile(path)
            try target.setSize(file.size)
            try finish(target, file)
            log(file, path, progress.add(0), note: " - without content")
            return true
        }
        if options.delta, let note = try await mend(file, path) {
            log(file, path, progress.add(file.size), note: note)
            return true
        }
        guard file.size == 0 else { return false }
        let target = try TargetFile(path)
        try finish(target, file)
        log(file, path, progress.add(0), note: "")
        return true
    }

    /// Files of one read. Answers how many are done; more than those before a failure that another repository repaired.
    private func restore(_ files: ArraySlice<ManifestFile>) async throws -> Int {
        var done = 0
        do {
            try await write(files, from: reader) { done += 1 }
            return done
        } catch let failure as UnreadableFile {
            let file = files[files.startIndex + done]
            try await restoreElsewhere(file, failure) { reader, other in
                try await write([other], from: reader, as: file)
            }
            return done + 1
        }
    }

    private func write(
        _ files: ArraySlice<ManifestFile>, from reader: StoredFileReader, as wanted: ManifestFile? = nil,
        _ isDone: () -> Void = {}
    ) async throws {
        var target: TargetFile?
        try await reader.read(
            files, begin: { target = try TargetFile(plan.path(of: $0.name)) },
            write: {
                try await options.diskLimit?.pace($0.count)
                try target?.write($0)
            },
            finish: { stored in
                let file = wanted ?? stored
                if let target { try finish(target, file) }
                target = nil
                log(file, plan.path(of: file.name), progress.add(file.size), note: "")
                isDone()
            })
    }

    /// Runs `body` with another repository that has the same file, or throws why it is needed.
    private func restoreElsewhere(
        _ file: ManifestFile, _ failure: UnreadableFile,
        _ body: (StoredFileReader, ManifestFile) async throws -> Void
    ) async throws {
        for (source, other) in await alternatives.sources(of: file) {
            logger.warning(
                """
                \(failure.error.message): taking the same file from \(source.repository.name), backup set \
                \(source.manifest.label)
                """)
            do {
                try await body(StoredFileReader(source, pairing: pairing), other)
                return
            } catch let another as UnreadableFile {
                logger.warning("\(another.error.message)")
            }
        }
        throw failure.error
    }
}

/// Delta: what is there already is kept.
extension RestoreWorker {
    /// What was done to make a file as the manifest says, for the log; nil when it must be restored whole.
    private func mend(_ file: ManifestFile, _ path: String) async throws -> String? {
        guard let status = try LocalDisk.status(path, followingLinks: true), status.kind == .file else { return nil }
        let isKept = " - exists and matches backup"
        if options.force, status.size == file.size, status.modified == file.timestamp,
            file.timestamp < plan.manifest.timestampCopyStart
        {
            try adjust(file, path)
            return isKept
        }
        guard file.size > 0 else {
            if status.size > 0 { return nil }
            try adjust(file, path)
            return isKept
        }
        guard status.size >= file.size || file.isBlockIncremental else { return nil }
        let sums = try await present.sums(
            path, size: file.size,
            blocks: file.isBlockIncremental
                ? .init(size: Int(file.blockSize), checksumSize: Int(file.blockChecksumSize)) : nil)
        if let digest = sums.digest, digest == file.checksum {
            if status.size > file.size {
                guard truncate(path, off_t(file.size)) == 0 else {
                    throw LocalDisk.failure(.fileWrite, "truncate file", path)
                }
            }
            try adjust(file, path)
            return isKept
        }
        return sums.blocks.isEmpty ? nil : try await patch(file, path, sums.blocks)
    }

    /// Fetches the blocks that differ; nil when that does not make the file as the manifest says.
    private func patch(_ file: ManifestFile, _ path: String, _ blocks: [BlockChecksum]) async throws -> String? {
        do {
            let target = try TargetFile(path, .patching)
            try target.setSize(file.size)
            guard
                let fetched = try await reader.readBlocks(
                    file, unlike: blocks,
                    {
                        try await options.diskLimit?.pace($1.count)
                        try target.write($1, at: $0)
                    }
                )
            else { return nil }
            guard try await present.sums(path, size: file.size).digest == file.checksum else { return nil }
            try finish(target, file)
            return " - \(SizeText.bytes(fetched)) in blocks that differ"
        } catch is UnreadableFile {
            // Read whole it fails again, and is looked for elsewhere.
            return nil
        }
    }

    private func adjust(_ file: ManifestFile, _ path: String) throws(BackupError) {
        guard let present = try LocalDisk.status(path, followingLinks: true) else { return }
        let owner = owners.owner(user: file.user, group: file.group)
        let hasOwner = owner.map { $0.user == present.user && $0.group == present.group } ?? true
        if present.mode == file.mode && present.modified == file.timestamp && hasOwner { return }
        let target = try TargetFile(path, .adjusting)
        try finish(target, file)
    }

    private func finish(_ target: TargetFile, _ file: ManifestFile) throws(BackupError) {
        try target.finish(
            mode: file.mode, owner: owners.owner(user: file.user, group: file.group), modified: file.timestamp)
    }

    private func log(_ file: ManifestFile, _ path: String, _ done: UInt64, note: String) {
        logger.log(
            level: RestoreExecution.detail,
            """
            restore file \(path)\(note) (\(file.bundleID == 0 ? "" : "bundle \(file.bundleID)/\(file.bundleOffset), ")\
            \(SizeText.bytes(file.size)), \(progress.percent(done)))\
            \(file.checksum.map { file.size == 0 ? "" : " checksum \($0.hex)" } ?? "")
            """)
    }
}
