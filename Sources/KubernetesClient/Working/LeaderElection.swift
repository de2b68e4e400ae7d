/// Lets one of several processes work.
package struct LeaderElection: Sendable {
    package struct Options: Sendable {
        /// A leader that could not renew for so long stops; less than the lease's duration, so that it has stopped
        /// before another may begin.
        package var renewDeadline = Duration.seconds(10)
        /// Between two attempts to renew or to become the leader, spread by a fifth.
        package var retryPeriod = Duration.seconds(2)
        /// Is told who leads, when that changes, and what fails.
        package var notice: @Sendable (String) -> Void = { _ in }

        package init() {}
    }

    /// The lease was lost while the work went on.
    package struct Lost: Error, Sendable, CustomStringConvertible {
        package var description: String
    }

    private let lease: Lease
    private let options: Options
    private let time: any WaitingTime

    package init(_ lease: Lease, _ options: Options = Options(), time: any WaitingTime = MonotonicTime()) {
        self.lease = lease
        self.options = options
        self.time = time
    }

    /// Waits until this process leads, and works then. When it leads no more the work is cancelled, and has ended before
    /// this returns. When the work ends by itself, or the caller's task is cancelled, the lease is given back.
    /// - Throws: ``Lost``, what `work` throws, or `CancellationError`.
    package func run(_ work: @escaping @Sendable () async throws -> Void) async throws {
        let start = try await becomeLeader()
        do {
            try await withThrowingTaskGroup(of: Bool.self) { group in
                group.addTask {
                    try await work()
                    return true
                }
                group.addTask {
                    try await keep(since: start)
                    return false
                }
                defer { group.cancelAll() }
                _ = try await group.next()
            }
        } catch let error as Lost {
            throw error
        } catch {
            await giveBack()
            throw error
        }
        await giveBack()
    }

    /// - Returns: the time from which on we have the lease: when it was asked for.
    private func becomeLeader() async throws -> Duration {
        var leader: String?
        while true {
            try Task.checkCancellation()
            let asked = time.now
            do throws(KubernetesError) {
                switch try await lease.take() {
                case .held:
                    options.notice("leads: \(lease.holder) has lease '\(lease.key)'")
                    return asked
                case .heldBy(let other):
                    if leader != other, !other.isEmpty {
                        options.notice("waits for lease '\(lease.key)', which \(other) has")
                        leader = other
                    }
                }
            } catch {
                options.notice("\(error)")
            }
            try await time.sleep(for: options.retryPeriod * Double.random(in: 1..<1.2))
        }
    }

    /// Renews until the lease is lost.
    private func keep(since start: Duration) async throws {
        var renewed = start
        while true {
            try await time.sleep(for: options.retryPeriod)
            let asked = time.now
            let attempt = try await attempt(within: renewed + options.renewDeadline - asked)
            switch attempt {
            case .held?: renewed = asked
            case .heldBy(let other)? where !other.isEmpty:
                throw Lost(description: "lease '\(lease.key)' was taken over by \(other)")
            default:
                if time.now - renewed >= options.renewDeadline {
                    throw Lost(description: "lease '\(lease.key)' could not be renewed in time")
                }
            }
        }
    }

    /// nil when it failed or took too long: a call that hangs must not keep a leader from stopping.
    private func attempt(within limit: Duration) async throws -> Lease.Attempt? {
        try await withThrowingTaskGroup(of: Lease.Attempt?.self) { group in
            group.addTask {
                do throws(KubernetesError) {
                    return try await lease.take()
                } catch {
                    options.notice("\(error)")
                    return nil
                }
            }
            group.addTask {
                try await time.sleep(for: max(limit, .zero))
                return nil
            }
            defer { group.cancelAll() }
            return try await group.next() ?? nil
        }
    }

    /// In a task of its own: the caller's may be cancelled.
    private func giveBack() async {
        let (lease, notice) = (lease, options.notice)
        await Task {
            do throws(KubernetesError) {
                try await lease.release()
                notice("gave back lease '\(lease.key)'")
            } catch {
                notice("\(error)")
            }
        }.value
    }
}
