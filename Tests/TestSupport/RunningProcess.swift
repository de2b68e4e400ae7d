import Foundation
import Glibc
import Synchronization

/// A program that a test started. It ends by itself, by a signal, or at its time limit: never later.
package final class RunningProcess: Sendable {
    /// Its process id, which is its process group's too.
    package let processID: Int32

    private struct State {
        var isReaped = false
        var isCancelled = false
        var result: Result<ProcessResult, any Error>?
        var waiters: [CheckedContinuation<ProcessResult, any Error>] = []
    }

    private let state = Mutex(State())
    private let shown: String

    /// Held from the making of a process's pipes to its start, so that no other process inherits them.
    private static let spawning = Mutex(())

    /// Starts `command`; a thread of its own feeds it, reads it and reaps it.
    init(
        command: [String], shown: String, environment: [String: String], input: [UInt8],
        timeout: Duration
    ) throws {
        self.shown = shown
        let (pipes, processID) = try Self.spawning.withLock { _ in
            let pipes = try (0..<3).map { _ in try Pipe() }
            do {
                return try (pipes, spawn(command, environment: environment, pipes: pipes))
            } catch {
                pipes.forEach { $0.closeBoth() }
                throw error
            }
        }
        self.processID = processID
        close(pipes[0].reader)
        close(pipes[1].writer)
        close(pipes[2].writer)
        let streams = Streams(input: input, stdin: pipes[0].writer, stdout: pipes[1].reader, stderr: pipes[2].reader)
        Thread.detachNewThread { [self] in
            let deadline = ContinuousClock.now + timeout
            attend(streams, until: deadline, timeout: timeout)
        }
    }

    /// Sends a signal to the process and its group; does nothing once it has ended.
    package func signal(_ number: Int32) {
        state.withLock { if !$0.isReaped { kill(-processID, number) } }
    }

    /// What it left. Throws when it met its time limit, or when the waiting task is cancelled; either kills it.
    package func wait() async throws -> ProcessResult {
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let result = state.withLock { state in
                    if state.result == nil { state.waiters.append(continuation) }
                    return state.result
                }
                if let result { continuation.resume(with: result) }
            }
        } onCancel: {
            state.withLock { $0.isCancelled = true }
            signal(SIGKILL)
        }
    }

    /// The body of the process's thread.
    private func attend(_ streams: consuming Streams, until deadline: ContinuousClock.Instant, timeout: Duration) {
        // A program that ends before it has read all its input must not end the tests by SIGPIPE.
        var brokenPipe = sigset_t()
        sigemptyset(&brokenPipe)
        sigaddset(&brokenPipe, SIGPIPE)
        pthread_sigmask(SIG_BLOCK, &brokenPipe, nil)

        var status: Int32?
        var isTimedOut = false
        var drainUntil = deadline
        while true {
            let wasOpen = streams.transfer(milliseconds: status == nil ? 20 : 5)
            if status == nil {
                status = reap()
                // What outlives the process (a server that it started) may hold the pipes open: do not wait for that.
                if status != nil { drainUntil = ContinuousClock.now + .milliseconds(200) }
            }
            if status != nil, !wasOpen || ContinuousClock.now >= drainUntil { break }
            if status == nil, !wasOpen { usleep(500) }
            if !isTimedOut, status == nil, ContinuousClock.now >= deadline {
                isTimedOut = true
                signal(SIGKILL)
            }
        }
        streams.closeAll()
        let ended = ProcessResult(
            command: shown, status: status ?? -1, output: streams.output,
            stderr: String(decoding: streams.errors, as: UTF8.self))
        finish(ended, timedOutAfter: isTimedOut ? timeout : nil)
    }

    private func reap() -> Int32? {
        var raw: Int32 = 0
        return state.withLock { state in
            guard waitpid(processID, &raw, WNOHANG) == processID else { return nil }
            state.isReaped = true
            return raw & 0x7f == 0 ? (raw >> 8) & 0xff : 128 + (raw & 0x7f)
        }
    }

    private func finish(_ ended: ProcessResult, timedOutAfter timeout: Duration?) {
        let (result, waiters) = state.withLock { state in
            let result: Result<ProcessResult, any Error>
            if let timeout {
                result = .failure(TestSupportError("killed, since it had not ended after \(timeout): \(ended)"))
            } else if state.isCancelled {
                result = .failure(CancellationError())
            } else {
                result = .success(ended)
            }
            state.result = result
            defer { state.waiters = [] }
            return (result, state.waiters)
        }
        for waiter in waiters { waiter.resume(with: result) }
    }
}

