import HTTP
import KubernetesClient

/// Those of Services with a selector; the others' are left alone.
extension TestControllers {
    func reconcile(service: KubernetesObject) async throws(KubernetesError) {
        let selector = service["spec", "selector"]?.texts ?? [:]
        guard !selector.isEmpty, !service.isBeingDeleted else { return }
        let labels = selector.sorted { $0.key < $1.key }.map { LabelRequirement.equals($0.key, $0.value) }
        let takesAll = service["spec", "publishNotReadyAddresses"]?.bool == true
        var ready: [ServiceJSON] = []
        var others: [ServiceJSON] = []
        for pod in objects.pods.objects(namespace: service.namespace, labels) {
            guard let address = pod["status", "podIP"], !["Failed", "Succeeded"].contains(pod.phase) else { continue }
            var entry: ServiceJSON = [
                "ip": address, "nodeName": pod["spec", "nodeName"] ?? "",
                "targetRef": [
                    "kind": "Pod", "namespace": .text(pod.namespace ?? ""), "name": .text(pod.name),
                    "uid": .text(pod.uid),
                ],
            ]
            if pod["spec", "subdomain"]?.string == service.name { entry["hostname"] = pod["spec", "hostname"] }
            if takesAll || pod.isReady && !pod.isBeingDeleted { ready.append(entry) } else { others.append(entry) }
        }
        let ports = (service["spec", "ports"]?.elements ?? []).map { port -> ServiceJSON in
            var entry: ServiceJSON = [
                "port": target(port, of: service, labels) ?? port["port"] ?? 0,
                "protocol": port["protocol"] ?? "TCP",
            ]
            entry["name"] = port["name"]
            return entry
        }
        var subset = ServiceJSON.object([:])
        if !ready.isEmpty { subset["addresses"] = .array(ready) }
        if !others.isEmpty { subset["notReadyAddresses"] = .array(others) }
        if !ports.isEmpty, subset != .object([:]) { subset["ports"] = .array(ports) }
        let subsets: ServiceJSON = subset == .object([:]) ? .null : [subset]

        let type = ClusterObjects.endpointsType
        if let present = objects.endpoints[service.key] {
            guard present["subsets"] ?? .null != subsets else { return }
            _ = try await client.patch(
                type, namespace: service.namespace, name: service.name,
                ["metadata": ["uid": .text(present.uid)], "subsets": subsets])
        } else {
            var endpoints = KubernetesObject(type, namespace: service.namespace, name: service.name)
            endpoints.labels = service.labels
            endpoints.ownerReferences = [service.owner(isController: false, blocksDeletion: false)]
            endpoints["subsets"] = subsets == .null ? nil : subsets
            _ = try await client.create(type, endpoints)
        }
    }

    /// A name of a port is the pods' own.
    private func target(
        _ port: ServiceJSON, of service: KubernetesObject, _ labels: [LabelRequirement]
    ) -> ServiceJSON? {
        guard let target = port["targetPort"], case .text(let name) = target else { return port["targetPort"] }
        for pod in objects.pods.objects(namespace: service.namespace, labels) {
            for container in pod["spec", "containers"]?.elements ?? [] {
                for port in container["ports"]?.elements ?? [] where port["name"]?.string == name {
                    return port["containerPort"]
                }
            }
        }
        return nil
    }
}
