import CLinux

/// CRC-32C (Castagnoli), as PostgreSQL ends it: for pg_control and WAL.
package func crc32c(_ bytes: RawSpan) -> UInt32 {
    bytes.withUnsafeBytes { permafrost_crc32c($0.baseAddress, $0.count) }
}

/// The same of more than one piece: that of what had `crc` (0 for nothing) with `bytes` after it.
package func crc32c(_ crc: UInt32, extendedBy bytes: RawSpan) -> UInt32 {
    bytes.withUnsafeBytes { permafrost_crc32c_extend(crc, $0.baseAddress, $0.count) }
}
