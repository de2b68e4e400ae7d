import HTTP

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
        package var repository: Int
        /// Seconds since 1970.
        package var time: Int64
        /// It was not made when it was due.
        package var wasMissed: Bool
        /// There is none at all yet.
        package var isFirst: Bool
    }

    package var due: [Due] = []
    package var states: [Int: ScheduleState] = [:]
    /// Seconds since 1970; nil when nothing is scheduled.
    package var next: Int64?

    /// So much later is late.
    private static let lateness: Int64 = 60

    /// - Parameters:
    ///   - known: as the status has it.
    ///   - made: of each repository the newest time that a backup was made for, as the backups themselves say.
    ///   - busy: repositories that have a backup which has not ended: the next is made after it.
    ///   - filled: repositories in which there is a backup.
    package init(
        _ repositories: [WantedRepository], zones: (String?) -> TimeZone?, known: [Int: ScheduleState],
        made: [Int: Int64], busy: Set<Int>, filled: Set<Int>, now: Int64
    ) {
        for repository in repositories {
            guard let schedule = repository.schedules.first, let zone = zones(schedule.timeZone) else { continue }
            let text = schedule.text + (schedule.timeZone.map { " \($0)" } ?? "")
            var state = known[repository.key] ?? ScheduleState(text: text, since: now)
            if state.text != text { state = ScheduleState(text: text, since: now) }
            let anchor = max(state.since, state.last ?? state.since, made[repository.key] ?? state.since)
            let isFirst = !filled.contains(repository.key) && made[repository.key] == nil && state.last == nil
            if !busy.contains(repository.key) {
                if isFirst {
                    due.append(Due(repository: repository.key, time: now, wasMissed: false, isFirst: true))
                    state.last = now
                } else if let time = schedule.cron.last(after: anchor, until: now, in: zone) {
                    due.append(
                        Due(
                            repository: repository.key, time: time, wasMissed: now - time > Self.lateness,
                            isFirst: false))
                    state.last = time
                }
            }
            states[repository.key] = state
            if let time = schedule.cron.next(after: now, in: zone) { next = min(next ?? time, time) }
        }
    }
}
