import BackupEngine
import BackupModel
import PostgresFormats
import Testing

@testable import RepositoryHost

struct AgentChoiceTests {
    private enum Said { case primary, standby, nothing, stranger }

    private func answers(_ said: [Said]) throws -> [AgentChoice.Answer] {
        let version = try #require(PostgresVersion("17"))
        return said.enumerated().map { index, said in
            let status = RemoteServerStatus(
                isInRecovery: said != .primary, version: version, systemIdentifier: said == .stranger ? 2 : 1,
                place: "db\(index + 1):/data")
            return AgentChoice.Answer(
                key: index + 1, host: "db\(index + 1)",
                result: said == .nothing ? .failure(BackupError(.hostConnect, "no connection")) : .success(status))
        }
    }

    @Test(
        "which agent gets which command",
        arguments: [
            (Command.backup, BackupServers.StandbyUse.no, [Said.standby, .primary], 2, 0),
            (.backup, .no, [.nothing, .primary], 2, 1), (.backup, .require, [.primary, .standby, .standby], 2, 0),
            (.backup, .require, [.nothing, .standby], 2, 1), (.backup, .prefer, [.primary, .standby], 2, 0),
            (.backup, .prefer, [.primary, .nothing], 1, 2), (.check, .require, [.standby, .primary], 2, 0),
            (.stanzaCreate, .no, [.standby, .primary], 2, 0), (.stanzaUpgrade, .no, [.nothing, .primary], 2, 1),
            (.check, .no, [.standby, .nothing], 1, 2), (.backup, .prefer, [.standby, .nothing], 1, 1),
        ] as [(Command, BackupServers.StandbyUse, [Said], Int, Int)])
    private func chosen(
        command: Command, use: BackupServers.StandbyUse, said: [Said], key: Int, warnings: Int
    ) throws {
        let choice = try AgentChoice(command, use, try answers(said))
        #expect(choice.key == key)
        #expect(choice.isStandby == (said[key - 1] == .standby))
        #expect(choice.warnings.count == warnings)
    }

    @Test(
        "what cannot be",
        arguments: [
            ([Said.primary, .primary], BackupServers.StandbyUse.no, "more than one primary"),
            ([.standby, .standby], .no, "db1 has a standby, db2 has a standby"),
            ([.standby, .nothing], .no, "db2 does not answer"), ([.nothing, .nothing], .no, "no connection"),
            ([.primary, .nothing], .require, "db1 has a primary, db2 does not answer"),
            ([.primary, .stranger], .require, "not of one cluster"),
        ] as [([Said], BackupServers.StandbyUse, String)])
    private func refused(said: [Said], use: BackupServers.StandbyUse, words: String) throws {
        let answers = try answers(said)
        let error = #expect(throws: BackupError.self) { _ = try AgentChoice(.backup, use, answers) }
        #expect(error?.message.contains(words) == true, "\(error?.message ?? "")")
    }
}
