package import BackupModel
import Checksums
import Glibc
import Logging
import PostgresFormats
import RepositoryFormats
import RepositoryStorage
import StreamFilters

/// `archive-push`: stores one WAL file in every repository, or fails so that PostgreSQL keeps it and tries again.
///
/// A segment that is there already with the same content is a success, with another content an error. Nothing of a
/// file shows in a repository before all of it is durable.
package struct ArchivePush: Sendable {
    let context: EngineContext
    let stanza: String
    let source: WALSource

    package init(_ context: EngineContext) throws(BackupError) {
        self.context = context
        stanza = try context.stanza()
        guard context.configuration.parameters.count == 1 else {
            throw BackupError(
                context.configuration.parameters.isEmpty ? .parameterRequired : .parameterInvalid,
                "archive-push takes one parameter: the WAL file to store",
                hint: "set archive_command = 'permafrost --stanza=\(stanza) archive-push %p'")
        }
        source = try WALSource(
            context.configuration.parameters[0],
            dataDirectory: context.configuration.postgresKeys.first.flatMap {
                context.configuration.string(.pgPath, $0)
            })
    }

    /// A repository that the file goes to.
    private struct Target {
        var repository: Repository
        var archiveID: String
    }

    package func run() async throws {
        let control = try source.dataDirectory.map { path throws(BackupError) in try ClusterDirectory.control(path) }
        let header = try source.isSegment && context.configuration.bool(.archiveHeaderCheck) ? source.header() : nil
        // What is up gets the file even when another repository fails; the failure is told all the same.
        var failures: [BackupError] = []
        var targets: [Target] = []
        for repository in context.repositories {
            do throws(BackupError) {
                let info = try await repository.loadArchiveInfo(stanza: stanza)
                try requireSameCluster(info, control, header, repository)
                targets.append(Target(repository: repository, archiveID: info.currentArchiveID))
            } catch {
                failures.append(error)
            }
        }
        if !targets.isEmpty {
            switch source.name {
            case .segment(let segment): failures += try await pushSegment(segment, isPartial: false, to: targets)
            case .partial(let segment): failures += try await pushSegment(segment, isPartial: true, to: targets)
            case .history, .backupLabel: failures += try await pushSmallFile(to: targets)
            }
        }
        guard let first = failures.first else { return }
        throw failures.count == 1
            ? first
            : BackupError(first.code, failures.map(\.message).joined(separator: "; "), hint: first.hint)
    }

    private func requireSameCluster(
        _ info: ArchiveInfo, _ control: PostgresControl?, _ header: WALHeader?, _ repository: Repository
    ) throws(BackupError) {
        let current = info.current
        let expected = "PostgreSQL \(current.version), system id \(current.systemIdentifier)"
        let hint = "is this the right stanza? After an upgrade of PostgreSQL run 'stanza-upgrade'"
        if let control, control.version != current.version || control.systemIdentifier != current.systemIdentifier {
            throw BackupError(
                .archiveMismatch,
                "\(repository.name): the cluster is PostgreSQL \(control.version), system id \(control.systemIdentifier), but stanza '\(stanza)' is for \(expected)",
                hint: hint)
        }
        if let header, header.version != current.version || header.systemIdentifier != current.systemIdentifier {
            throw BackupError(
                .archiveMismatch,
                "\(repository.name): WAL file '\(source.path)' is of PostgreSQL \(header.version), system id \(header.systemIdentifier), but stanza '\(stanza)' is for \(expected)",
                hint: hint)
        }
    }

    // MARK: - Segments

    private func pushSegment(
        _ segment: WALSegment, isPartial: Bool, to targets: [Target]
    ) async throws -> [BackupError] {
        var failures: [BackupError] = []
        var found: [(target: Target, objects: [ArchivedSegmentName])] = []
        for target in targets {
            do throws(BackupError) {
                let objects = try await target.repository.archivedSegments(
                    segment, isPartial: isPartial, archiveID: target.archiveID, stanza: stanza)
                found.append((target, objects))
            } catch {
                failures.append(error)
            }
        }
        let isNeeded = found.contains { $0.objects.isEmpty }
        let compress = try context.compressType()
        let content = try await SegmentContent.read(
            source, compress: isNeeded ? compress : nil, level: context.configuration.integer(.compressLevel))
        let checksum = content.checksum.hex
        let name = ArchivedSegmentName(segment: segment, isPartial: isPartial, checksum: checksum, compress: compress)
            .name
        for (target, objects) in found {
            let repository = target.repository
            do throws(BackupError) {
                if objects.isEmpty {
                    let path = RepositoryPaths.archiveFile(stanza: stanza, archiveID: target.archiveID, name: name)
                    try await repository.describing { try await content.write(to: repository.store, path) }
                } else if objects.allSatisfy({ $0.checksum == checksum }) {
                    context.logger.warning(
                        "WAL file '\(source.path)' is already in the \(repository.name) archive with the same checksum",
                        metadata: ["hint": "this is normal after PostgreSQL or its host crashed"])
                } else {
                    throw BackupError(
                        .archiveDuplicate,
                        "WAL file '\(source.path)' is already in the \(repository.name) archive with another checksum: \(objects[0].name)",
                        hint:
                            "does another cluster archive to this stanza, or was this one restored without a new timeline?"
                    )
                }
            } catch {
                failures.append(error)
            }
        }
        if failures.isEmpty {
            context.logger.notice("pushed WAL file '\(source.fileName)' to the archive")
        }
        return failures
    }

    // MARK: - History and backup label files

    private func pushSmallFile(to targets: [Target]) async throws -> [BackupError] {
        let bytes = try source.readAll(limit: 16 << 20)
        var failures: [BackupError] = []
        for target in targets {
            let repository = target.repository
            let path = RepositoryPaths.archiveFile(
                stanza: stanza, archiveID: target.archiveID, name: source.fileName)
            do throws(BackupError) {
                let before = try await repository.readWhole(path, limit: 16 << 20)
                if before == bytes { continue }
                if before != nil {
                    context.logger.warning(
                        "'\(source.fileName)' is in the \(repository.name) archive with other content and is replaced")
                }
                try await repository.writeWhole(path, bytes)
            } catch {
                failures.append(error)
            }
        }
        if failures.isEmpty {
            context.logger.notice("pushed WAL file '\(source.fileName)' to the archive")
        }
        return failures
    }
}
