import Foundation
import Glibc
import HTTP
import KubernetesClient
import TestSupport

struct MissingImage: Error { var message: String }
struct MissingVolume: Error { var message: String }

/// What a container needs before it starts.
extension PodRunner {
    func plan(_ container: PodContainer, _ mounts: [ContainerPlan.Mount]) throws -> ContainerPlan {
        guard let image = node.options.images[container.image] else {
            throw MissingImage(message: "failed to pull image \"\(container.image)\": not found")
        }
        let context = pod["spec", "securityContext"]
        let own = container.spec["securityContext"]
        let user = own?["runAsUser"]?.integer ?? context?["runAsUser"]?.integer ?? image.user
        let known = image.user(user)
        let group =
            own?["runAsGroup"]?.integer ?? context?["runAsGroup"]?.integer ?? known?.group
            ?? (user == image.user ? image.group : 0)
        if (own?["runAsNonRoot"] ?? context?["runAsNonRoot"])?.bool == true, user == 0 {
            throw ContainerEnvironment.Missing(
                what: "container has runAsNonRoot and image will run as root (pod: \"\(pod.key)\")")
        }
        var groups = (context?["supplementalGroups"]?.elements ?? []).compactMap(\.integer)
        if let fsGroup { groups.append(fsGroup) }

        var basis = image.environment
        basis["HOME"] = known?.home ?? "/"
        basis["HOSTNAME"] = hostName
        if let server = node.options.server {
            basis["KUBERNETES_SERVICE_HOST"] = server.host
            basis["KUBERNETES_SERVICE_PORT"] = String(server.port)
            basis["KUBERNETES_SERVICE_PORT_HTTPS"] = String(server.port)
        }
        let variables = try environment(container.spec).variables(over: basis)
        let command = container.spec["command"]?.elements.compactMap(\.string)
        let arguments = container.spec["args"]?.elements.compactMap(\.string)
        let words = (command ?? image.entryPoint) + (arguments ?? (command == nil ? image.arguments : []))
        return ContainerPlan(
            command: words.map { ContainerEnvironment.expanded($0, variables) }, environment: variables,
            workingDirectory: container.spec["workingDir"]?.string ?? image.workingDirectory, user: user, group: group,
            otherGroups: groups, mounts: mounts, image: image,
            isRootReadOnly: own?["readOnlyRootFilesystem"]?.bool == true,
            keepsPrivileges: own?["allowPrivilegeEscalation"]?.bool != false,
            settings: settings(image, (user, group)))
    }

    private var fsGroup: Int? { pod["spec", "securityContext", "fsGroup"]?.integer }

    private func environment(_ container: ServiceJSON) -> ContainerEnvironment {
        let (node, namespace) = (node, pod.namespace)
        return ContainerEnvironment(
            pod: pod, container: container,
            find: { node.objects.find($0, namespace: namespace, name: $1) }, podAddress: address,
            nodeAddress: node.machine.address)
    }

    private func settings(_ image: NodeImage, _ running: (user: Int, group: Int)) -> [String: String] {
        func here(_ path: String) -> String { (try? String(contentsOfFile: path, encoding: .utf8)) ?? "" }
        let accounts = image.accounts(passwd: here("/etc/passwd"), group: here("/etc/group"), running: running)
        let namespace = pod.namespace ?? ""
        var names = hostName
        if let subdomain = pod["spec", "subdomain"]?.string {
            names = "\(hostName).\(subdomain).\(namespace).svc.cluster.local \(hostName)"
        }
        let aliases = (pod["spec", "hostAliases"]?.elements ?? []).map { alias in
            let names = (alias["hostnames"]?.elements ?? []).compactMap(\.string)
            return "\(alias["ip"]?.string ?? "") \(names.joined(separator: " "))\n"
        }
        return [
            "passwd": accounts.passwd, "group": accounts.group, "hostname": hostName + "\n",
            "hosts": "127.0.0.1 localhost\n\(address) \(names)\n" + aliases.joined(),
            "resolv.conf": """
            search \(namespace).svc.cluster.local svc.cluster.local cluster.local
            nameserver \(node.machine.address)
            options ndots:5 timeout:2

            """,
        ]
    }

    // MARK: Volumes

    private static let accountDirectory = "/var/run/secrets/kubernetes.io/serviceaccount"

    /// Makes the pod's volumes, all of them, as they must be there before any container is.
    func mounts(_ container: PodContainer) throws -> [ContainerPlan.Mount] {
        for volume in pod["spec", "volumes"]?.elements ?? [] { _ = try prepare(volume) }
        var mounts: [ContainerPlan.Mount] = []
        for mount in container.spec["volumeMounts"]?.elements ?? [] {
            let name = mount["name"]?.string ?? ""
            guard let volume = pod["spec", "volumes"]?.elements.first(where: { $0["name"]?.string == name }) else {
                throw MissingVolume(message: "there is no volume \(name)")
            }
            var source = try prepare(volume)
            let part =
                mount["subPath"]?.string
                ?? mount["subPathExpr"]?.string.map { expression in
                    ContainerEnvironment.expanded(
                        expression, (try? environment(container.spec).variables(over: [:])) ?? [:])
                }
            if let part, !part.isEmpty {
                source += "/\(part)"
                if !FileManager.default.fileExists(atPath: source) {
                    try makeDirectory(source)
                    if let fsGroup { chown(source, 0, gid_t(fsGroup)) }
                    chmod(source, fsGroup == nil ? 0o755 : 0o2775)
                }
                // What an object's file is now, which the container keeps.
                source = URL(filePath: source).resolvingSymlinksInPath().path
            }
            mounts.append(
                .init(
                    source: source, target: mount["mountPath"]?.string ?? "",
                    isReadOnly: mount["readOnly"]?.bool == true || Self.showsObjects(volume)))
        }
        if node.options.server != nil, pod["spec", "automountServiceAccountToken"]?.bool != false,
            !mounts.contains(where: { $0.target == Self.accountDirectory })
        {
            mounts.append(.init(source: try accountVolume(), target: Self.accountDirectory, isReadOnly: true))
        }
        return mounts
    }