/// The two ends of a pipe, closed in programs that are started meanwhile.
private struct Pipe {
    let reader: Int32
    let writer: Int32

    init() throws {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { throw TestSupportError("could not open a pipe: error \(errno)") }
        (reader, writer) = (ends[0], ends[1])
        _ = fcntl(reader, F_SETFD, FD_CLOEXEC)
        _ = fcntl(writer, F_SETFD, FD_CLOEXEC)
    }

    func closeBoth() {
        close(reader)
        close(writer)
    }
}

private func spawn(
    _ command: [String], environment: [String: String], pipes: [Pipe]
) throws -> pid_t {
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_adddup2(&actions, pipes[0].reader, 0)
    posix_spawn_file_actions_adddup2(&actions, pipes[1].writer, 1)
    posix_spawn_file_actions_adddup2(&actions, pipes[2].writer, 2)

    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    var signals = sigset_t()
    sigemptyset(&signals)
    posix_spawnattr_setsigmask(&attributes, &signals)
    for number in [SIGPIPE, SIGINT, SIGTERM, SIGCHLD, SIGHUP] { sigaddset(&signals, number) }
    posix_spawnattr_setsigdefault(&attributes, &signals)
    posix_spawnattr_setpgroup(&attributes, 0)
    posix_spawnattr_setflags(
        &attributes, Int16(POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK))

    var arguments: [UnsafeMutablePointer<CChar>?] = command.map { strdup($0) } + [nil]
    var variables: [UnsafeMutablePointer<CChar>?] = environment.map { strdup("\($0)=\($1)") } + [nil]
    defer {
        arguments.forEach { free($0) }
        variables.forEach { free($0) }
    }
    var processID: pid_t = -1
    let error = posix_spawnp(&processID, command[0], &actions, &attributes, &arguments, &variables)
    guard error == 0 else {
        throw TestSupportError("could not start '\(command[0])': \(String(cString: strerror(error)))")
    }
    return processID
}

/// Our ends of a process's three streams, and what went through them so far.
private struct Streams {
    private var input: ArraySlice<UInt8>
    private var descriptors: [Int32]
    private(set) var output: [UInt8] = []
    private(set) var errors: [UInt8] = []

    init(input: [UInt8], stdin: Int32, stdout: Int32, stderr: Int32) {
        self.input = input[...]
        descriptors = [stdin, stdout, stderr]
        for descriptor in descriptors { _ = fcntl(descriptor, F_SETFL, O_NONBLOCK) }
        if input.isEmpty { closeStream(0) }
    }

    /// Moves what can be moved, waiting so long for the first byte. False when both outputs are at their end.
    mutating func transfer(milliseconds: Int32) -> Bool {
        guard descriptors[1] >= 0 || descriptors[2] >= 0 else { return false }
        var polled = (0..<3).map { index in
            pollfd(fd: descriptors[index], events: Int16(index == 0 ? POLLOUT : POLLIN), revents: 0)
        }
        guard poll(&polled, 3, milliseconds) > 0 else { return true }
        if polled[0].revents != 0 { feed() }
        if polled[1].revents != 0 { output += drain(1) }
        if polled[2].revents != 0 { errors += drain(2) }
        return true
    }

    mutating func closeAll() {
        for index in 0..<3 { closeStream(index) }
    }

    private mutating func closeStream(_ index: Int) {
        if descriptors[index] >= 0 { close(descriptors[index]) }
        descriptors[index] = -1
    }

    private mutating func feed() {
        let written = input.withUnsafeBytes { write(descriptors[0], $0.baseAddress, $0.count) }
        if written > 0 { input = input.dropFirst(written) }
        if input.isEmpty || (written < 0 && errno != EAGAIN && errno != EINTR) { closeStream(0) }
    }

    private mutating func drain(_ index: Int) -> ArraySlice<UInt8> {
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        let count = read(descriptors[index], &buffer, buffer.count)
        if count > 0 { return buffer[..<count] }
        if count == 0 || (errno != EAGAIN && errno != EINTR) { closeStream(index) }
        return []
    }
}
