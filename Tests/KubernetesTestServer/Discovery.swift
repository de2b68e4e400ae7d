import HTTP

/// What the server says it has, for kubectl and others.
enum Discovery {
    static func answer(_ path: [String], _ types: Set<ServedType>) -> ServiceJSON? {
        switch path {
        case ["version"]:
            return [
                "major": "1", "minor": "36", "gitVersion": "v1.36.0", "gitCommit": "", "gitTreeState": "clean",
                "buildDate": "2026-04-01T00:00:00Z", "goVersion": "", "compiler": "", "platform": "linux/amd64",
            ]
        case ["api"]:
            return ["kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []]
        case ["apis"]:
            let groups = Set(types.map(\.group)).subtracting([""]).sorted()
            return [
                "kind": "APIGroupList", "apiVersion": "v1", "groups": .array(groups.map { group($0, types) }),
            ]
        case ["api", "v1"]: return resources("", "v1", types)
        case ["openapi", "v3"]:
            var paths = ServiceJSON.object([:])
            for version in Set(types.map(Self.path)) {
                paths[version] = ["serverRelativeURL": "/openapi/v3/\(version)"]
            }
            return ["paths": paths]
        default: break
        }
        if path.count == 2, path[0] == "apis", types.contains(where: { $0.group == path[1] }) {
            var answer = group(path[1], types)
            answer["kind"] = "APIGroup"
            answer["apiVersion"] = "v1"
            return answer
        }
        if path.count == 3, path[0] == "apis" { return resources(path[1], path[2], types) }
        if path.count > 3, path[..<2] == ["openapi", "v3"] { return openAPI(path[2...].joined(separator: "/"), types) }
        return nil
    }

    private static func path(_ type: ServedType) -> String {
        type.group.isEmpty ? "api/\(type.version)" : "apis/\(type.group)/\(type.version)"
    }

    private static func group(_ name: String, _ types: Set<ServedType>) -> ServiceJSON {
        let versions = Set(types.filter { $0.group == name }.map(\.version)).sorted().reversed().map {
            version -> ServiceJSON in ["groupVersion": "\(name)/\(version)", "version": .text(version)]
        }
        return ["name": .text(name), "versions": .array(versions), "preferredVersion": versions.first ?? .null]
    }

    private static func resources(_ group: String, _ version: String, _ types: Set<ServedType>) -> ServiceJSON? {
        let found = types.filter { $0.group == group && $0.version == version }.sorted { $0.plural < $1.plural }
        guard !found.isEmpty else { return nil }
        var list: [ServiceJSON] = []
        let verbs = ServiceJSON([
            "create", "delete", "deletecollection", "get", "list", "patch", "update", "watch",
        ])
        for type in found {
            list.append([
                "name": .text(type.plural), "singularName": .text(type.kind.lowercased()),
                "namespaced": .bool(type.isNamespaced), "kind": .text(type.kind), "verbs": verbs,
                "shortNames": ServiceJSON(type.shortNames),
            ])
            if type.hasStatus {
                list.append([
                    "name": "\(type.plural)/status", "singularName": "", "namespaced": .bool(type.isNamespaced),
                    "kind": .text(type.kind), "verbs": ["get", "patch", "update"],
                ])
            }
        }
        return [
            "kind": "APIResourceList", "apiVersion": "v1",
            "groupVersion": .text(group.isEmpty ? version : "\(group)/\(version)"), "resources": .array(list),
        ]
    }

    /// As much as kubectl needs to leave the checking of fields to the server.
    private static func openAPI(_ version: String, _ types: Set<ServedType>) -> ServiceJSON {
        var paths = ServiceJSON.object([:])
        for type in types where path(type) == version {
            let place = "/\(version)" + (type.isNamespaced ? "/namespaces/{namespace}" : "") + "/\(type.plural)/{name}"
            paths[place] = [
                "patch": [
                    "x-kubernetes-group-version-kind": [
                        "group": .text(type.group), "version": .text(type.version), "kind": .text(type.kind),
                    ],
                    "parameters": [["name": "fieldValidation", "in": "query", "schema": ["type": "string"]]],
                    "responses": [:],
                ]
            ]
        }
        return ["openapi": "3.0.0", "info": ["title": "Kubernetes", "version": "v1.36.0"], "paths": paths]
    }
}
