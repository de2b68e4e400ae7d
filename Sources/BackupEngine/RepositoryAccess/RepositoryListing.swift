package import BackupModel
import RepositoryStorage

/// `repo-ls`: what lies under a path of a repository, byte for byte as pgBackRest prints it.
package struct RepositoryListing {
    private let repository: Repository
    private let path: String
    private let isJSON: Bool
    private let recurses: Bool
    private let descends: Bool
    private let filter: RegularExpression?

    package init(_ context: EngineContext) throws(BackupError) {
        let configuration = context.configuration
        guard configuration.parameters.count < 2 else {
            throw BackupError(.parameterInvalid, "only one path may be specified", hint: "run repo-ls for each path")
        }
        repository = context.repositories[0]
        path = try RepositoryObjectPath.relative(configuration.parameters.first ?? "", repository, configuration)
        isJSON = configuration.string(.output) == "json"
        recurses = configuration.bool(.recurse)
        descends = configuration.string(.sort) == "desc"
        filter = try configuration.string(.filter).map { pattern throws(BackupError) in
            try RegularExpression(pattern)
        }
    }

    package func run(_ sink: @escaping OutputSink) async throws {
        var output = Output(text: TextOutput(sink), isJSON: isJSON, filter: filter)
        if isJSON { try output.text.write("{") }
        let info = path.isEmpty ? nil : try await repository.describing { try await repository.store.info(path) }
        if let info, info.kind == .object {
            var file = info
            file.name = "."
            try output.entry(file, ".")
        } else {
            // Reported as there in any case: not every store has directories.
            if isJSON {
                try output.entry(ObjectInfo(name: ".", kind: .directory, size: 0, modified: 0), ".")
            }
            try await list(path, "", &output)
        }
        if isJSON {
            try output.text.write("}\n")
        } else if !output.isEmpty {
            try output.text.write("\n")
        }
        try output.text.flush()
    }

    private func list(_ directory: String, _ prefix: String, _ output: inout Output) async throws {
        let entries = try await repository.listAll(directory)
        for entry in descends ? entries.reversed() : entries {
            let path = directory.isEmpty ? entry.name : "\(directory)/\(entry.name)"
            let name = prefix + entry.name
            let goesInto = recurses && entry.kind == .directory
            if descends, goesInto { try await list(path, name + "/", &output) }
            try output.entry(entry, name)
            if !descends, goesInto { try await list(path, name + "/", &output) }
        }
    }

    private struct Output {
        var text: TextOutput
        let isJSON: Bool
        let filter: RegularExpression?
        private(set) var isEmpty = true

        init(text: TextOutput, isJSON: Bool, filter: RegularExpression?) {
            self.text = text
            self.isJSON = isJSON
            self.filter = filter
        }

        mutating func entry(_ info: ObjectInfo, _ name: String) throws {
            if let filter, !filter.matches(name) { return }
            if !isEmpty { try text.write(isJSON ? "," : "\n") }
            isEmpty = false
            guard isJSON else { return try text.write(name) }
            var line = JSONValue.string(name).text + ":{\"type\":\""
            switch info.kind {
            case .object:
                line += "file\",\"size\":\(info.size),\"time\":\(info.modified)"
                if let version = info.version { line += ",\"version\":\(JSONValue.string(version).text)" }
            case .directory: line += "path\""
            case .link: line += "link\",\"destination\":\(JSONValue.string(info.destination ?? "").text)"
            case .special: line += "special\""
            }
            try text.write(line + "}")
        }
    }
}
