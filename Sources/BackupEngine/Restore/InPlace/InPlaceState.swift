import BackupModel

/// What a restore in place writes down beside the data directory, so that the next run knows how far one came that was
/// killed. There as long as anything is to be finished: from before the server is stopped until nothing is left over.
struct InPlaceState: Sendable, Equatable {
    enum Phase: String, Sendable {
        /// Nothing that counts is there yet.
        case restoring
        /// The restored directory is recovered and was shut down in order. Nobody has used it.
        case recovered
        /// It is in its place, and the server may have run on it.
        case released
    }

    var phase = Phase.restoring
    /// All that decides what comes out; see ``InPlaceRequest``.
    var request: String
    /// What is in the file that holds the server.
    var token: String
    var method: RestoreReport.Method
    /// The program that recovers, and the libraries that it loads: the directory that tells may be gone by then.
    var program: String
    var libraries = ""
    /// What was chosen, and in the end what came out.
    var result: RestoreReport

    init(
        request: String, token: String, method: RestoreReport.Method, program: String, libraries: String,
        result: RestoreReport
    ) {
        self.request = request
        self.token = token
        self.method = method
        self.program = program
        self.libraries = libraries
        self.result = result
    }

    /// nil for what is none of ours.
    init?(_ bytes: [UInt8]) {
        guard let json = FlatJSON(bytes), let phase = json[text: "phase"].flatMap(Phase.init(rawValue:)),
            let request = json[text: "request"], let token = json[text: "token"],
            let method = json[text: "method"].flatMap(RestoreReport.Method.init(rawValue:)),
            let program = json[text: "program"], let libraries = json[text: "libraries"],
            let stanza = json[text: "stanza"], let set = json[text: "set"], let type = json[text: "type"],
            let repository = json[number: "repository"].flatMap({ Int(exactly: $0) }), let path = json[text: "path"]
        else { return nil }
        self.phase = phase
        self.request = request
        self.token = token
        self.method = method
        self.program = program
        self.libraries = libraries
        result = RestoreReport(
            stanza: stanza, set: set, repository: repository, dataDirectory: path, type: type,
            target: json[text: "target"])
        result.targetTimeline = json[text: "target-timeline"]
        result.method = method
        result.isDone = true
        if let timeline = json[number: "timeline"].flatMap({ UInt32(exactly: $0) }) {
            result.recovery = RestoreReport.Recovery(
                timeline: timeline, lsn: json[text: "lsn"], time: json[text: "time"])
        }
    }

    var bytes: [UInt8] {
        var json = FlatJSON()
        json[text: "phase"] = phase.rawValue
        json[text: "request"] = request
        json[text: "token"] = token
        json[text: "method"] = method.rawValue
        json[text: "program"] = program
        json[text: "libraries"] = libraries
        json[text: "stanza"] = result.stanza
        json[text: "set"] = result.set
        json[text: "type"] = result.type
        json[text: "target"] = result.target
        json[text: "target-timeline"] = result.targetTimeline
        json[text: "path"] = result.dataDirectory
        json[number: "repository"] = UInt64(clamping: result.repository)
        json[number: "timeline"] = result.recovery.map { UInt64($0.timeline) }
        json[text: "lsn"] = result.recovery?.lsn
        json[text: "time"] = result.recovery?.time
        return json.bytes
    }
}

/// What is there when a run begins, and what is to be done first.
struct InPlaceSituation: Sendable, Equatable {
    enum Step: Sendable, Equatable {
        /// All of it, from the checks on; what lies in the directory to restore to is made use of.
        case restore
        /// The restored directory is ready: exchange the two, once the server is held.
        case exchange
        /// The old directory was moved away: put the new one in its place.
        case finishExchange
        /// The old directory was moved away, and there is no new one or another is asked for: put it back.
        case undoExchange
        /// The new directory is in its place: let the server run, and remove the old one when it is up.
        case release
    }

    var hasData = true
    var hasRestored = false
    var hasBefore = false
    var isHeld = false
    /// nil: no run is unfinished.
    var state: InPlaceState?

    /// - Throws: `.pathMissing`, `.fileExists` or `.pathNotEmpty` for what no run of ours leaves.
    func next(
        _ request: String, _ method: RestoreReport.Method, _ paths: InPlacePaths
    ) throws(BackupError) -> Step {
        guard let state else {
            guard !hasBefore else { throw Self.unknownBefore(paths) }
            guard !isHeld else {
                throw BackupError(
                    .fileExists, "'\(paths.hold)' is there: somebody else holds the server",
                    hint: "remove it when nobody does any more")
            }
            guard hasData else { throw Self.noData(paths) }
            return .restore
        }
        let isReady = state.phase != .restoring
        let isWanted = state.request == request
        if state.method == .delta {
            guard hasData else { throw Self.noData(paths) }
            if isReady { return .release }
            guard method == .delta else {
                throw BackupError(
                    .pathNotEmpty, "'\(paths.data)' is half restored: there is no old database to be kept",
                    hint: "restore in place with --delta, which goes on there")
            }
            return .restore
        }
        switch (hasData, hasBefore, hasRestored) {
        case (false, true, true): return isReady && isWanted ? .finishExchange : .undoExchange
        case (false, true, false): return .undoExchange
        case (false, false, true) where isReady: return .finishExchange
        case (false, false, _): throw Self.noData(paths)
        case (true, true, false) where state.phase == .recovered && !isWanted: return .undoExchange
        case (true, _, false) where isReady: return .release
        case (true, true, _): throw Self.unknownBefore(paths)
        case (true, false, true) where isReady && isWanted: return .exchange
        case (true, false, _): return .restore
        }
    }

    private static func noData(_ paths: InPlacePaths) -> BackupError {
        BackupError(
            .pathMissing, "there is no data directory '\(paths.data)' to be replaced",
            hint: "is pg1-path right? Where there is no database yet, restore without --in-place")
    }

    private static func unknownBefore(_ paths: InPlacePaths) -> BackupError {
        BackupError(
            .pathNotEmpty, "'\(paths.before)' is in the way: that is where the old data directory is to be kept",
            hint: "if it is of an earlier restore in place and no longer needed, remove it")
    }
}
