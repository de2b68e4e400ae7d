import Glibc

/// SIGINT and SIGTERM end a command cleanly: its task is cancelled, locks and half-written objects go, the server ends
/// its backup with the session. A second signal ends the process at once.
enum Signals {
    /// Call before any thread is made: threads inherit what is blocked.
    static func block() {
        var set = self.set()
        pthread_sigmask(SIG_BLOCK, &set, nil)
        signal(SIGPIPE, SIG_IGN)
    }

    /// Calls `first` on the first signal, from a thread of its own.
    /// - Parameter hangUp: what SIGHUP does instead, as long as there is something to do.
    static func watch(hangUp: HangUp, _ first: @escaping @Sendable () -> Void) {
        let box = Unmanaged.passRetained(Box(first, hangUp)).toOpaque()
        var thread = pthread_t()
        pthread_create(
            &thread, nil,
            { context in
                guard let context else { return nil }
                let box = Unmanaged<Box>.fromOpaque(context).takeRetainedValue()
                var set = Signals.set()
                var number: Int32 = 0
                repeat { sigwait(&set, &number) } while number == SIGHUP && box.hangUp.run()
                box.first()
                repeat { sigwait(&set, &number) } while number == SIGHUP && box.hangUp.run()
                _exit(128 + number)
            }, box)
        pthread_detach(thread)
    }

    private static func set() -> sigset_t {
        var set = sigset_t()
        sigemptyset(&set)
        sigaddset(&set, SIGINT)
        sigaddset(&set, SIGTERM)
        sigaddset(&set, SIGHUP)
        return set
    }

    private final class Box: Sendable {
        let first: @Sendable () -> Void
        let hangUp: HangUp
        init(_ first: @escaping @Sendable () -> Void, _ hangUp: HangUp) {
            self.first = first
            self.hangUp = hangUp
        }
    }
}
