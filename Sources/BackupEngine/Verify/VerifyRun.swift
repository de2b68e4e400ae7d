import BackupModel
import Checksums
import Logging
import PostgresFormats
import RepositoryFormats
import RepositoryStorage
import StreamFilters

/// The verification of one repository, used by one task.
final class VerifyRun {
    let context: EngineContext
    let repository: Repository
    let stanza: String
    let set: String?
    private let deadline: ContinuousClock.Instant?
    private let workers: WorkerThreads

    var report: VerifyReport.Repository
    private var state = VerifyState()
    private var saved = ContinuousClock.now
    private var structure = VerifyStructure()
    private var held = HeldRows()
    /// Listed a moment ago and gone when it was read.
    private var goneSegments = 0
    /// That were read to their end.
    private var readParts = 0

    private static let saveInterval = Duration.seconds(10)

    init(
        _ context: EngineContext, _ repository: Repository, stanza: String, set: String?,
        deadline: ContinuousClock.Instant?, workers: WorkerThreads
    ) {
        self.context = context
        self.repository = repository
        self.stanza = stanza
        self.set = set
        self.deadline = deadline
        self.workers = workers
        report = VerifyReport.Repository(key: repository.key)
    }

    /// A part of a repository says nothing of the whole, and its past nothing of the present.
    private var keepsState: Bool { self.set == nil && !context.configuration.isSet(.repoTargetTime) }

    func execute() async throws -> VerifyReport.Repository {
        structure = try await VerifyStructure.load(repository, stanza: stanza, set: set)
        if keepsState { state = try await repository.loadVerifyState(stanza: stanza) }
        report.backups = structure.backups.map { .init(label: $0.label, status: $0.status) }
        report.archives = structure.archives.map { .init(id: $0.archiveID) }

        let all = structure.parts
        for key in Set(state.parts.keys).union(state.findings.keys).subtracting(all.map(\.key)) { state.forget(key) }
        context.progress.begin(total: structure.bytes)
        defer { context.progress.end() }
        for part in deadline == nil ? all : VerifyTurn.order(all, state, through: structure.lastNames) {
            if let deadline, ContinuousClock.now >= deadline { break }
            try await read(part)
            if keepsState, ContinuousClock.now - saved >= Self.saveInterval { try await save() }
        }
        // What was pushed or expired meanwhile must not look like damage.
        if goneSegments > 0 || !structure.hasAllSegments {
            structure = try await VerifyStructure.load(repository, stanza: stanza, set: set)
        }
        let known = report.archives.flatMap(\.tally.findings) + state.findings.values.joined().map(\.finding)
        for finding in structure.conclude(into: &report, known: known, now: context.now()) { tell(finding) }
        finishStatus()
        if keepsState {
            try await save()
            remember(all)
        }
        for note in report.notes { context.logger.notice("\(repository.name): \(note)") }
        return report
    }

    private func tell(_ finding: VerifyFinding) {
        context.logger.warning("\(repository.name): \(finding.kind.rawValue): \(finding.text)")
    }

    private func finishStatus() {
        for index in report.backups.indices {
            let backup = report.backups[index]
            if backup.tally.invalid > 0, [.valid, .notRead, .partlyRead].contains(backup.status) {
                report.backups[index].status = .invalid
            }
        }
    }

    /// What earlier turns found stands until it is read again; and how far the turns have come.
    private func remember(_ all: [VerifyPart]) {
        let now = Set(report.findings.map { "\($0.object)\t\($0.file ?? "")" })
        report.remembered = state.findings.values.joined().filter {
            !now.contains("\($0.finding.object)\t\($0.finding.file ?? "")")
        }.sorted { $0.finding.object < $1.finding.object }
        guard deadline != nil else { return }
        let times = all.map { state.parts[$0.key]?.time }
        report.coverage = VerifyReport.Coverage(
            readParts: readParts, parts: all.count, neverRead: times.count { $0 == nil },
            oldest: times.contains(nil) ? nil : times.compactMap { $0 }.min())
    }

