import BackupModel
import Glibc
import NIOPosix

extension AWSCredentialFetcher {
    /// Of a program that prints them as JSON.
    /// - Parameter command: the program and its arguments.
    package func process(_ command: [String]) async throws -> Entry {
        let limit = retry.limit
        let output = try await NIOThreadPool.singleton.runIfActive {
            try CredentialProcess.output(of: command, environment: environment, limit: limit)
        }
        return try Self.parse(output, from: "program '\(command.first ?? "")'", tokenName: "SessionToken")
    }
}

/// Runs a program for what it prints. Blocks.
enum CredentialProcess {
    private static let outputLimit = 1 << 16

    static func output(
        of command: [String], environment: [String: String], limit: Duration
    ) throws(BackupError) -> [UInt8] {
        var ends: [Int32] = [-1, -1]
        // Not a pipe, which Swift cannot make closed in programs that are started meanwhile.
        guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0, &ends) == 0 else {
            throw failure(command, "no pair of sockets: error \(errno)")
        }
        defer { close(ends[0]) }
        let process: pid_t
        do throws(BackupError) {
            process = try spawn(command, environment, output: ends[1])
        } catch {
            close(ends[1])
            throw error
        }
        close(ends[1])
        var output: [UInt8] = []
        var problem: String?
        do throws(BackupError) {
            output = try read(ends[0], command, until: .now + limit)
        } catch {
            kill(-process, SIGKILL)
            problem = error.message
        }
        var status: Int32 = 0
        while waitpid(process, &status, 0) < 0, errno == EINTR {}
        if let problem { throw BackupError(.execute, problem) }
        guard status == 0 else {
            let how = status & 0x7f == 0 ? "exit code \((status >> 8) & 0xff)" : "signal \(status & 0x7f)"
            throw failure(command, "it ended with \(how)")
        }
        return output
    }

    private static func read(
        _ descriptor: Int32, _ command: [String], until deadline: ContinuousClock.Instant
    ) throws(BackupError) -> [UInt8] {
        var output: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4096)
        while true {
            let left = deadline - .now
            guard left > .zero else { throw failure(command, "it took too long") }
            var polled = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            let milliseconds = min(
                left.components.seconds * 1000 + left.components.attoseconds / 1_000_000_000_000_000, 60_000)
            guard poll(&polled, 1, Int32(milliseconds) + 1) > 0 else { continue }
            let count = Glibc.read(descriptor, &buffer, buffer.count)
            if count == 0 { return output }
            if count < 0 {
                if errno == EINTR { continue }
                throw failure(command, "its output cannot be read: error \(errno)")
            }
            output += buffer[..<count]
            guard output.count <= outputLimit else { throw failure(command, "it printed too much") }
        }
    }

    private static func spawn(
        _ command: [String], _ environment: [String: String], output: Int32
    ) throws(BackupError) -> pid_t {
        guard let program = command.first else { throw BackupError(.optionInvalidValue, "no program for credentials") }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_adddup2(&actions, output, 1)
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var signals = sigset_t()
        sigemptyset(&signals)
        posix_spawnattr_setsigmask(&attributes, &signals)
        for number in [SIGPIPE, SIGINT, SIGTERM, SIGHUP] { sigaddset(&signals, number) }
        posix_spawnattr_setsigdefault(&attributes, &signals)
        posix_spawnattr_setpgroup(&attributes, 0)
        posix_spawnattr_setflags(
            &attributes, Int16(POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK))
        var arguments = command.map { strdup($0) } + [nil]
        var variables = environment.map { strdup("\($0)=\($1)") } + [nil]
        defer {
            for text in arguments { free(text) }
            for text in variables { free(text) }
        }
        var process: pid_t = 0
        let error = posix_spawnp(&process, program, &actions, &attributes, &arguments, &variables)
        guard error == 0 else { throw failure(command, String(cString: strerror(error))) }
        return process
    }

    private static func failure(_ command: [String], _ reason: String) -> BackupError {
        BackupError(.execute, "no credentials from program '\(command.first ?? "")': \(reason)")
    }
}
