import BackupModel

/// What one call of a compression library did.
struct CodecStep {
    var taken: Int
    var written: Int
    /// The stream has ended and all of it has been written.
    var isEnd: Bool
}

/// A compressor in terms of single calls of its library.
protocol SteppingCompressor: StreamCodec {
    /// Neither buffer is empty, but `input` when `end`, which says that nothing follows.
    func step(
        _ input: UnsafeRawBufferPointer, _ output: UnsafeMutableRawBufferPointer, end: Bool
    ) throws(BackupError) -> CodecStep
    var isAtEnd: Bool { get set }
}

extension SteppingCompressor {
    package func process(_ input: RawSpan, into output: OutputBuffer) throws(BackupError) -> Int {
        try input.withUnsafeBytes { (input) throws(BackupError) in
            var taken = 0
            while taken < input.count && output.count < output.capacity {
                let step = try step(UnsafeRawBufferPointer(rebasing: input[taken...]), output.free, end: false)
                guard step.taken + step.written > 0 else { throw stalled }
                taken += step.taken
                output.advance(by: step.written)
            }
            return taken
        }
    }

    package func finish(into output: OutputBuffer) throws(BackupError) -> Bool {
        while !isAtEnd {
            guard output.count < output.capacity else { return false }
            let step = try step(UnsafeRawBufferPointer(start: nil, count: 0), output.free, end: true)
            guard step.written > 0 || step.isEnd else { throw stalled }
            output.advance(by: step.written)
            isAtEnd = step.isEnd
        }
        return true
    }

    private var stalled: BackupError { BackupError(.assertion, "compressor made no progress") }
}

/// A decompressor in terms of single calls of its library.
protocol SteppingDecompressor: StreamCodec {
    /// `output` is not empty; `input` is when what is left inside is wanted.
    func step(
        _ input: UnsafeRawBufferPointer, _ output: UnsafeMutableRawBufferPointer
    ) throws(BackupError) -> CodecStep
    var isAtEnd: Bool { get set }
    var type: CompressType { get }
}

extension SteppingDecompressor {
    package func process(_ input: RawSpan, into output: OutputBuffer) throws(BackupError) -> Int {
        try input.withUnsafeBytes { (input) throws(BackupError) in
            var taken = 0
            while !isAtEnd && taken < input.count && output.count < output.capacity {
                let step = try step(UnsafeRawBufferPointer(rebasing: input[taken...]), output.free)
                guard step.taken + step.written > 0 || step.isEnd else { throw damaged("no progress") }
                taken += step.taken
                output.advance(by: step.written)
                isAtEnd = step.isEnd
            }
            return taken
        }
    }

    package func finish(into output: OutputBuffer) throws(BackupError) -> Bool {
        while !isAtEnd {
            guard output.count < output.capacity else { return false }
            let step = try step(UnsafeRawBufferPointer(start: nil, count: 0), output.free)
            guard step.written > 0 || step.isEnd else {
                throw BackupError(.format, "\(type.rawValue) stream is cut off", hint: "part of the object is missing")
            }
            output.advance(by: step.written)
            isAtEnd = step.isEnd
        }
        return true
    }

    func damaged(_ reason: String) -> BackupError {
        BackupError(.format, "\(type.rawValue) stream is damaged: \(reason)")
    }
}

func outOfMemory(_ type: CompressType) -> BackupError {
    BackupError(.memory, "unable to allocate memory for \(type.rawValue) compression")
}
