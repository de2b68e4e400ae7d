import HTTP
import KubernetesClient

/// The template of pods as it was made once. It stays as it is when a newer operator would make another, since pods that
/// get another one are started again: nobody but the user says when.
struct MadeTemplate: Sendable, Equatable {
    /// Before the names of images, and after them: those of the operator that chose them.
    var imagePrefix: String
    var imageTag: String
    /// Digest of what of the manifest it was made of.
    var source: String
    var template: ServiceJSON

    /// Annotation of the object that has the pods.
    static let annotation = "permafrost.dev/template"

    init(_ settings: OperatorSettings, source: String, template: ServiceJSON) {
        imagePrefix = settings.imagePrefix
        imageTag = settings.imageTag
        self.source = source
        self.template = template
    }

    /// ``text``; nil for what is none.
    init?(_ text: String?) {
        guard let json = text.flatMap({ ServiceJSON(Array($0.utf8)) }), let template = json["template"],
            let prefix = json["image-prefix"]?.string, let tag = json["image-tag"]?.string,
            let source = json["source"]?.string
        else { return nil }
        self.template = template
        imagePrefix = prefix
        imageTag = tag
        self.source = source
    }

    /// Of an object that was made before there was the annotation: as it is, and as the manifest says now.
    init?(of object: KubernetesObject, source: String) {
        guard let template = object["spec", "template"],
            let image = template[["spec", "containers"]]?.elements.first?["image"]?.string
        else { return nil }
        let slash = image.lastIndex(of: "/").map { image.index(after: $0) } ?? image.startIndex
        guard let colon = image[slash...].lastIndex(of: ":") else { return nil }
        var tag = image[image.index(after: colon)...]
        // An image of PostgreSQL has its major before it.
        if image[slash..<colon].hasSuffix("-postgres"), let dash = tag.firstIndex(of: "-") {
            tag = tag[tag.index(after: dash)...]
        }
        imagePrefix = String(image[..<slash])
        imageTag = String(tag)
        self.source = source
        self.template = template
    }

    var text: String {
        let json: ServiceJSON = [
            "image-prefix": .text(imagePrefix), "image-tag": .text(imageTag), "source": .text(source),
            "template": template,
        ]
        return json.description
    }

    /// What the pods are to be.
    /// - Parameters:
    ///   - before: nil where there are no pods yet.
    ///   - update: the version that the user lets the pods be brought to.
    ///   - make: the template with the images of some settings.
    static func settled(
        _ before: MadeTemplate?, source: String, update: String?, _ settings: OperatorSettings,
        make: (OperatorSettings) -> ServiceJSON
    ) -> MadeTemplate {
        var chosen = settings
        if let before, before.imageTag != settings.imageTag, update != settings.imageTag {
            if before.source == source { return before }
            // The manifest asks for other pods, and not for other images.
            chosen.imagePrefix = before.imagePrefix
            chosen.imageTag = before.imageTag
        } else if let before, before.imageTag == settings.imageTag, before.source == source {
            return before
        }
        return MadeTemplate(chosen, source: source, template: make(chosen))
    }
}

extension ClusterObjects {
    func databaseTemplate(
        _ before: MadeTemplate?, secretFiles: [String]
    ) -> MadeTemplate {
        MadeTemplate.settled(before, source: databaseSource(secretFiles), update: cluster.update, settings) {
            ClusterObjects(cluster, $0).podTemplate(secretFiles: secretFiles)
        }
    }

    func hostTemplate(_ before: MadeTemplate?, secretFiles: [String]) -> MadeTemplate {
        MadeTemplate.settled(before, source: hostSource(secretFiles), update: cluster.update, settings) {
            ClusterObjects(cluster, $0).repositoryHostTemplate(secretFiles: secretFiles)
        }
    }

    // MARK: What of the manifest the pods are made of

    /// Whatever the template is made of, but for what is the operator's own. What is missing here changes no pod that is
    /// there; what is here must not depend on the operator's version.
    func databaseSource(_ secretFiles: [String]) -> String {
        let pods = cluster.pods
        return Self.source(
            common(secretFiles).merging([
                "major": ServiceJSON(cluster.major), "claim": .text(cluster.names.dataClaim),
                "users": .bool(cluster.users != nil), "user-secret": .text(cluster.names.userSecret),
                "passwords": [
                    .text(cluster.names.superuserPassword), .text(cluster.names.replicationPassword),
                ],
                "labels": ServiceJSON(pods.labels), "annotations": ServiceJSON(pods.annotations),
                "resources": pods.resources ?? .null, "agent-resources": pods.agentResources ?? .null,
                "scheduling": .object(pods.scheduling), "spreads": .bool(pods.spreads),
            ]))
    }

    func hostSource(_ secretFiles: [String]) -> String {
        let pods = cluster.pods
        var parts = common(secretFiles).merging([
            "labels": ServiceJSON(pods.hostLabels), "annotations": ServiceJSON(pods.hostAnnotations),
            "resources": pods.hostResources ?? .null,
            "scheduling": .object(pods.hostScheduling ?? pods.backupScheduling),
            "volumes": .array(
                cluster.repositories.compactMap(\.volume).map { [.text($0.claim), .text($0.directory)] }),
        ])
        // The volume that a copy begins with, and gives up.
        if let claim = cluster.restore?.found?.claim { parts["source"] = .text(claim) }
        return Self.source(parts)
    }

    private func common(_ secretFiles: [String]) -> ServiceJSON {
        [
            "cluster-labels": ServiceJSON(cluster.names.labels), "files": ServiceJSON(secretFiles),
            "user-files": cluster.files.map { .array($0.tokens) } ?? .null,
            "object-labels": ServiceJSON(cluster.pods.objectLabels),
            "object-annotations": ServiceJSON(cluster.pods.objectAnnotations),
            "identity": [ServiceJSON(identityLabels), .array(identityVariables)],
        ]
    }

    private static func source(_ parts: ServiceJSON) -> String { OperatorNames.digest(parts.description) }
}
