import Glibc
import HTTP
import Synchronization

/// Writes events about objects, as `kubectl describe` shows them. The same event of the same object again is counted in
/// the one that is there.
package final class EventRecorder: Sendable {
    package enum Kind: String, Sendable {
        case normal = "Normal"
        case warning = "Warning"
    }

    private struct Key: Hashable, Sendable {
        var uid: String
        var kind: Kind
        var reason: String
        var message: String
    }

    private struct Written: Sendable {
        var key: ObjectKey
        var count: Int
        var last: Duration
    }

    private struct State: Sendable {
        var written: [Key: Written] = [:]
    }

    private let client: KubernetesClient
    private let component: String
    private let instance: String
    private let failed: @Sendable (String) -> Void
    private let state = Mutex(State())

    /// The server forgets events after an hour.
    private static let lifetime = Duration.seconds(50 * 60)
    /// An event that happens over and over is told so often.
    private static let repeatPause = Duration.seconds(10)
    /// Of events that are remembered.
    private static let limit = 4096
    /// Bytes of a message.
    private static let messageLimit = 1024

    /// - Parameters:
    ///   - component: who writes them.
    ///   - instance: which of several.
    ///   - failed: is told why an event could not be written; nothing else comes of it.
    package init(
        _ client: KubernetesClient, component: String, instance: String,
        failed: @escaping @Sendable (String) -> Void = { _ in }
    ) {
        self.client = client
        self.component = component
        self.instance = instance
        self.failed = failed
    }

    /// - Parameter reason: one word, as `BackupFailed`.
    package func record(
        _ kind: Kind, _ reason: String, _ message: String, about object: KubernetesObject
    ) async {
        let message = Self.shortened(message)
        let key = Key(uid: object.uid, kind: kind, reason: reason, message: message)
        let now = client.options.time.now
        let known: Written?? = state.withLock { state in
            guard var written = state.written[key], now - written.last < Self.lifetime else { return .some(nil) }
            written.count += 1
            let isSoon = now - written.last < Self.repeatPause
            if !isSoon { written.last = now }
            state.written[key] = written
            return isSoon ? nil : .some(written)
        }
        // Told with the next one.
        guard let known else { return }
        do throws(KubernetesError) {
            if let known, try await count(known, key) { return }
            try await create(key, object, known?.count ?? 1)
        } catch {
            failed(error.message)
        }
    }

    /// - Returns: false when the event is gone.
    private func count(_ written: Written, _ key: Key) async throws(KubernetesError) -> Bool {
        do throws(KubernetesError) {
            _ = try await client.patch(
                .coreEvents, namespace: written.key.namespace, name: written.key.name,
                ["count": ServiceJSON(written.count), "lastTimestamp": .text(Self.wallTime())])
        } catch {
            if error.isNotFound { return false }
            throw error
        }
        return true
    }

    private func create(_ key: Key, _ object: KubernetesObject, _ count: Int) async throws(KubernetesError) {
        let now = Self.wallTime()
        let suffix = String(UInt64.random(in: .min ... .max), radix: 16)
        var event = KubernetesObject(
            // Events of what has no namespace lie in this one.
            .coreEvents, namespace: object.namespace ?? "default", name: "\(object.name.prefix(200)).\(suffix)")
        var about: ServiceJSON = [
            "apiVersion": .text(object.apiVersion), "kind": .text(object.kind), "name": .text(object.name),
            "uid": .text(object.uid),
        ]
        if let namespace = object.namespace { about["namespace"] = .text(namespace) }
        if let version = object.resourceVersion { about["resourceVersion"] = .text(version) }
        event["involvedObject"] = about
        event["type"] = .text(key.kind.rawValue)
        event["reason"] = .text(key.reason)
        event["message"] = .text(key.message)
        event["source"] = ["component": .text(component)]
        event["reportingComponent"] = .text(component)
        event["reportingInstance"] = .text(instance)
        event["count"] = ServiceJSON(count)
        event["firstTimestamp"] = .text(now)
        event["lastTimestamp"] = .text(now)
        _ = try await client.create(.coreEvents, event)
        let written = Written(key: event.key, count: count, last: client.options.time.now)
        state.withLock { state in
            if state.written.count >= Self.limit, state.written[key] == nil {
                let oldest = state.written.min { $0.value.last < $1.value.last }
                if let oldest { state.written[oldest.key] = nil }
            }
            state.written[key] = written
        }
    }

    private static func wallTime() -> String { ServiceTime.rfc3339(Int64(Glibc.time(nil))) }

    private static func shortened(_ message: String) -> String {
        guard message.utf8.count > messageLimit else { return message }
        var result = ""
        var size = 0
        for scalar in message.unicodeScalars {
            size += UTF8.width(scalar)
            if size > messageLimit - 3 { break }
            result.unicodeScalars.append(scalar)
        }
        return result + "…"
    }
}
