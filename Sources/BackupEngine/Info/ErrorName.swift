import BackupModel

extension ErrorCode {
    /// As pgBackRest shows it in the state of a repository: `ChecksumError`.
    var pgBackRestName: String { Self.names[self] ?? "UnknownError" }

    private static let names: [ErrorCode: String] = [
        .assertion: "AssertError", .checksum: "ChecksumError", .config: "ConfigError",
        .fileInvalid: "FileInvalidError", .format: "FormatError", .optionInvalid: "OptionInvalidError",
        .optionInvalidValue: "OptionInvalidValueError", .optionRequired: "OptionRequiredError",
        .protocolError: "ProtocolError", .fileOpen: "FileOpenError", .fileRead: "FileReadError",
        .archiveMismatch: "ArchiveMismatchError", .versionNotSupported: "VersionNotSupportedError",
        .hostConnect: "HostConnectError", .pathOpen: "PathOpenError", .fileMissing: "FileMissingError",
        .terminated: "TermError", .featureNotSupported: "FeatureNotSupportedError", .hostInvalid: "HostInvalidError",
        .pathMissing: "PathMissingError", .fileClose: "FileCloseError", .fileMode: "FileModeError",
        .fileOwner: "FileOwnerError", .memory: "MemoryError", .crypto: "CryptoError",
        .parameterInvalid: "ParamInvalidError", .pathClose: "PathCloseError", .fileInfo: "FileInfoError",
        .jsonFormat: "JsonFormatError", .kernel: "KernelError", .service: "ServiceError", .execute: "ExecuteError",
        .repositoryInvalid: "RepoInvalidError", .command: "CommandError", .access: "AccessError",
        .runtime: "RuntimeError", .unhandled: "UnhandledError",
    ]
}
