import BackupModel
import Foundation
import HTTP
import Logging
import Synchronization
import Testing

@testable import Jobs

@Suite(.timeLimit(.minutes(3)))
struct JobRunnerTests {
    private let scratch: JobScratch

    init() throws { scratch = try JobScratch() }

    private func isAlive(_ id: Int32) -> Bool { kill(id, 0) == 0 }

    /// The number that a job's program wrote to a file of that name.
    private func number(_ name: String) async throws -> Int32 {
        try await eventually("the job writes \(name)") { !scratch.read(name).isEmpty }
        return try #require(Int32(scratch.read(name).trimmingCharacters(in: .newlines)))
    }

    @Test func `a job runs, and what became of it is kept`() async throws {
        try scratch.program("main", "say info hello; echo printed; echo $$ > $dir/pid")
        let ended = Mutex<[JobResult]>([])
        let runner = JobRunner(
            try JobStore(path: scratch.jobs), JobRunner.Options(program: scratch.program),
            logger: testLogger
        ) { result in ended.withLock { $0.append(result) } }
        let id = try await runner.begin(request(.backup, "main", [.init(.type, .texts(["full"]))]))
        let result = try await runner.outcome(id)
        #expect(result.end == .completed && result.exitCode == 0 && result.error == nil && result.info == nil)
        #expect(result.start <= result.stop && result.id == id)
        #expect(scratch.read("spool/jobs/\(id)/log").contains(#""msg":"hello""#))
        #expect(scratch.read("spool/jobs/\(id)/output") == "printed\n")
        #expect(
            scratch.read("calls")
                == "--log-level-console=off --log-level-stderr=info --log-format=json --stanza=main --type=full backup\n"
        )
        try await eventually("the end is told") { ended.withLock { $0.count } == 1 }
        #expect(ended.withLock { $0 } == [result])
        #expect(JobResult(try #require(ServiceJSON(Array("\(result.json)".utf8)))) == result)
    }

    @Test func `fixed words come first, and the process has a session and nothing else of ours`() async throws {
        try scratch.program(
            "main",
            """
            ps -o sid= -p $$ > $dir/sid; echo $$ > $dir/pid
            ls /proc/$$/fd > $dir/fds; readlink /proc/$$/fd/0 > $dir/stdin
            """)
        let secret = try #require(FileHandle(forReadingAtPath: "/etc/hostname"))
        let runner = try scratch.runner()
        _ = try await runner.outcome(try await runner.begin(request("main")))
        #expect(scratch.read("calls").hasPrefix("--config=/etc/fixed.conf --log-level-console=off"))
        #expect(Int(scratch.read("sid").filter(\.isNumber)) == Int(scratch.read("pid").filter(\.isNumber)))
        #expect(scratch.read("stdin") == "/dev/null\n")
        // 10 and above are the shell's own, of the script that it reads.
        let descriptors = scratch.read("fds").split(separator: "\n").compactMap { Int($0) }.filter { $0 < 10 }
        #expect(descriptors == [0, 1, 2])
        try secret.close()
    }

    @Test func `the result of a backup says what info does`() async throws {
        try scratch.program("main", "say info 'new backup label = 20261121-180000F'; say detail 'repo1: expire'")
        try scratch.write("info", #"[{"backup":[{"label":"20261121-180000F"}],"name":"main"}]"#)
        let runner = try scratch.runner()
        let result = try await runner.outcome(try await runner.begin(request(.backup, "main")))
        #expect(result.info?["backup"]?.elements.first?["label"]?.string == "20261121-180000F")
        #expect(
            scratch.read("calls").hasSuffix(
                "--stanza=main --set=20261121-180000F --output=json info\n"))
        #expect(!scratch.exists("spool/jobs/\(result.id)/info"))
        #expect(runner.store.result(result.id) == result)
    }

    @Test(arguments: ["exit 3", "sleep 60", "echo no json", "echo '[]'"])
    func `a backup is one without its description too`(_ info: String) async throws {
        try scratch.program(
            "main", "[ $command != info ] || { \(info); exit 0; }; say info 'new backup label = 20261121-180000F'")
        let runner = try scratch.runner { $0.infoLimit = .milliseconds(300) }
        let result = try await runner.outcome(try await runner.begin(request(.backup, "main")))
        #expect(result.end == .completed && result.info == nil)
    }

    @Test(arguments: [
        ("say error 'unable to open\\nHINT: try' ',\"code\":41'; end 41", Int32(41), "unable to open", "try"),
        ("exit 55", 55, "check ended with exit code 55 and without an error", nil),
        ("echo 'Fatal error: oh' >&2; kill -ILL $$", 102, "check was killed by signal 4: Fatal error: oh", nil),
    ])
    func `a failure is told with its reason`(_ body: String, _ code: Int32, _ message: String, _ hint: String?)
        async throws
    {
        try scratch.program("main", body)
        let runner = try scratch.runner()
        let result = try await runner.outcome(try await runner.begin(request("main")))
        #expect(result.end == .failed && result.exitCode == code)
        #expect(result.error?.message == message && result.error?.hint == hint)
        #expect(result.error?.code.rawValue == code)
    }

    @Test func `a result fits where there is little room`() throws {
        let record = JobRecord(id: .new(), request: try request(.backup, "main"), client: "client", created: 1)
        let references = ServiceJSON.array((0..<500).map { .text("20261121-180000F_\($0)") })
        let info = ServiceJSON.object([
            "backup": .array([.object(["label": .text("L"), "reference": references])]), "name": .text("main"),
        ])
        var result = JobResult(record, end: .completed, exitCode: 0, stop: 2, info: info)
        #expect(result.text() == result.json.description && result.text().utf8.count > 4096)
        let short = try #require(ServiceJSON(Array(result.text(limit: 4096).utf8)).flatMap { JobResult($0) })
        #expect(short.info?["backup"]?.elements.first?["label"]?.string == "L" && short.exitCode == 0)
        result.error = BackupError(.unknown, String(repeating: "\"é", count: 9000), hint: "h")
        let text = result.text(limit: 4096)
        #expect((1000...4096).contains(text.utf8.count))
        let cut = try #require(ServiceJSON(Array(text.utf8)).flatMap { JobResult($0) })
        #expect(cut.info == nil && cut.error?.hint == "h" && cut.error?.message.hasPrefix("\"é\"é") == true)
    }

    // MARK: One request, one job

    @Test func `the same request with the same key is the same job`() async throws {
        try scratch.program("main", "sleep 0.3")
        let runner = try scratch.runner()
        let wanted = try request(.backup, "main", key: "nightly")
        let ids = try await withThrowingTaskGroup(of: JobID.self) { group in
            for _ in 0..<8 { group.addTask { try await runner.begin(wanted) } }
            var ids: Set<JobID> = []
            while let id = try await group.next() { ids.insert(id) }
            return ids
        }
        #expect(ids.count == 1)
        let id = try #require(ids.first)
        _ = try await runner.outcome(id)
        #expect(try await runner.begin(wanted) == id)
        #expect(scratch.read("calls").split(separator: "\n").count == 1)
        // Another client's key is another key.
        #expect(try await runner.begin(wanted, client: "other") != id)
        // And another request needs another one.
        await #expect(throws: BackupError.self) {
            try await runner.begin(request(.backup, "main", [.init(.type, .texts(["full"]))], key: "nightly"))
        }
        // It is known to those who come after, too.
        await runner.stop(endsJobs: true)
        let next = try await successor(of: runner)
        #expect(try await next.begin(wanted) == id)
    }

    @Test func `no more run than may`() async throws {
        try scratch.program("main", "sleep 30")
        let runner = try scratch.runner { $0.runningLimit = 2 }
        for _ in 0..<2 { _ = try await runner.begin(request("main")) }
        await #expect(throws: BackupError.self) { try await runner.begin(request("main")) }
        await runner.stop(endsJobs: true)
        #expect(runner.jobs { _ in true }.allSatisfy { $0.end == .cancelled })
        await #expect(throws: BackupError.self) { try await runner.begin(request("main")) }
    }

    // MARK: Ends

    @Test func `one that is cancelled ends cleanly, and is told once`() async throws {
        try scratch.program(
            "main",
            """
            trap 'echo term >> $dir/signals; say error "terminated on signal" ",\\"code\\":63"; end 63' TERM
            echo $$ > $dir/pid; while :; do sleep 0.05; done
            """)
        let runner = try scratch.runner()
        let id = try await runner.begin(request("main"))
        let process = try await number("pid")
        for _ in 0..<3 { try await runner.cancel(id, by: "client") }
        let result = try await runner.outcome(id)
        #expect(result.end == .cancelled && result.exitCode == 63 && result.error?.message == "terminated on signal")
        #expect(scratch.read("signals") == "term\n")
        #expect(!isAlive(process))
        // What has ended stays as it is.
        try await runner.cancel(id, by: "client")
        #expect(await runner.job(id)?.result == result)
    }

    @Test func `one that does not want to end is killed, with what it has started`() async throws {
        try scratch.program("main", "trap '' TERM; sleep 60 & echo $! > $dir/child; echo $$ > $dir/pid; wait; wait")
        let runner = try scratch.runner { $0.patience = .milliseconds(300) }
        let id = try await runner.begin(request("main"))
        let (process, child) = (try await number("pid"), try await number("child"))
        try await runner.cancel(id, by: "client")
        let result = try await runner.outcome(id)
        #expect(result.end == .cancelled && result.exitCode == 63)
        #expect(result.error?.message == "check was killed by signal 9")
        #expect(!isAlive(process))
        try await eventually("its child is gone") { !isAlive(child) || isZombie(child) }
    }

    private func isZombie(_ id: Int32) -> Bool {
        let text = (try? String(contentsOfFile: "/proc/\(id)/stat", encoding: .utf8)) ?? ""
        return text.contains(") Z ")
    }

    @Test func `what completes although it was cancelled is complete`() async throws {
        try scratch.program("main", "trap 'end 0' TERM; echo $$ > $dir/pid; while :; do sleep 0.05; done")
        let runner = try scratch.runner()
        let id = try await runner.begin(request("main"))
        _ = try await number("pid")
        try await runner.cancel(id, by: "client")
        #expect(try await runner.outcome(id).end == .completed)
    }

    // MARK: Without a watcher

    /// As after kill -9: nothing of what the first one knows is there but its files, and the processes.
    private func successor(
        of runner: JobRunner, _ change: (inout JobRunner.Options) -> Void = { _ in }
    ) async throws -> JobRunner {
        await runner.stop(endsJobs: false)
        runner.store.release()
        let next = try scratch.runner(change)
        try await next.recover()
        return next
    }

    @Test func `a job goes on without the one who started it, and the next one watches it`() async throws {
        try scratch.program(
            "main", "echo $$ > $dir/pid; while [ ! -e $dir/go ]; do sleep 0.05; done; say info done")
        try scratch.program("fails", "while [ ! -e $dir/go ]; do sleep 0.05; done; say error no ',\"code\":41'; end 41")
        try scratch.program("dies", "while [ ! -e $dir/go ]; do sleep 0.05; done; kill -9 $$")
        try scratch.program("labels", "while [ ! -e $dir/go ]; do sleep 0.05; done; say info 'new backup label = L'")
        try scratch.write("info", #"[{"backup":[{"label":"L"}]}]"#)
        let first = try scratch.runner()
        let good = try await first.begin(request("main"))
        let bad = try await first.begin(request("fails"))
        let dead = try await first.begin(request("dies"))
        let backup = try await first.begin(request(.backup, "labels"))
        let process = try await number("pid")
        let next = try await successor(of: first)
        for id in [good, bad, dead, backup] { #expect(await next.job(id)?.end == nil) }
        #expect(isAlive(process))
        try scratch.write("go", "")
        #expect(try await next.outcome(good).end == .completed)
        let failed = try await next.outcome(bad)
        #expect(failed.end == .failed && failed.exitCode == 41 && failed.error?.message == "no")
        let lost = try await next.outcome(dead)
        #expect(lost.end == .lost && lost.exitCode == 125)
        #expect(try await next.outcome(backup).info?["backup"] != nil)
        // What was written is what the one after reads.
        let third = try await successor(of: next)
        #expect(await third.job(bad)?.result == failed)
        #expect(await third.job(dead)?.result == lost)
    }

    @Test func `jobs that ended while nobody was there are told of`() async throws {
        try scratch.program("main", "while [ ! -e $dir/go ]; do sleep 0.05; done; echo $$ > $dir/pid")
        let first = try scratch.runner()
        let id = try await first.begin(request("main"))
        await first.stop(endsJobs: false)
        first.store.release()
        try scratch.write("go", "")
        _ = try await number("pid")
        try await eventually("it has ended") { !first.store.isRunning(id) }
        #expect(first.store.result(id) == nil)
        let next = try scratch.runner()
        try await next.recover()
        #expect(try await next.outcome(id).end == .completed)
    }

    @Test func `a job of an earlier run is cancelled, and killed`() async throws {
        try scratch.program("main", "trap 'end 63' TERM; echo $$ > $dir/pid; while :; do sleep 0.05; done")
        try scratch.program("deaf", "trap '' TERM; echo $$ > $dir/deaf; while :; do sleep 0.05; done")
        let first = try scratch.runner()
        let soft = try await first.begin(request("main"))
        let hard = try await first.begin(request("deaf"))
        _ = (try await number("pid"), try await number("deaf"))
        let next = try await successor(of: first) { $0.patience = .milliseconds(300) }
        try await next.cancel(soft, by: "client")
        let result = try await next.outcome(soft)
        #expect(result.end == .cancelled && result.exitCode == 63)
        try await next.cancel(hard, by: "client")
        // That it was cancelled is known to the one after, who kills it.
        let third = try await successor(of: next) { $0.patience = .milliseconds(300) }
        #expect(try await third.outcome(hard).end == .cancelled)
    }

    @Test func `what is left of a job that was being made or removed is swept up`() async throws {
        let runner = try scratch.runner()
        try scratch.program("main", "")
        let id = try await runner.begin(request("main"))
        _ = try await runner.outcome(id)
        try FileManager.default.removeItem(atPath: "\(scratch.jobs)/\(id)/request")
        try scratch.write("spool/jobs/\(id)/result.abc.pgbackrest.tmp", "half")
        let half = JobID.new()
        try FileManager.default.createDirectory(atPath: "\(scratch.jobs)/\(half)", withIntermediateDirectories: true)
        let unstarted = try JobRecord(id: .new(), request: request("main", key: "k"), client: "client", created: 1)
        try runner.store.create(unstarted)
        let next = try await successor(of: runner)
        #expect(next.jobs { _ in true }.isEmpty)
        #expect(try FileManager.default.contentsOfDirectory(atPath: scratch.jobs) == ["lock"])
    }

    @Test(arguments: ["", "{", "{}", "null", #"{"id":"x"}"#])
    func `damaged files are no job and no trap`(_ text: String) async throws {
        let runner = try scratch.runner()
        try scratch.program("main", "")
        let id = try await runner.begin(request("main"))
        _ = try await runner.outcome(id)
        let other = try await runner.begin(request("main"))
        let result = try await runner.outcome(other)
        try scratch.write("spool/jobs/\(id)/request", text)
        try scratch.write("spool/jobs/\(other)/process", text)
        try scratch.write("spool/jobs/\(other)/result", text)
        let next = try await successor(of: runner)
        #expect(next.jobs { _ in true }.map(\.record.id) == [other])
        // Its log still tells.
        #expect(try await next.outcome(other).end == result.end)
    }

    @Test func `two do not watch the same jobs`() throws {
        let runner = try scratch.runner()
        do throws(BackupError) {
            _ = try JobStore(path: scratch.jobs)
            Issue.record("the second was let in")
        } catch {
            #expect(error.code == .lockAcquire && error.message.contains(scratch.jobs))
        }
        runner.store.release()
        _ = try JobStore(path: scratch.jobs)
    }

    // MARK: The disk

    @Test func `only so many ended jobs are kept, the newest`() async throws {
        try scratch.program("main", "")
        let runner = try scratch.runner { $0.endedLimit = 3 }
        var ids: [JobID] = []
        for number in 0..<6 {
            ids.append(try await runner.begin(request("main", key: "key \(number)")))
            try await eventually("it ends") { runner.hasEnded(ids[number]) }
        }
        try await eventually("the oldest go") { runner.jobs { _ in true }.count == 3 }
        #expect(runner.jobs { _ in true }.map(\.record.id) == ids.suffix(3).reversed())
        try await eventually("their files go") { !scratch.exists("spool/jobs/\(ids[2])") }
        #expect(await runner.job(ids[0]) == nil)
        // Its key is free again.
        #expect(try await runner.begin(request("main", key: "key 0")) != ids[0])
    }

    @Test func `old ones go`() async throws {
        try scratch.program("main", "")
        let runner = try scratch.runner { $0.keptFor = .seconds(2) }
        let id = try await runner.begin(request("main"))
        try await eventually("it ends") { runner.hasEnded(id) }
        try await eventually("it goes") {
            await runner.prune()
            return await runner.job(id) == nil && !scratch.exists("spool/jobs/\(id)")
        }
    }

    @Test func `a program that is not there is an error, and no job`() async throws {
        let runner = try scratch.runner { $0.program = "/nonexistent/permafrost" }
        do {
            _ = try await runner.begin(request("main"))
            Issue.record("it was started")
        } catch let error as BackupError {
            #expect(error.code == .execute && error.message.contains("'/nonexistent/permafrost'"))
        }
        #expect(runner.jobs { _ in true }.isEmpty)
        #expect(try FileManager.default.contentsOfDirectory(atPath: scratch.jobs) == ["lock"])
    }

    /// Root may write everywhere, so the directory is one that nobody can write to.
    @Test(arguments: ["/proc/nonexistent/jobs", "/dev/null/jobs"])
    func `a directory that cannot be made is an error in words`(_ path: String) {
        do throws(BackupError) {
            _ = try JobStore(path: path)
            Issue.record("it was made")
        } catch {
            #expect(error.message.contains("'/") && error.code != .unknown)
        }
    }

    @Test func `a full disk is an error in words, and a result waits for room`() async throws {
        let full = scratch.path + "/full"
        try FileManager.default.createDirectory(atPath: full, withIntermediateDirectories: true)
        // Only root can.
        guard mount("tmpfs", full, "tmpfs", 0, "size=64k") == 0 else {
            #expect(errno == EPERM)
            return
        }
        defer { umount2(full, Int32(MNT_DETACH)) }
        try scratch.program("main", "while [ ! -e $dir/go ]; do sleep 0.05; done")
        let runner = JobRunner(
            try JobStore(path: full + "/jobs"), JobRunner.Options(program: scratch.program),
            logger: testLogger)
        let id = try await runner.begin(request("main"))
        let ballast = open(full + "/ballast", O_WRONLY | O_CREAT, 0o600)
        while write(ballast, [0], 1) == 1 {}
        close(ballast)
        do {
            _ = try await runner.begin(request("main"))
            Issue.record("it was started")
        } catch let error as BackupError {
            #expect(error.message.contains("no space left") && error.message.hasPrefix("unable to start a job"))
        }
        try scratch.write("go", "")
        try await eventually("it ends") { runner.hasEnded(id) }
        #expect(await runner.job(id)?.result?.end == .completed)
        #expect(runner.store.result(id) == nil)
        try FileManager.default.removeItem(atPath: full + "/ballast")
        await runner.prune()
        #expect(runner.store.result(id)?.end == .completed)
    }
}