    private func save() async throws(BackupError) {
        saved = .now
        do throws(BackupError) {
            try await repository.saveVerifyState(state, stanza: stanza)
        } catch {
            // A run that reads all needs no memory.
            guard deadline == nil else { throw error }
            context.logger.warning("unable to keep what was found for later runs: \(error.message)")
        }
    }

    // MARK: - Parts

    private func read(_ part: VerifyPart) async throws {
        switch part {
        case .wal(let archiveID, let directory): try await readWAL(part, archiveID, directory)
        case .backup(let label): try await readBackup(part, label)
        }
    }

    private func readWAL(_ part: VerifyPart, _ archiveID: String, _ directory: String) async throws {
        guard let index = structure.archives.firstIndex(where: { $0.archiveID == archiveID }) else { return }
        let path = "\(RepositoryPaths.archive(stanza: stanza))/\(archiveID)/\(directory)"
        let names = try await repository.listAll(path).filter { $0.kind == .object }.map(\.name).filter {
            structure.isWanted(name: $0)
        }
        let work = ArchiveWork(
            path: path, names: names, segmentSize: structure.archives[index].segments.segmentSize,
            cipherPass: structure.archiveInfo?.cipherPass)
        // What came since it was read from end to end is read first; the rest when its turn comes.
        var first = 0
        var isTail = false
        if deadline != nil, let known = state.parts[part.key], state.position?.part != part.key,
            let next = names.firstIndex(where: { $0 > known.through }), next > 0
        {
            first = next
            isTail = true
        }
        let tally = try await run(part, work, from: first, wholeSince: isTail ? state.parts[part.key]?.time : nil)
        for finding in tally.findings { tell(finding) }
        report.archives[index].tally.add(tally)
    }

    private func readBackup(_ part: VerifyPart, _ label: String) async throws {
        guard let index = report.backups.firstIndex(where: { $0.label == label }) else { return }
        for reference in structure.references(of: label) where !held.isKnown(reference) {
            try await loadHeld(reference)
        }
        let loaded = try await VerifyManifest.load(
            repository, stanza: stanza, label: label, cipherPass: structure.backupInfo?.cipherPass)
        var findings = loaded.findings
        var tally = VerifyTally()
        if let manifest = loaded.manifest {
            if !held.isKnown(label) { held.add(manifest) }
            findings += referenceFindings(manifest)
            let work = BackupWork(manifest, stanza: stanza)
            report.backups[index].elsewhere = (0..<manifest.files.count).count { manifest.files.hasReference($0) }
            tally = try await run(part, work, from: 0, wholeSince: nil)
            // Empty files and those of earlier backups were not read here, and count as pgBackRest counts them.
            if tally.checked == work.fileCount { tally.checked = manifest.files.count }
        } else {
            state.parts[part.key] = VerifyState.Part(time: context.now(), through: "")
            state.findings[part.key] = nil
        }
        let now = context.now()
        for finding in findings {
            tally.add(finding)
            state.findings[part.key]?.removeAll { $0.finding == finding }
            state.findings[part.key, default: []].append(VerifyState.Remembered(finding: finding, time: now))
        }
        if tally.count(.missing) > 0, try await !isThere(label) {
            report.backups[index].status = .expired
            state.forget(part.key)
            return
        }
        for finding in tally.findings { tell(finding) }
        report.backups[index].tally.add(tally)
        let isPart = state.position?.part == part.key
        report.backups[index].status = tally.invalid > 0 ? .invalid : isPart ? .partlyRead : .valid
    }

    private func isThere(_ label: String) async throws -> Bool {
        let path = RepositoryPaths.manifest(stanza: stanza, label: label)
        if try await repository.exists(path) { return true }
        return try await repository.exists(RepositoryPaths.copy(of: path))
    }

