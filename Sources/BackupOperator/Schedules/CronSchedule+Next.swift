extension CronSchedule {
    /// The first time after `time`, seconds since 1970, at a full minute; nil when there is none within nine years, in
    /// which each day of each month comes.
    ///
    /// A time that a change of clocks leaves out comes at the change; one that it repeats comes once, unless the schedule
    /// comes every hour.
    package func next(after time: Int64, in zone: TimeZone) -> Int64? {
        var now = time.floored(by: 60) * 60 + 60
        let end = now + 9 * 366 * 86_400
        var offset = zone.offset(at: now - 60)
        while now < end {
            let nextOffset = zone.offset(at: now)
            if nextOffset > offset, !isHourly, let change = inGap(before: now, from: offset, in: zone), change > time {
                return change
            }
            offset = nextOffset
            let civil = CivilTime(now + Int64(offset))
            if !matchesDay(civil) {
                // Near the end of a day by minutes: its length may change.
                let rest = 86_400 - civil.secondOfDay
                now += rest > 10_800 ? rest - 10_800 : 900 - civil.secondOfDay % 900
            } else if !matchesHour(civil) {
                now += 900 - civil.secondOfDay % 900
            } else if !matchesMinute(civil) || (!isHourly && isRepeated(now, offset, zone)) {
                now += 60
            } else {
                return now
            }
        }
        return nil
    }

    /// Whether the clocks showed the same a while before.
    private func isRepeated(_ time: Int64, _ offset: Int, _ zone: TimeZone) -> Bool {
        [1800, 3600, 7200].contains { zone.offset(at: time - Int64($0)) == offset + $0 }
    }

    /// When the clocks were moved forward over a time that matches, in the hours before `time`.
    private func inGap(before time: Int64, from old: Int, in zone: TimeZone) -> Int64? {
        let new = zone.offset(at: time)
        var change = time.floored(by: 60) * 60
        while zone.offset(at: change - 60) == new, time - change < 86_400 { change -= 60 }
        for skipped in stride(from: change + Int64(old), to: change + Int64(new), by: 60)
        where matches(CivilTime(skipped)) {
            return change
        }
        return nil
    }

    /// The last time that has come since `time` until `now`, both seconds since 1970; nil when none has.
    package func last(after time: Int64, until now: Int64, in zone: TimeZone) -> Int64? {
        // Where that is long ago, what matters lies in the last days; from further back when nothing does.
        for window: Int64 in [3600, 86_400, 32 * 86_400, 9 * 366 * 86_400] {
            var found: Int64?
            var from = max(time, now - window)
            while let next = next(after: from, in: zone), next <= now {
                found = next
                from = next
            }
            if found != nil || time >= now - window { return found }
        }
        return nil
    }
}
