import HTTP

extension ClusterObjects {
    /// Of the configuration's Secret, beyond those that are always there.
    var secretFiles: [String] {
        cluster.repositories.flatMap { repository in
            repository.location.files.keys.map { EngineConfiguration.fileName(repository.key, $0) }
        }.sorted()
    }
}

/// What all pods have in common: nothing that restricted Pod Security refuses.
enum PodParts {
    /// User and group `postgres` of the images.
    static let user = 999

    static var podSecurity: ServiceJSON {
        [
            "runAsNonRoot": true, "runAsUser": ServiceJSON(user), "runAsGroup": ServiceJSON(user),
            "fsGroup": ServiceJSON(user), "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": ["type": "RuntimeDefault"],
        ]
    }

    static var containerSecurity: ServiceJSON {
        [
            "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
            "capabilities": ["drop": ["ALL"]],
        ]
    }

    static func mount(_ name: String, _ path: String, subPath: String? = nil, readOnly: Bool = false) -> ServiceJSON {
        var mount: ServiceJSON = ["name": .text(name), "mountPath": .text(path)]
        if let subPath { mount["subPath"] = .text(subPath) }
        if readOnly { mount["readOnly"] = true }
        return mount
    }

    static func emptyDirectory(_ name: String) -> ServiceJSON { ["name": .text(name), "emptyDir": [:]] }

    /// The configuration as the engine looks for it.
    /// - Parameter file: of the ConfigMap.
    static func configurationVolume(_ file: String, _ objects: ClusterObjects, secretFiles: [String]) -> ServiceJSON {
        let name = ServiceJSON.text(ClusterObjects.configurationName(objects.name))
        let trusted = ServiceJSON.text(EngineConfiguration.trustedFile)
        var items: [ServiceJSON] = [
            ["key": "tls.crt", "path": "tls/tls.crt"], ["key": "tls.key", "path": "tls/tls.key"],
            ["key": "ca.crt", "path": "tls/ca.crt"],
        ]
        // Users' files are a volume of their own in that place.
        if objects.cluster.files == nil { items.append(["key": "repo.conf", "path": "conf.d/repo.conf"]) }
        items += secretFiles.map { ["key": .text($0), "path": .text("files/\($0)")] }
        return [
            "name": "configuration",
            "projected": [
                "defaultMode": 0o440,
                "sources": [
                    ["configMap": ["name": name, "items": [["key": .text(file), "path": "pgbackrest.conf"]]]],
                    // Always named: an operator that is told of certificates changes no pod.
                    ["configMap": ["name": name, "optional": true, "items": [["key": trusted, "path": trusted]]]],
                    ["secret": ["name": name, "items": .array(items)]],
                ],
            ],
        ]
    }

    static let filesDirectory = "\(EngineConfiguration.directory)/conf.d"

    /// Users' files: all entries of a Secret, so that one more changes no pod.
    static func filesVolume(_ objects: ClusterObjects) -> ServiceJSON? {
        guard let files = objects.cluster.files else { return nil }
        let secret: ServiceJSON = [
            "secret": ["name": .text(ClusterObjects.filesName(objects.name)), "optional": true]
        ]
        return ["name": "files", "projected": ["defaultMode": 0o440, "sources": .array([secret] + files.tokens)]]
    }

    static func filesMount(_ objects: ClusterObjects) -> [ServiceJSON] {
        objects.cluster.files == nil ? [] : [mount("files", filesDirectory, readOnly: true)]
    }

    static func fieldVariable(_ name: String, _ path: String) -> ServiceJSON {
        ["name": .text(name), "valueFrom": ["fieldRef": ["apiVersion": "v1", "fieldPath": .text(path)]]]
    }

    static func variable(_ name: String, _ value: String) -> ServiceJSON {
        ["name": .text(name), "value": .text(value)]
    }

    static func secretVariable(_ name: String, _ secret: String, _ key: String) -> ServiceJSON {
        ["name": .text(name), "valueFrom": ["secretKeyRef": ["name": .text(secret), "key": .text(key)]]]
    }
}
