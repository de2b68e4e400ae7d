/// A buffer that codecs fill and callers empty; allocated once per worker.
package final class OutputBuffer {
    package let base: UnsafeMutableRawPointer
    package let capacity: Int
    package private(set) var count = 0

    package init(capacity: Int) {
        base = .allocate(byteCount: capacity, alignment: 4096)
        self.capacity = capacity
    }
    deinit { base.deallocate() }

    /// What was filled since `clear`; valid until the next change.
    package var filled: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base, count: count) }
    /// The room behind it; say how much was used with ``advance(by:)``.
    package var free: UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(start: base + count, count: capacity - count)
    }
    package func advance(by bytes: Int) {
        precondition(bytes >= 0 && bytes <= capacity - count)
        count += bytes
    }
    package func clear() { count = 0 }
}
