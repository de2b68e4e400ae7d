package import BackupModel

/// A compressor or decompressor of one stream after another. Used by one task at a time. After an error, and after the
/// end of a stream, only ``reset()`` may follow.
package protocol StreamCodec: AnyObject {
    /// Takes bytes of `input` and fills `output` until one is used up; answers how many bytes of `input` it took.
    /// A decompressor takes nothing after the end of its stream, see ``isAtEnd``.
    func process(_ input: RawSpan, into output: OutputBuffer) throws(BackupError) -> Int
    /// Ends the stream: true when all has been written, false when `output` is full and it must be called again.
    /// A decompressor throws `.format` when its stream has not ended.
    func finish(into output: OutputBuffer) throws(BackupError) -> Bool
    /// A decompressor has seen the end of its stream; bytes after it are not its.
    var isAtEnd: Bool { get }
    /// Makes ready for the next stream, whatever state the last was left in.
    func reset()
}
