package import BackupModel
import Glibc

/// Numeric owner of a file.
package struct FileOwner: Sendable, Equatable {
    package var user: UInt32
    package var group: UInt32
    package init(user: UInt32, group: UInt32) {
        self.user = user
        self.group = group
    }
}

/// Who owns what is restored: the owners of the manifest when root restores, else whoever restores (section C.8.5 of
/// the reference). Names are looked up once.
package struct RestoreOwners: Sendable {
    private var users: [String: UInt32] = [:]
    private var groups: [String: UInt32] = [:]
    /// Of what has no owner here: the owner of the data directory.
    private var fallback: FileOwner?
    package private(set) var notices: [RestoreNotice] = []

    /// - Parameters:
    ///   - isRoot: whether owners can be set at all.
    ///   - dataDirectoryOwner: nil while there is no data directory.
    package init(_ plan: RestorePlan, isRoot: Bool, dataDirectoryOwner: FileOwner?) throws(BackupError) {
        guard isRoot else {
            let user = name(ofUser: geteuid())
            let group = name(ofGroup: getegid())
            if plan.hasUnnamedOwners || plan.users.contains(where: { $0 != user }) {
                warn("users of the backup manifest are mapped to the current user '\(user ?? "\(geteuid())")'")
            }
            if plan.groups.contains(where: { $0 != group && id(ofGroup: $0) == nil }) {
                warn("groups of the backup manifest are mapped to the current group '\(group ?? "\(getegid())")'")
            }
            return
        }
        let fallback = dataDirectoryOwner ?? FileOwner(user: 0, group: 0)
        self.fallback = fallback
        for user in plan.users.sorted() {
            if let id = id(ofUser: user) {
                users[user] = id
            } else {
                warn(
                    "unknown user '\(user)' in backup manifest mapped to '\(name(ofUser: fallback.user) ?? "\(fallback.user)")'"
                )
            }
        }
        for group in plan.groups.sorted() {
            if let id = id(ofGroup: group) {
                groups[group] = id
            } else {
                warn(
                    "unknown group '\(group)' in backup manifest mapped to"
                        + " '\(name(ofGroup: fallback.group) ?? "\(fallback.group)")'")
            }
        }
        if plan.hasUnnamedOwners {
            warn("owners without a name in backup manifest are mapped to the owner of the data directory")
        }
    }

    private mutating func warn(_ text: String) { notices.append(RestoreNotice(isWarning: true, text: text)) }

    /// nil: owners are not set.
    package func owner(user: String?, group: String?) -> FileOwner? {
        fallback.map { fallback in
            FileOwner(
                user: user.flatMap { users[$0] } ?? fallback.user, group: group.flatMap { groups[$0] } ?? fallback.group
            )
        }
    }
}

// Answers longer than this (groups with thousands of members) are looked up without success, which maps the owner.
private let lookupBytes = 1 << 20

private func id(ofUser name: String) -> UInt32? {
    var entry = passwd()
    var found: UnsafeMutablePointer<passwd>?
    var buffer = [CChar](repeating: 0, count: lookupBytes)
    guard getpwnam_r(name, &entry, &buffer, buffer.count, &found) == 0, found != nil else { return nil }
    return entry.pw_uid
}

private func id(ofGroup name: String) -> UInt32? {
    var entry = group()
    var found: UnsafeMutablePointer<group>?
    var buffer = [CChar](repeating: 0, count: lookupBytes)
    guard getgrnam_r(name, &entry, &buffer, buffer.count, &found) == 0, found != nil else { return nil }
    return entry.gr_gid
}

private func name(ofUser id: UInt32) -> String? {
    var entry = passwd()
    var found: UnsafeMutablePointer<passwd>?
    var buffer = [CChar](repeating: 0, count: lookupBytes)
    guard getpwuid_r(id, &entry, &buffer, buffer.count, &found) == 0, found != nil, let name = entry.pw_name else {
        return nil
    }
    return String(cString: name)
}

private func name(ofGroup id: UInt32) -> String? {
    var entry = group()
    var found: UnsafeMutablePointer<group>?
    var buffer = [CChar](repeating: 0, count: lookupBytes)
    guard getgrgid_r(id, &entry, &buffer, buffer.count, &found) == 0, found != nil, let name = entry.gr_name else {
        return nil
    }
    return String(cString: name)
}
