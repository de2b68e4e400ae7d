import HTTP
import KubernetesClient

/// What of the present configuration stays, though it is not asked for in this way any more: of repositories that are
/// faulty for a while.
struct KeptConfiguration: Sendable {
    private(set) var keys: Set<Int> = []
    private var lines: [String: [String]] = [:]

    init() {}

    /// - Parameter map: the present ConfigMap.
    init(_ faulty: [Int], _ map: KubernetesObject?) {
        for file in ["agent.conf", "host.conf"] {
            guard let text = map?["data", file]?.string else { continue }
            for line in text.split(separator: "\n") {
                guard let key = faulty.first(where: { line.hasPrefix("repo\($0)-") }) else { continue }
                keys.insert(key)
                lines[file, default: []].append(String(line))
            }
        }
    }

    func text(in file: String, after text: String) -> String {
        guard let own = lines[file] else { return text }
        return text + (["[global]"] + own).joined(separator: "\n") + "\n"
    }

    /// - Parameter secret: the present one.
    func add(to credentials: inout Credentials, from secret: KubernetesObject) {
        for key in keys.sorted() {
            let text = String(decoding: secret.data("repo.conf") ?? [], as: UTF8.self)
            for line in text.split(separator: "\n") where line.hasPrefix("repo\(key)-") {
                credentials.text += line + "\n"
            }
            guard case .object(let entries)? = secret["data"] else { continue }
            for name in entries.keys.sorted() where name.hasPrefix("repo\(key)-") {
                credentials.files[name] = secret.data(name)
            }
        }
    }
}