    private static func showsObjects(_ volume: ServiceJSON) -> Bool {
        ["configMap", "secret", "projected", "downwardAPI"].contains { volume[$0] != nil }
    }

    /// - Returns: where the volume is on this machine.
    private func prepare(_ volume: ServiceJSON) throws -> String {
        let name = volume["name"]?.string ?? ""
        let path = "\(directory)/volumes/\(name)"
        let shown: VolumeContent?
        do throws(ContainerEnvironment.Missing) {
            shown = try content(volume)
        } catch {
            throw MissingVolume(message: error.what)
        }
        if let content = shown {
            if volumes[name] != content {
                try makeDirectory(path)
                try content.write(to: path, group: fsGroup)
                volumes[name] = content
            }
            return path
        }
        if let host = volume["hostPath"] { return host["path"]?.string ?? "/" }
        if let reference = volume["persistentVolumeClaim"] {
            let claimName = reference["claimName"]?.string ?? ""
            guard let claim = node.objects.find(.persistentVolumeClaims, namespace: pod.namespace, name: claimName)
            else { throw MissingVolume(message: "persistentvolumeclaim \"\(claimName)\" not found") }
            guard claim.phase == "Bound" else {
                throw MissingVolume(message: "pod has unbound immediate PersistentVolumeClaims")
            }
            let path = claim.volumeDirectory(node.machine)
            try makeDirectory(path)
            if !volumes.keys.contains(name) { giveToGroup(path) }
            volumes[name] = VolumeContent()
            return path
        }
        guard volume["emptyDir"] != nil else { throw MissingVolume(message: "volume \(name) is of no known kind") }
        if !FileManager.default.fileExists(atPath: path) {
            try makeDirectory(path)
            if let fsGroup { chown(path, 0, gid_t(fsGroup)) }
            chmod(path, fsGroup == nil ? 0o777 : 0o2777)
        }
        return path
    }

    private func content(_ volume: ServiceJSON) throws(ContainerEnvironment.Missing) -> VolumeContent? {
        try VolumeContent.of(volume, environment([:]), token: Array((node.options.server?.token ?? "").utf8))
    }

    /// As a kubelet does with volumes that can have owners: everything in them, unless the policy has it otherwise.
    private func giveToGroup(_ path: String) {
        guard let fsGroup else { return }
        var facts = stat()
        stat(path, &facts)
        if pod["spec", "securityContext", "fsGroupChangePolicy"]?.string == "OnRootMismatch",
            Int(facts.st_gid) == fsGroup, facts.st_mode & 0o2770 == 0o2770
        {
            return
        }
        for name in [""] + (FileManager.default.enumerator(atPath: path)?.compactMap { $0 as? String } ?? []) {
            let file = name.isEmpty ? path : "\(path)/\(name)"
            lchown(file, uid_t.max, gid_t(fsGroup))
            guard lstat(file, &facts) == 0 else { continue }
            switch facts.st_mode & S_IFMT {
            case S_IFDIR: chmod(file, facts.st_mode & 0o7777 | 0o2770)
            case S_IFREG: chmod(file, facts.st_mode & 0o7777 | 0o660)
            default: break
            }
        }
    }

    private func accountVolume() throws -> String {
        let path = "\(directory)/volumes/.account"
        guard let server = node.options.server, volumes[".account"] == nil else { return path }
        try makeDirectory(path)
        let files: [String: [UInt8]] = [
            "token": Array(server.token.utf8), "ca.crt": server.authority,
            "namespace": Array((pod.namespace ?? "").utf8),
        ]
        let content = VolumeContent(files: files.mapValues { VolumeContent.File(bytes: $0, mode: 0o644) })
        try content.write(to: path, group: nil)
        volumes[".account"] = content
        return path
    }

    /// What objects say now, into volumes that show them. An object that is gone leaves its last content.
    func refreshVolumes() async {
        for volume in pod["spec", "volumes"]?.elements ?? [] {
            let name = volume["name"]?.string ?? ""
            guard volumes[name] != nil, Self.showsObjects(volume), let content = try? content(volume),
                volumes[name] != content
            else { continue }
            do {
                try content.write(to: "\(directory)/volumes/\(name)", group: fsGroup)
                volumes[name] = content
            } catch {
                // It is tried again at the next step.
            }
        }
    }
}

extension KubernetesObject {
    /// Of a claim: where what it claims is.
    func volumeDirectory(_ machine: NodeMachine) -> String { "\(machine.directory)/claims/\(uid)" }
}
