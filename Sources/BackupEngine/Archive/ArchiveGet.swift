package import BackupModel
import Logging
import PostgresFormats

/// `archive-get`: fetches one WAL file for `restore_command`.
package struct ArchiveGet: Sendable {
    let context: EngineContext
    let name: WALFileName
    let destination: String

    package init(_ context: EngineContext) throws(BackupError) {
        self.context = context
        let stanza = try context.stanza()
        let parameters = context.configuration.parameters
        guard parameters.count == 2 else {
            throw BackupError(
                parameters.count < 2 ? .parameterRequired : .parameterInvalid,
                "archive-get takes two parameters: the WAL file to fetch and the path to write it to",
                hint: "set restore_command = 'permafrost --stanza=\(stanza) archive-get %f \"%p\"'")
        }
        guard let name = WALFileName(parameters[0]) else {
            throw BackupError(
                .parameterInvalid, "'\(parameters[0])' is not named like a WAL segment, history or backup label file")
        }
        self.name = name
        let dataDirectory = try context.dataDirectory()
        destination = parameters[1].hasPrefix("/") ? parameters[1] : "\(dataDirectory)/\(parameters[1])"
    }

    /// False when no repository has the file: PostgreSQL then takes the end of WAL for reached, or tries another source.
    package func run() async throws -> Bool {
        // Only segments follow one another; all else is rare.
        if context.configuration.bool(.archiveAsync), case .segment(let segment) = name {
            return try await ArchiveGetAsync(context, segment, destination: destination).run()
        }
        return try await getNow()
    }

    /// Here and now.
    func getNow() async throws -> Bool {
        let reader = try ArchiveReader(context, files: 1)
        guard let warnings = try await reader.fetch(name, to: destination) else {
            context.logger.notice("unable to find \(name.name) in the archive")
            return false
        }
        for warning in warnings { context.logger.warning("\(warning)") }
        return true
    }
}