    /// Reads a part, from where an interrupted turn left off, and keeps in the state what was found.
    /// - Parameter wholeSince: when the part before `start` was read.
    private func run(
        _ part: VerifyPart, _ work: any VerifyWork, from start: Int, wholeSince: Int64?
    ) async throws -> VerifyTally {
        var start = start
        var since = wholeSince ?? context.now()
        if deadline != nil, let position = state.position, position.part == part.key {
            if let done = (0..<work.count).first(where: { work.object($0) == position.object }) {
                start = done + 1
                since = position.since
            }
        }
        let queue = VerifyQueue(work, from: start, deadline: deadline)
        let (repository, progress) = (repository, context.progress)
        if start < work.count {
            let ahead = repository.store.concurrency.readAhead
            try await workers.runPaired(ahead: ahead, atMost: work.count - start) { pairing in
                try await queue.run(VerifyReader(repository, pairing, progress: progress))
            }
        }
        let next = queue.next
        var tally = queue.tally
        if case .wal = part { goneSegments += tally.removeMissing() }
        let now = context.now()
        var standing = state.findings[part.key] ?? []
        if start == 0, next == work.count {
            standing = []
        } else if !standing.isEmpty {
            let read = Set((start..<next).map { work.object($0) })
            standing.removeAll { read.contains($0.finding.object) }
        }
        standing += tally.findings.map { VerifyState.Remembered(finding: $0, time: now) }
        state.findings[part.key] = standing.isEmpty ? nil : standing
        if next == work.count {
            let last = work.count == 0 ? "" : work.object(work.count - 1)
            let name = last.split(separator: "/").last.map(String.init) ?? ""
            state.parts[part.key] = VerifyState.Part(time: since, through: name)
            if state.position?.part == part.key { state.position = nil }
            readParts += 1
        } else if next > start {
            state.position = VerifyState.Position(part: part.key, object: work.object(next - 1), since: since)
        }
        return tally
    }

    // MARK: - References

    private func loadHeld(_ label: String) async throws {
        do throws(BackupError) {
            held.add(
                try await repository.loadManifest(
                    stanza: stanza, label: label, cipherPass: structure.backupInfo?.cipherPass))
        } catch {
            // Told where that backup is verified.
            held.addUnreadable(label)
        }
    }

    /// Files of earlier backups that are not there, or were found damaged.
    private func referenceFindings(_ manifest: Manifest) -> [VerifyFinding] {
        var findings: [VerifyFinding] = []
        let files = manifest.files
        let path = RepositoryPaths.manifest(stanza: stanza, label: manifest.label)
        for (number, label) in manifest.references.dropLast().enumerated() {
            guard structure.isComplete(label) else {
                let count = (0..<files.count).count { files.reference($0) == number }
                if count > 0 {
                    findings.append(
                        VerifyFinding(
                            .missing, RepositoryPaths.backupSet(stanza: stanza, label: label), files: count,
                            "backup '\(manifest.label)' refers to \(count) files of it"))
                }
                continue
            }
            let damaged = Dictionary(grouping: (state.findings["backup/\(label)"] ?? []).map(\.finding), by: \.object)
            guard !damaged.isEmpty else { continue }
            for row in 0..<files.count where files.reference(row) == number {
                let name = files.name(row)
                let found = damaged[manifest.object(of: files[row], stanza: stanza)] ?? []
                guard let finding = found.first(where: { $0.file == nil || $0.file == name }) else { continue }
                findings.append(
                    VerifyFinding(
                        finding.kind, finding.object, file: name,
                        "backup '\(manifest.label)' refers to it; \(finding.detail)"))
            }
        }
        for row in 0..<files.count {
            guard let number = files.reference(row), manifest.references.indices.contains(number) else { continue }
            let label = manifest.references[number]
            guard files.size(row) > 0, !held.holds(label, files, row) else { continue }
            findings.append(
                VerifyFinding(
                    .other, path, file: files.name(row), "it refers to backup '\(label)', which does not hold it"))
            if findings.count > VerifyTally.findingLimit { break }
        }
        return findings
    }
}

extension VerifyTally {
    /// Of WAL that was listed: it was expired since. Returns how many.
    fileprivate mutating func removeMissing() -> Int {
        let gone = count(.missing)
        guard gone > 0 else { return 0 }
        var rest = VerifyTally()
        rest.checked = checked - gone
        rest.bytes = bytes
        for finding in findings where finding.kind != .missing { rest.add(finding) }
        self = rest
        return gone
    }
}
