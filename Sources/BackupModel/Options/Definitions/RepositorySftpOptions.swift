extension OptionDefinition {
    /// Repositories over SFTP.
    static let repositorySftp: [OptionDefinition] = [
        OptionDefinition(
            .repoSftpHost, .string, .global, .work, group: .repo, required: true,
            dependency: Dependency(.repoType, in: ["sftp"]), support: .never, example: "sftp.example.com",
            summary: "SFTP host"),
        OptionDefinition(
            .repoSftpHostFingerprint, .string, .global, .work, group: .repo,
            dependency: Dependency(.repoSftpHostKeyCheckType, in: ["fingerprint", "strict"]), support: .never,
            example: "f84e172dfead7aeeeae6c1fdfb5aa8cf",
            summary: "fingerprint of the SFTP host's key"),
        OptionDefinition(
            .repoSftpHostKeyCheckType, .enumeration, .global, .work, group: .repo, default: "strict",
            allowed: ["accept-new", "fingerprint", "none", "strict"],
            dependency: Dependency(.repoType, in: ["sftp"]), support: .never,
            summary: "how the SFTP host's key is checked"),
        OptionDefinition(
            .repoSftpHostKeyHashType, .enumeration, .global, .work, group: .repo, required: true,
            allowed: ["md5", "sha1", "sha256"], dependency: Dependency(.repoType, in: ["sftp"]), support: .never,
            summary: "hash that the fingerprint is made with"),
        OptionDefinition(
            .repoSftpHostPort, .integer, .global, .work, group: .repo, default: "22",
            ranges: [OptionRange("1", "65535")], dependency: Dependency(.repoType, in: ["sftp"]), support: .never,
            example: "22",
            summary: "SFTP port"),
        OptionDefinition(
            .repoSftpHostUser, .string, .global, .work, group: .repo, required: true,
            dependency: Dependency(.repoType, in: ["sftp"]), support: .never, example: "backup",
            summary: "user to log in as on the SFTP host"),
        OptionDefinition(
            .repoSftpKnownHost, .list, .global, .work, group: .repo,
            dependency: Dependency(.repoSftpHostKeyCheckType, in: ["accept-new", "strict"]), support: .never,
            example: "/home/backup/.ssh/known_hosts",
            summary: "file of SFTP hosts that are known"),
        OptionDefinition(
            .repoSftpPrivateKeyFile, .string, .global, .work, group: .repo, required: true,
            dependency: Dependency(.repoType, in: ["sftp"]), support: .never,
            example: "/home/backup/.ssh/id_ed25519",
            summary: "private key for the SFTP host"),
        OptionDefinition(
            .repoSftpPrivateKeyPassphrase, .string, .global, .work, group: .repo,
            dependency: Dependency(.repoType, in: ["sftp"]), flags: [.secure], support: .never,
            summary: "passphrase of that private key"),
        OptionDefinition(
            .repoSftpPublicKeyFile, .string, .global, .work, group: .repo,
            dependency: Dependency(.repoType, in: ["sftp"]), support: .never,
            example: "/home/backup/.ssh/id_ed25519.pub",
            summary: "public key for the SFTP host"),
    ]
}
