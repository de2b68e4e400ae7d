import CLinux

/// CRC-32C (Castagnoli), as PostgreSQL ends it: for pg_control and WAL.
package func crc32c(_ bytes: RawSpan) -> UInt32 {
    bytes.withUnsafeBytes { permafrost_crc32c($0.baseAddress, $0.count) }
}
