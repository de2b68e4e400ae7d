import Glibc

/// Tells of new names in directories, by inotify(7). Does not block.
final class DirectoryWatch {
    /// To wait on until there is something to ``read()``; -1 when the system refuses: then nothing is ever told.
    let descriptor: Int32

    enum Event: Equatable {
        case appeared(directory: Int32, name: String)
        /// More has happened than can be told.
        case lost
    }

    init() { descriptor = inotify_init1(Int32(IN_NONBLOCK) | Int32(IN_CLOEXEC)) }

    deinit { if descriptor >= 0 { close(descriptor) } }

    /// The number by which events name the directory, the same for the same directory; nil when it cannot be watched.
    func watch(_ path: String) -> Int32? {
        guard descriptor >= 0 else { return nil }
        let number = inotify_add_watch(
            descriptor, path, UInt32(IN_CREATE) | UInt32(IN_MOVED_TO) | UInt32(IN_ONLYDIR))
        return number >= 0 ? number : nil
    }

    func unwatch(_ number: Int32) { inotify_rm_watch(descriptor, number) }

    /// What has happened since the last call.
    func read() -> [Event] {
        guard descriptor >= 0 else { return [] }
        var events: [Event] = []
        withUnsafeTemporaryAllocation(byteCount: 16 << 10, alignment: 8) { buffer in
            while true {
                let count = Glibc.read(descriptor, buffer.baseAddress, buffer.count)
                if count < 0, errno == EINTR { continue }
                guard count > 0 else { return }
                events += Self.events(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
            }
        }
        return events
    }

    /// `struct inotify_event` and its name, one after the other.
    private static func events(_ bytes: UnsafeRawBufferPointer) -> [Event] {
        var events: [Event] = []
        var offset = 0
        let headSize = MemoryLayout<inotify_event>.size
        while offset + headSize <= bytes.count {
            let head = bytes.loadUnaligned(fromByteOffset: offset, as: inotify_event.self)
            let name = bytes[(offset + headSize)...].prefix(Int(head.len)).prefix { $0 != 0 }
            if head.mask & UInt32(IN_Q_OVERFLOW) != 0 {
                events.append(.lost)
            } else if !name.isEmpty {
                events.append(.appeared(directory: head.wd, name: String(decoding: name, as: UTF8.self)))
            }
            offset += headSize + Int(head.len)
        }
        return events
    }
}
