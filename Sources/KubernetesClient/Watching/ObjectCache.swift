import HTTP
package import RepositoryStorage
import Synchronization

/// What changed in a cache.
package struct ObjectChange: Sendable {
    package var key: ObjectKey
    /// nil when it is new.
    package var old: KubernetesObject?
    /// nil when it is gone.
    package var new: KubernetesObject?
}

/// The objects of one type, kept as the server has them: listed once, then watched. Its memory is that of the objects,
/// without the fields' managers; a list comes page by page.
package final class ObjectCache: Sendable {
    package struct Options: Sendable {
        /// nil for all.
        package var namespace: String?
        package var selection = Selection.all
        /// What is thrown away is better not asked for: a page may hold hundreds of MiB of it.
        package var parts = ObjectParts.all
        /// Between attempts; without end, as long as the cache runs.
        package var backOff = RetryPolicy(shortest: .milliseconds(500), longest: .seconds(30))
        /// Takes away what nobody needs, before an object is kept.
        package var reduce: @Sendable (inout KubernetesObject) -> Void = { $0["metadata", "managedFields"] = nil }
        /// Is told each change, one after the other, after the cache has it. Must not block.
        package var changed: @Sendable (ObjectChange) -> Void = { _ in }
        /// Is told why the cache gets no news for a while, and nil when it does again.
        package var failed: @Sendable (KubernetesError?) -> Void = { _ in }

        package init() {}
    }

    private struct State: Sendable {
        var index = ObjectIndex()
        var isFilled = false
        var lists = 0
    }

    package let type: ResourceType
    private let client: KubernetesClient
    private let options: Options
    private let state = Waitable(State())

    package init(_ type: ResourceType, _ client: KubernetesClient, _ options: Options = Options()) {
        self.type = type
        self.client = client
        self.options = options
    }

    // MARK: Looking

    package subscript(key: ObjectKey) -> KubernetesObject? { state.with { $0.index.objects[key] } }

    package var count: Int { state.with { $0.index.objects.count } }

    /// By key.
    package func objects(namespace: String? = nil, _ labels: [LabelRequirement] = []) -> [KubernetesObject] {
        state.with { $0.index.objects(namespace: namespace, labels) }
    }

    package func objects(ownedBy uid: String) -> [KubernetesObject] { state.with { $0.index.objects(ownedBy: uid) } }

    /// Whether everything was listed once.
    package var isFilled: Bool { state.with { $0.isFilled } }
    /// How often everything was listed.
    package var lists: Int { state.with { $0.lists } }

    /// - Throws: when the task is cancelled.
    package func waitUntilFilled() async throws {
        guard await state.first({ $0.isFilled ? true : nil }) != nil else { throw CancellationError() }
    }

    // MARK: Keeping up

    /// Until the task is cancelled. Once.
    package func run() async {
        var resourceVersion: String?
        var failures = 0
        var refusals = 0
        while !Task.isCancelled {
            // A server that says no again and again may know nothing of that state: one that was restored does not.
            if refusals >= 3 { resourceVersion = nil }
            var hasNews = false
            let began = client.options.time.now
            do throws(KubernetesError) {
                let begun: String
                if let known = resourceVersion { begun = known } else { begun = try await list() }
                resourceVersion = begun
                let start = client.options.time.now
                var latest = begun
                defer { resourceVersion = latest }
                try await client.watch(
                    type, namespace: options.namespace, options.selection, parts: options.parts, from: begun,
                    begun: { options.failed(nil) }
                ) { event in
                    hasNews = true
                    latest = take(event) ?? latest
                }
                // A server that ends watches at once is not asked at once again.
                if client.options.time.now - start > .seconds(1) { hasNews = true }
            } catch {
                if error.isCancelled { break }
                // Of a type of which nothing happens the server sends no bookmarks either: it is asked anew.
                if error.transport == .timeout, resourceVersion != nil, client.options.time.now - began > .seconds(30) {
                    continue
                }
                if error.isGone { resourceVersion = nil }
                // A watch that went silent or was cut is an everyday matter, and goes on where it was.
                if !hasNews || error.status != nil { options.failed(error) }
                if hasNews { failures = 0 }
                failures += 1
                refusals = hasNews || error.status == nil ? 0 : refusals + 1
                await pause(failures, error.retryAfter)
                continue
            }
            refusals = 0
            failures = hasNews ? 0 : failures + 1
            if failures > 0 { await pause(failures, nil) }
        }
    }

    private func pause(_ failures: Int, _ least: Duration?) async {
        try? await client.options.time.sleep(for: max(options.backOff.wait(after: failures), least ?? .zero))
    }

    /// - Returns: the resource version to go on from.
    private func take(_ event: WatchEvent) -> String? {
        switch event {
        case .bookmark(let version): return version.isEmpty ? nil : version
        case .added(let object), .modified(let object):
            insert(object)
            return object.resourceVersion
        case .deleted(let object):
            remove(object.key)
            return object.resourceVersion
        }
    }

    private func insert(_ object: KubernetesObject) {
        var object = object
        options.reduce(&object)
        let new = object
        let old = state.change { $0.index.insert(new) }
        // What a list brings again has not changed.
        if let old, old.resourceVersion == new.resourceVersion, old.uid == new.uid { return }
        options.changed(ObjectChange(key: new.key, old: old, new: new))
    }

    private func remove(_ key: ObjectKey) {
        guard let old = state.change({ $0.index.remove(key) }) else { return }
        options.changed(ObjectChange(key: key, old: old, new: nil))
    }

    private func list() async throws(KubernetesError) -> String {
        var missing = state.with { Set($0.index.objects.keys) }
        let version = try await client.list(
            type, namespace: options.namespace, options.selection, parts: options.parts
        ) { page in
            for object in page {
                missing.remove(object.key)
                insert(object)
            }
        }
        for key in missing.sorted() { remove(key) }
        state.change { state in
            state.isFilled = true
            state.lists += 1
        }
        return version
    }
}
