package import BackupModel
import CLinux
import Glibc
package import Logging
import Synchronization

/// The part of `permafrost agent` that looks after archiving: it pushes WAL as soon as it is ready, and answers the
/// launcher on its socket.
///
/// Which stanzas, and with what options, it learns from the shortcuts that PostgreSQL's own calls leave in the spool. What
/// it does not do in time, or not at all, the calls do as if there were no agent.
package final class ArchiveAgent: Sendable {
    enum Command: UInt8 {
        case tryAgain = 1
        case stop
    }

    /// Why WAL cannot be pushed now.
    package let failures: PushFailures
    private let pipe: Int32
    /// Hung up by the thread at its end.
    private let end: Int32

    /// Starts its thread.
    /// - Parameters:
    ///   - spoolPath: `spool-path`.
    ///   - socketPath: `agent-socket`. That it cannot be made is logged, and all else is done.
    package init(spoolPath: String, socketPath: String, logger: Logger) throws(BackupError) {
        var ends: [Int32] = [-1, -1]
        var last: [Int32] = [-1, -1]
        guard linux_pipe(&ends) == 0, linux_pipe(&last) == 0 else {
            throw BackupError(.fileOpen, "unable to make a pipe: \(String(cString: strerror(errno)).lowercased())")
        }
        failures = PushFailures()
        pipe = ends[1]
        end = last[0]
        var socket: AskerSocket?
        do throws(BackupError) {
            socket = try AskerSocket(path: socketPath) { logger.warning("\($0)") }
        } catch {
            logger.warning(
                """
                archive-push gets no answer from this agent: \(error.message)
                HINT: make its directory for the user who runs the agent, or set agent-socket
                """)
        }
        let context = Unmanaged.passRetained(
            Start(
                spoolPath: spoolPath, socket: socket, commands: ends[0], end: last[1], failures: failures,
                logger: logger)
        ).toOpaque()
        var thread = pthread_t()
        let status = pthread_create(
            &thread, nil,
            { context in
                guard let context else { return nil }
                Unmanaged<Start>.fromOpaque(context).takeRetainedValue().run()
                return nil
            }, context)
        guard status == 0 else {
            Unmanaged<Start>.fromOpaque(context).release()
            socket?.close()
            for descriptor in [ends[0], last[1]] { close(descriptor) }
            throw BackupError(.execute, "unable to start a thread: \(String(cString: strerror(status)).lowercased())")
        }
        pthread_detach(thread)
    }

    deinit {
        close(pipe)
        close(end)
    }

    /// Looks at everything again, and tries what has failed.
    package func tryAgain() { send(.tryAgain) }

    /// Takes the socket away and ends, within a second unless a local disk hangs. What is being pushed is pushed by a
    /// process of its own, which goes on. Blocking.
    package func stop() {
        send(.stop)
        var polled = pollfd(fd: end, events: Int16(POLLIN), revents: 0)
        _ = poll(&polled, 1, 1000)
    }

    private func send(_ command: Command) {
        var byte = command.rawValue
        _ = write(pipe, &byte, 1)
    }

    /// What the thread is given.
    private final class Start {
        private let loop: ArchiveLoop
        private let end: Int32

        init(
            spoolPath: String, socket: AskerSocket?, commands: Int32, end: Int32, failures: PushFailures,
            logger: Logger
        ) {
            self.end = end
            loop = ArchiveLoop(
                spoolPath: spoolPath, socket: socket, commands: commands, failures: failures, logger: logger)
        }

        func run() {
            while loop.step() {}
            loop.close()
            Glibc.close(end)
        }
    }
}
