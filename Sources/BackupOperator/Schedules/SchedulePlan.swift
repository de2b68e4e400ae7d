import HTTP

/// Which schedule of a cluster.
package struct ScheduleKey: Sendable, Hashable, Comparable {
    package var repository: Int
    package var kind: WantedSchedule.Kind

    package init(_ repository: Int, _ kind: WantedSchedule.Kind) {
        self.repository = repository
        self.kind = kind
    }

    package static func < (one: ScheduleKey, other: ScheduleKey) -> Bool {
        (one.repository, one.kind) < (other.repository, other.kind)
    }
}

/// What is remembered of a schedule, in the cluster's status.
package struct ScheduleState: Sendable, Equatable {
    /// The schedule and its zone as they were written; another one begins anew.
    package var text: String
    /// Seconds since 1970: when it was first seen, and the last time that a backup was made for.
    package var since: Int64
    package var last: Int64?

    package init(text: String, since: Int64, last: Int64? = nil) {
        self.text = text
        self.since = since
        self.last = last
    }

    init?(_ json: ServiceJSON) {
        guard let text = json["schedule"]?.string,
            let since = json["since"]?.string.flatMap(ServiceTime.parseISO8601)
        else { return nil }
        self.init(text: text, since: since, last: json["last"]?.string.flatMap(ServiceTime.parseISO8601))
    }

    var json: ServiceJSON {
        var json: ServiceJSON = ["schedule": .text(text), "since": .text(ServiceTime.rfc3339(since))]
        if let last { json["last"] = .text(ServiceTime.rfc3339(last)) }
        return json
    }
}

/// Which backups are due now, and when to look again. A value: the clock is asked elsewhere.
package struct SchedulePlan: Sendable, Equatable {
    package struct Due: Sendable, Equatable {
        package var key: ScheduleKey
        /// Seconds since 1970.
        package var time: Int64
        /// It was not made when it was due.
        package var wasMissed: Bool
        /// There is none at all yet.
        package var isFirst: Bool
    }

    /// What the backups that there are say of it.
    package struct Past: Sendable, Equatable {
        /// The newest time that a backup was made for.
        package var made: [ScheduleKey: Int64] = [:]
        /// One of them has not ended: the next is made after it.
        package var busy: Set<ScheduleKey> = []
        /// Repositories in which there is a backup, or will be.
        package var filled: Set<Int> = []

        package init() {}

        fileprivate func newest(in repository: Int) -> Int64? {
            made.filter { $0.key.repository == repository }.values.max()
        }

        fileprivate func isBusy(_ repository: Int) -> Bool { busy.contains { $0.repository == repository } }
    }

    package var due: [Due] = []
    package var states: [ScheduleKey: ScheduleState] = [:]
    /// Seconds since 1970; nil when nothing is scheduled.
    package var next: Int64?

    /// So much later is late.
    private static let lateness: Int64 = 60
    /// Before a first backup that failed is tried again where no schedule brings another.
    private static let firstPause: Int64 = 600

    /// - Parameter known: as the status has it.
    package init(
        _ repositories: [WantedRepository], zones: (String?) -> TimeZone?, known: [ScheduleKey: ScheduleState],
        past: Past, now: Int64
    ) {
        for repository in repositories {
            let schedules = repository.schedules.sorted { $0.type < $1.type }
                .map { (schedule: $0, key: ScheduleKey(repository.key, $0.type)) }
            for (schedule, key) in schedules {
                let text = schedule.text + (schedule.timeZone.map { " \($0)" } ?? "")
                var state = known[key] ?? ScheduleState(text: text, since: now)
                if state.text != text || state.since > now + Self.lateness {
                    state = ScheduleState(text: text, since: now)
                }
                // A clock that was ahead for a while must not end the schedule.
                if let last = state.last, last > now + Self.lateness { state.last = now }
                states[key] = state
            }
            if isFirst(repository, past, now) {
                due.append(
                    Due(key: ScheduleKey(repository.key, .full), time: now, wasMissed: false, isFirst: true))
                // Whatever is due with it is in it.
                for (_, key) in schedules { states[key]?.last = now }
            }
            for (schedule, key) in schedules {
                guard let zone = zones(schedule.timeZone), let state = states[key] else {
                    states[key] = nil
                    continue
                }
                let made = past.made[key].flatMap { $0 > now + Self.lateness ? nil : $0 }
                let anchor = max(state.since, state.last ?? state.since, made ?? state.since)
                if !past.busy.contains(key), let time = schedule.cron.last(after: anchor, until: now, in: zone) {
                    due.append(Due(key: key, time: time, wasMissed: now - time > Self.lateness, isFirst: false))
                    states[key]?.last = time
                }
                if let time = schedule.cron.next(after: now, in: zone) { note(time) }
            }
        }
    }

    private mutating func isFirst(_ repository: WantedRepository, _ past: Past, _ now: Int64) -> Bool {
        guard repository.beginsWithBackup, !past.filled.contains(repository.key), !past.isBusy(repository.key) else {
            return false
        }
        guard let newest = past.newest(in: repository.key) else {
            return repository.schedules.allSatisfy { states[ScheduleKey(repository.key, $0.type)]?.last == nil }
        }
        // One that failed: the schedule brings the next, if there is one.
        guard repository.schedules.isEmpty else { return false }
        if now - newest < Self.firstPause { note(newest + Self.firstPause) }
        return now - newest >= Self.firstPause
    }

    private mutating func note(_ time: Int64) { next = min(next ?? time, time) }
}
