import BackupModel
import Checksums
import Logging
import RepositoryFormats
import RepositoryStorage
import StreamFilters
import Synchronization

/// A file as one repository holds it now.
struct StoredFile: Sendable {
    /// Bytes of content.
    var size: UInt64
    var checksum: SHA1Digest
    var pageCheck: PageCheckResult
    var repoSize: UInt64
    /// nil when the stored bytes are the content.
    var repoChecksum: SHA1Digest?
    var bundleID: UInt64 = 0
    var bundleOffset: UInt64 = 0
    var blockSize: UInt32 = 0
    var blockChecksumSize: UInt8 = 6
    var blockMapSize: UInt64 = 0
}

/// One repository's share of a backup while files are copied: its manifest, and what of it is in the repository.
final class RepositoryBackup: Sendable {
    let repository: Repository
    let stanza: String
    let settings: BackupSettings
    let actions: [FileAction]
    /// The manifest as it began, without files: tells where objects lie.
    let outline: Manifest
    /// Of manifests.
    let manifestPass: Secret<String>?
    /// Bytes copied after which the manifest is saved again; nil: never.
    private let saveThreshold: UInt64?
    private let state: Mutex<State>
    private let isFailed = Atomic<Bool>(false)
    private let bundleCount: Atomic<UInt64>
    /// For objects whose commit nobody waits for; nil where a store answers on the calling thread.
    private let room: CommitsInFlight.Room?

    private struct State {
        var manifest: Manifest
        /// By row: whether what the row says is so, and durable.
        var isSettled: [Bool]
        var gone: [Int] = []
        var unsaved: UInt64 = 0
        var isSaving = false
    }

    /// - Parameter lastBundle: the greatest id of a bundle that is there already.
    init(
        repository: Repository, stanza: String, settings: BackupSettings, manifest: Manifest, actions: [FileAction],
        manifestPass: Secret<String>?, lastBundle: UInt64, saveThreshold: UInt64?
    ) {
        self.repository = repository
        self.stanza = stanza
        self.settings = settings
        self.actions = actions
        self.manifestPass = manifestPass
        self.saveThreshold = saveThreshold
        var outline = manifest
        outline.files = ManifestFiles()
        self.outline = outline
        bundleCount = Atomic(lastBundle)
        let uploads = repository.store.concurrency.uploads
        room = uploads > 1 ? CommitsInFlight.Room(uploads) : nil
        state = Mutex(State(manifest: manifest, isSettled: actions.map { $0 == .none }))
    }

    var label: String { outline.label }

    /// Whether files need something of a repository behind a network before they can be copied: a block map, or what an
    /// interrupted run has stored.
    var readsBeforeCopying: Bool {
        guard repository.store.concurrency.downloads > 1 else { return false }
        return settings.blocks != nil && outline.references.count > 1
            || actions.contains { $0 == .keep || $0 == .keepIfEqual }
    }
    var hasFailed: Bool { isFailed.load(ordering: .relaxed) }
    func setFailed() { isFailed.store(true, ordering: .relaxed) }

    /// Of one task, all within what the repository has room for.
    func newCommitsInFlight() -> CommitsInFlight? { room.map { CommitsInFlight($0) } }

    /// A bundle id that no other has.
    func newBundleID() -> UInt64 { bundleCount.add(1, ordering: .relaxed).newValue }

    /// The files as they are now; nothing else goes on meanwhile.
    func withFiles<Result>(_ body: (ManifestFiles) -> Result) -> Result { state.withLock { body($0.manifest.files) } }

    func row(_ index: Int) -> ManifestFile { state.withLock { $0.manifest.files[index] } }

    /// What a file that is unchanged has; nil when it must be stored in any case.
    func expectedChecksum(_ index: Int) -> SHA1Digest? {
        state.withLock { state in
            let isKept = actions[index] == .keepIfEqual
            return isKept || state.manifest.files.hasReference(index) ? state.manifest.files.checksum(index) : nil
        }
    }

    func setStored(_ index: Int, _ stored: StoredFile) {
        state.withLock { state in
            var row = state.manifest.files[index]
            row.size = stored.size
            row.checksum = stored.checksum
            row.pageCheck = settings.checksumPage ? stored.pageCheck : .notChecked
            row.repoSize = stored.repoSize
            row.repoChecksum = stored.repoChecksum
            row.reference = nil
            row.bundleID = stored.bundleID
            row.bundleOffset = stored.bundleOffset
            row.blockSize = stored.blockSize
            row.blockChecksumSize = stored.blockChecksumSize
            row.blockMapSize = stored.blockMapSize
            state.manifest.files[index] = row
        }
    }

    /// The file was found to be what its row refers to.
    func setUnchanged(_ index: Int, size: UInt64, checksum: SHA1Digest) {
        state.withLock { state in
            state.isSettled[index] = true
            guard state.manifest.files.checksum(index) != checksum || state.manifest.files.size(index) != size else {
                return
            }
            var row = state.manifest.files[index]
            row.size = size
            row.checksum = checksum
            state.manifest.files[index] = row
        }
    }

    func setGone(_ index: Int) { state.withLock { $0.gone.append(index) } }

    /// These rows are stored, their objects durable but for their names, which a run that goes on does not trust. True
    /// when the manifest is to be saved now.
    func settle(_ rows: [Int]) -> Bool {
        state.withLock { state in
            for row in rows {
                state.isSettled[row] = true
                state.unsaved += state.manifest.files.size(row)
            }
            guard let saveThreshold, state.unsaved >= saveThreshold, !state.isSaving else { return false }
            state.isSaving = true
            state.unsaved = 0
            return true
        }
    }

    /// Saves what is stored so far, for a run that goes on with it.
    func saveProgress() async throws {
        let (manifest, isSettled) = state.withLock { ($0.manifest, $0.isSettled) }
        defer { state.withLock { $0.isSaving = false } }
        try await requireDirectory()
        try await saveInProgress(manifest, isSettled)
    }

    /// Before anything else is written.
    func saveFirst() async throws {
        let (manifest, isSettled) = state.withLock { ($0.manifest, $0.isSettled) }
        try await saveInProgress(manifest, isSettled)
    }

    private func saveInProgress(_ manifest: Manifest, _ isSettled: [Bool]) async throws {
        var manifest = manifest
        for row in 0..<manifest.files.count where !isSettled[row] && manifest.files.isStored(row) {
            manifest.files.forgetStored(row)
        }
        let path = RepositoryPaths.manifest(stanza: stanza, label: label)
        try await repository.saveManifest(manifest, at: RepositoryPaths.copy(of: path), cipherPass: manifestPass)
    }

    /// Throws `.fileMissing` when another program has removed what this backup began.
    func requireDirectory() async throws {
        let path = RepositoryPaths.copy(of: RepositoryPaths.manifest(stanza: stanza, label: label))
        guard try await repository.exists(path) else {
            throw BackupError(
                .fileMissing, "\(repository.name): '\(path)', which this backup has written, is gone",
                hint: "another backup or an expiry has removed it: does another host or program use this repository?")
        }
    }

    /// The manifest with all that was copied; files that were gone are not in it.
    func copiedManifest() -> Manifest {
        state.withLock { state in
            state.manifest.files.remove(at: state.gone.sorted())
            state.gone = []
            return state.manifest
        }
    }
}
