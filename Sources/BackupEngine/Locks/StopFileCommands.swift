package import BackupModel
import Logging

/// The commands `stop` and `start`.
package enum StopFileCommands {
    package static func stop(_ context: EngineContext) throws(BackupError) {
        let (stanza, lockPath) = place(context)
        guard try StopFile.create(stanza: stanza, lockPath: lockPath) else {
            context.logger.warning("stop file already exists for \(stanza.map { "stanza \($0)" } ?? "all stanzas")")
            return
        }
        guard context.configuration.bool(.force) else { return }
        for process in try StopFile.terminateHolders(stanza: stanza, lockPath: lockPath) {
            context.logger.notice("sent term signal to process \(process)")
        }
    }

    package static func start(_ context: EngineContext) throws(BackupError) {
        let (stanza, lockPath) = place(context)
        if try !StopFile.remove(stanza: stanza, lockPath: lockPath) {
            context.logger.warning("stop file does not exist\(stanza.map { " for stanza \($0)" } ?? "")")
        }
    }

    private static func place(_ context: EngineContext) -> (stanza: String?, lockPath: String) {
        let configuration = context.configuration
        return (configuration.string(.stanza), configuration.string(.lockPath) ?? "/tmp/pgbackrest")
    }
}
