import Glibc

/// Threads on which tasks may block: file I/O, libpq, compression of a whole chunk.
///
/// A task that prefers this executor runs on one of `count` threads and gives its thread up only where it really
/// suspends. Local files never suspend, so there a worker is a thread; a store behind a network suspends while it
/// waits, so that more tasks than threads keep the processor busy. The cooperative pool (one thread a core) is left alone.
package final class WorkerThreads: TaskExecutor {
    package let count: Int
    private let queue = JobQueue()

    package init(count: Int) {
        self.count = max(1, count)
        for _ in 0..<self.count {
            queue.startThread()
        }
    }

    deinit { queue.close() }

    package func enqueue(_ job: consuming ExecutorJob) {
        queue.push(UnownedJob(job), asUnownedTaskExecutor())
    }
}

/// The jobs that wait for a thread. Apart from the executor, so that its threads do not keep it alive.
private final class JobQueue: @unchecked Sendable {  // every field is guarded by `mutex`
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private var jobs: [(UnownedJob, UnownedTaskExecutor)] = []
    private var head = 0
    private var isClosed = false

    init() {
        pthread_mutex_init(mutex, nil)
        pthread_cond_init(condition, nil)
    }

    deinit {
        pthread_mutex_destroy(mutex)
        pthread_cond_destroy(condition)
        mutex.deallocate()
        condition.deallocate()
    }

    func startThread() {
        var thread = pthread_t()
        let context = Unmanaged.passRetained(self).toOpaque()
        let status = pthread_create(
            &thread, nil,
            { context in
                guard let context else { return nil }
                Unmanaged<JobQueue>.fromOpaque(context).takeRetainedValue().run()
                return nil
            }, context)
        precondition(status == 0, "the system refused a thread")
        pthread_detach(thread)
    }

    func push(_ job: UnownedJob, _ executor: UnownedTaskExecutor) {
        pthread_mutex_lock(mutex)
        jobs.append((job, executor))
        pthread_mutex_unlock(mutex)
        pthread_cond_signal(condition)
    }

    func close() {
        pthread_mutex_lock(mutex)
        isClosed = true
        pthread_mutex_unlock(mutex)
        pthread_cond_broadcast(condition)
    }

    private func run() {
        while let (job, executor) = pop() {
            job.runSynchronously(on: executor)
        }
    }

    private func pop() -> (UnownedJob, UnownedTaskExecutor)? {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        while head == jobs.count {
            if isClosed { return nil }
            pthread_cond_wait(condition, mutex)
        }
        let next = jobs[head]
        head += 1
        // With more tasks than threads it may never be empty.
        if head == jobs.count || head >= 1024 {
            jobs.removeFirst(head)
            head = 0
        }
        return next
    }
}
